# Where the atoms of a dataset's molecules are, for models that read geometries.
rule conformers:
    input:
        source="results/data/{dataset}/source",
        molecules="results/data/{dataset}/molecules.parquet",
    output:
        "results/data/{dataset}/conformers.parquet",
    log:
        "results/logs/conformers/{dataset}.log",
    conda:
        env("conformers")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("conformers"),
        code=code("conformers"),
    message:
        "Read the geometries of {wildcards.dataset}"
    shell:
        command(
            "conformers",
            source="input.source",
            molecules="input.molecules",
            out="output",
        )
