# An encoder of our own, from a recipe of workflow/roftmol/registry/yaml/pretraining.yaml. Hours; not part of the default run:
#   snakemake --cores all results/pretrained/gin-zinc-masking.safetensors
rule pretraining_set:
    input:
        lambda wildcards: expand(
            "results/corpora/{corpus}.parquet",
            corpus=RECIPES[wildcards.recipe].corpora,
        ),
    output:
        "results/pretrained/{recipe}.molecules.parquet",
    log:
        "results/logs/pretraining_set/{recipe}.log",
    wildcard_constraints:
        recipe="|".join(RECIPES),
    conda:
        env("pretraining_set")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("pretraining_set"),
        code=code("pretraining_set"),
        corpora=subpath(input[0], parent=True),
    message:
        "Molecules and labels for {wildcards.recipe}"
    shell:
        command("pretraining_set", corpora="params.corpora", out="output")


rule pretrain:
    input:
        "results/pretrained/{recipe}.molecules.parquet",
    output:
        weights="results/pretrained/{recipe}.safetensors",
        curve="results/pretrained/{recipe}.curve.json",
    log:
        "results/logs/pretrain/{recipe}.log",
    wildcard_constraints:
        recipe="|".join(RECIPES),
    conda:
        env("pretrain")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
    params:
        settings=settings("pretrain"),
        code=code("pretrain"),
        state="results/pretrained/{recipe}.state",
    message:
        "Pretrain {wildcards.recipe}"
    shell:
        command(
            "pretrain",
            molecules="input",
            state="params.state",
            curve="output.curve",
            out="output.weights",
        )
