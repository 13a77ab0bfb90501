# The report, from tables and figures: one page without an outside address. That of a recommendation repeats its verdict.
rule report:
    input:
        tables=TABLES,
        diagnostics=DIAGNOSTICS,
        statistics=STATISTICS,
        figures=f"{OUT}/{PART}figures",
        recommendation=f"{OUT}/{PART}verdict.json" if EXPERIMENT.recommendation else [],
    output:
        report(
            REPORT,
            caption="../workflow/report/report.rst",
            category="Report",
        ),
    log:
        f"results/logs/{PART}report.log",
    conda:
        env("report")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("report"),
        code=code("report"),
        tables=subpath(input[0], parent=True),
        recommendation=lambda wildcards, input: option(
            "recommendation", input.recommendation
        ),
    message:
        "Report: {output}"
    shell:
        command(
            "report",
            "{params.recommendation}",
            tables="params.tables",
            figures="input.figures",
            out="output",
        )
