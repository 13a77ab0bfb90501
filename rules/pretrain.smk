# An encoder of our own, from a recipe of workflow/roftmol/registry/yaml/pretraining.yaml. Hours; not part of the default run:
#   snakemake --cores all results/pretrained/gin-zinc-masking.safetensors
rule evaluated:
    output:
        "results/pretrained/{recipe}.evaluated.smiles",
    log:
        "results/logs/evaluated/{recipe}.log",
    wildcard_constraints:
        recipe="|".join(name for name, recipe in RECIPES.items() if recipe.without),
    conda:
        env("evaluated")
    threads: 4
    params:
        settings=settings("evaluated"),
        code=code("evaluated"),
    message:
        "Fetch the sets that {wildcards.recipe} is kept apart from"
    shell:
        command("evaluated", out="output", archives="results/archives")


rule pretraining_set:
    input:
        corpora=lambda wildcards: expand(
            "results/corpora/{corpus}.parquet",
            corpus=RECIPES[wildcards.recipe].corpora,
        ),
        evaluated=of_recipe("without", "results/pretrained/{recipe}.evaluated.smiles"),
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
        corpora=lambda wildcards, input: str(Path(input.corpora[0]).parent),
        evaluated=lambda wildcards, input: option("evaluated", input.evaluated),
    message:
        "Molecules and labels for {wildcards.recipe}"
    shell:
        command(
            "pretraining_set",
            "{params.evaluated}",
            corpora="params.corpora",
            out="output",
        )


# What a student learns of its teacher; parts that are ready are kept, so that a killed job goes on.
rule teacher:
    input:
        molecules="results/pretrained/{recipe}.molecules.parquet",
        checkpoint=lambda wildcards: (
            f"results/checkpoints/{RECIPES[wildcards.recipe].teacher}.safetensors"
        ),
    output:
        "results/pretrained/{recipe}.targets.safetensors",
    log:
        "results/logs/teacher/{recipe}.log",
    wildcard_constraints:
        recipe="|".join(name for name, recipe in RECIPES.items() if recipe.teacher),
    conda:
        env("teacher")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        settings=settings("teacher"),
        code=code("teacher"),
        parts="results/pretrained/{recipe}.targets",
    message:
        "Targets of a teacher for {wildcards.recipe}"
    shell:
        command(
            "teacher",
            molecules="input.molecules",
            checkpoint="input.checkpoint",
            parts="params.parts",
            out="output",
        )


rule pretrain:
    input:
        molecules="results/pretrained/{recipe}.molecules.parquet",
        targets=of_recipe("teacher", "results/pretrained/{recipe}.targets.safetensors"),
        start=of_recipe("start", "results/checkpoints/{value}.safetensors"),
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
        targets=lambda wildcards, input: option("targets", input.targets),
        start=lambda wildcards, input: option("start", input.start),
    message:
        "Pretrain {wildcards.recipe}"
    shell:
        command(
            "pretrain",
            "{params.targets}",
            "{params.start}",
            molecules="input.molecules",
            state="params.state",
            curve="output.curve",
            out="output.weights",
        )
