# RDKit's descriptors of a dataset's molecules: once for all methods that read them.
rule descriptors:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
    output:
        "results/data/{dataset}/descriptors.safetensors",
    log:
        "results/logs/descriptors/{dataset}.log",
    conda:
        env("descriptors")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code("descriptors"),
    message:
        "Descriptors of {wildcards.dataset}"
    shell:
        command("descriptors", molecules="input.molecules", out="output")
