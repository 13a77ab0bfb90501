# The figures, from the tables.
rule plot:
    input:
        TABLES,
        DIAGNOSTICS,
        EMBEDDINGS,
        STATISTICS,
    output:
        report(
            directory(f"{OUT}/figures"),
            patterns=["{figure}.svg"],
            caption="../workflow/report/figure.rst",
            category="Figures",
        ),
    log:
        "results/logs/plot.log",
    conda:
        env("plot")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code("plot"),
        tables=subpath(input[0], parent=True),
    message:
        "Plot"
    shell:
        command("plot", tables="params.tables", out="output")
