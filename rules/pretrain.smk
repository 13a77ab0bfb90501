# An encoder of our own, from a recipe of workflow/roftmol/registry/pretraining.yaml. Hours; not part of the default run:
#   snakemake --cores all results/pretrained/gin-zinc-masking.safetensors
rule fetch_corpus:
    output:
        "results/pretrained/{recipe}.smiles",
    log:
        "results/logs/fetch_corpus/{recipe}.log",
    wildcard_constraints:
        recipe="|".join(RECIPES),
    conda:
        "../envs/data.yaml"
    params:
        settings=lambda wildcards: canonical_json(
            {"name": wildcards.recipe, "sources": RECIPES[wildcards.recipe]["corpus"]}
        ),
    message:
        "Fetch the corpus of {wildcards.recipe}"
    shell:
        "python -m roftmol fetch-data --settings {params.settings:q} --archives results/archives --out {output:q}"
        " 2>&1 | tee {log:q}"


rule pretrain:
    input:
        "results/pretrained/{recipe}.smiles",
    output:
        weights="results/pretrained/{recipe}.safetensors",
        curve="results/pretrained/{recipe}.curve.json",
    log:
        "results/logs/pretrain/{recipe}.log",
    wildcard_constraints:
        recipe="|".join(RECIPES),
    conda:
        "../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
    params:
        settings=lambda wildcards: canonical_json(
            {
                key: value
                for key, value in RECIPES[wildcards.recipe].items()
                if key != "corpus"
            }
        ),
        code=code("roftmol.pretrain"),
        state="results/pretrained/{recipe}.state",
    message:
        "Pretrain {wildcards.recipe}"
    shell:
        "python -m roftmol pretrain --settings {params.settings:q} --corpus {input:q} --state {params.state:q}"
        " --curve {output.curve:q} --processes {threads} --out {output.weights:q} 2>&1 | tee {log:q}"
