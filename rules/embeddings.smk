# Atoms' vectors before and after each fit on a plane; where no pictures are asked for, tables without rows.
rule embeddings:
    input:
        TABLES,
        (
            [folder / "fits.parquet" for folder in EXPERIMENT.cells.runs(RESULTS)]
            if EXPERIMENT.tsne
            else []
        ),
    output:
        EMBEDDINGS,
    log:
        "results/logs/embeddings.log",
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=canonical_json(EXPERIMENT.embeddings_settings()),
        code=code("roftmol.evaluation.atom_embeddings"),
        tables=subpath(input[0], parent=True),
        out=subpath(output[0], parent=True),
    message:
        "Draw atoms' vectors before and after"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol embeddings --settings {params.settings:q} --tables {params.tables:q}"
        " --results results --out {params.out:q} 2>&1 | tee {log:q}"
