# What differs, by how much and how surely, from the tables.
rule statistics:
    input:
        TABLES,
    output:
        STATISTICS,
    log:
        "results/logs/statistics.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code("roftmol.statistics.stage"),
        tables=subpath(input[0], parent=True),
        out=subpath(output[0], parent=True),
    message:
        "Statistics"
    shell:
        "python -m roftmol statistics --tables {params.tables:q} --out {params.out:q} 2>&1 | tee {log:q}"
