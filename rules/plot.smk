# The figures, from the tables.
rule plot:
    input:
        TABLES,
        DIAGNOSTICS,
        EMBEDDINGS,
        STATISTICS,
    output:
        report(
            directory(f"{OUT}/{PART}figures"),
            patterns=["{figure}.svg"],
            caption="../workflow/report/figure.rst",
            category="Figures",
        ),
    log:
        f"results/logs/{PART}plot.log",
    conda:
        env("plot")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code("plot"),
        tables=subpath(input[0], parent=True),
    message:
        f"Plot{OF_TARGET}"
    shell:
        command("plot", tables="params.tables", out="output")
