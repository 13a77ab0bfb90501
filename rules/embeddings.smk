# Atoms' vectors before and after each fit on a plane; where no pictures are asked for, tables without rows.
rule embeddings:
    input:
        TABLES,
        runs_of if EXPERIMENT.tsne else [],
    output:
        EMBEDDINGS,
    log:
        f"results/logs/{PART}embeddings.log",
    conda:
        env("embeddings")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("embeddings"),
        code=code("embeddings"),
        tables=subpath(input[0], parent=True),
        out=subpath(output[0], parent=True),
    message:
        f"Draw atoms' vectors before and after{OF_TARGET}"
    shell:
        command(
            "embeddings", tables="params.tables", out="params.out", results="results"
        )
