# GFN2-xTB's descriptors of a dataset's molecules, for heads that are to read them. Finished molecules lie in parts/,
# unknown to snakemake: a job that was killed goes on, and a molecule of several datasets is computed once.
rule gfn2:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
    output:
        array="results/data/{dataset}/gfn2.safetensors",
        failures="results/data/{dataset}/gfn2_failures.parquet",
    log:
        "results/logs/gfn2/{dataset}.log",
    conda:
        env("gfn2")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        code=code("gfn2"),
        parts="results/gfn2/parts",
    message:
        "GFN2-xTB's descriptors of {wildcards.dataset}"
    shell:
        command(
            "gfn2",
            molecules="input.molecules",
            parts="params.parts",
            out="output.array",
            failures="output.failures",
        )
