# Where the atoms of a data set's molecules are, for models that read geometries.
rule conformers:
    input:
        source="results/data/{dataset}/source",
        molecules="results/data/{dataset}/molecules.parquet",
    output:
        "results/data/{dataset}/conformers.parquet",
    log:
        "results/logs/conformers/{dataset}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings(EXPERIMENT.conformers_settings),
        code=code("roftmol.data.conformers"),
    message:
        "Read the geometries of {wildcards.dataset}"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol conformers --settings {params.settings:q} --source {input.source:q}"
        " --molecules {input.molecules:q} --out {output:q} 2>&1 | tee {log:q}"
