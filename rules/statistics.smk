# What differs, by how much and how surely, from the tables.
rule statistics:
    input:
        TABLES,
    output:
        STATISTICS,
    log:
        f"results/logs/{PART}statistics.log",
    conda:
        env("statistics")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code("statistics"),
        tables=subpath(input[0], parent=True),
        out=subpath(output[0], parent=True),
    message:
        f"Statistics{OF_TARGET}"
    shell:
        command("statistics", tables="params.tables", out="params.out")
