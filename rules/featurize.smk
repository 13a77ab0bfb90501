# A data set's molecules as the flat arrays that an encoder reads: once for all encoders of one featuriser.
rule featurize:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        own=own_code,
        conformers=lambda wildcards: (
            f"results/data/{wildcards.dataset}/conformers.parquet"
            if wildcards.featuriser == "geometry"
            else []
        ),
    output:
        "results/data/{dataset}/graphs/{featuriser}.safetensors",
    log:
        "results/logs/featurize/{dataset}/{featuriser}.log",
    conda:
        "../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings(EXPERIMENT.featurize_settings),
        conformers=lambda wildcards, input: option("conformers", input.conformers),
        code=code("roftmol.features.graphs"),
    message:
        "Featurize {wildcards.dataset} for {wildcards.featuriser}"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol featurize --settings {params.settings:q} --molecules {input.molecules:q}"
        " {params.conformers} --processes {threads} --out {output:q} 2>&1 | tee {log:q}"
