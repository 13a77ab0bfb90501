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
        "../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=lambda wildcards: canonical_json(
            RECIPES[wildcards.recipe].set_settings()
        ),
        code=code("roftmol.data.corpora"),
        corpora=subpath(input[0], parent=True),
    message:
        "Molecules and labels for {wildcards.recipe}"
    shell:
        "python -m roftmol pretraining-set --settings {params.settings:q} --corpora {params.corpora:q}"
        " --processes {threads} --out {output:q} 2>&1 | tee {log:q}"


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
        "../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 1440 * attempt,
    params:
        settings=lambda wildcards: canonical_json(
            RECIPES[wildcards.recipe].pretrain_settings()
        ),
        code=code("roftmol.training.pretraining"),
        state="results/pretrained/{recipe}.state",
    message:
        "Pretrain {wildcards.recipe}"
    shell:
        "python -m roftmol pretrain --settings {params.settings:q} --molecules {input:q} --state {params.state:q}"
        " --curve {output.curve:q} --processes {threads} --out {output.weights:q} 2>&1 | tee {log:q}"
