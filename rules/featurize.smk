# A dataset's molecules as the flat arrays that an encoder reads: once for all encoders of one featurizer.
rule featurize:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        own=own_code,
        conformers=lambda wildcards: (
            f"results/data/{wildcards.dataset}/conformers.parquet"
            if wildcards.featurizer == "geometry"
            else []
        ),
    output:
        "results/data/{dataset}/graphs/{featurizer}.safetensors",
    log:
        "results/logs/featurize/{dataset}/{featurizer}.log",
    conda:
        env("featurize")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("featurize"),
        conformers=lambda wildcards, input: option("conformers", input.conformers),
        code=code("featurize"),
    message:
        "Featurize {wildcards.dataset} for {wildcards.featurizer}"
    shell:
        command(
            "featurize",
            "{params.conformers}",
            molecules="input.molecules",
            out="output",
        )
