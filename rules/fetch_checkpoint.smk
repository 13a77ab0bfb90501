# A pretrained encoder's weights, checked and stored under our names.
rule fetch_checkpoint:
    input:
        lambda wildcards: own_files(EXPERIMENT.checkpoints[wildcards.model].sources),
        own_code,
    output:
        "results/checkpoints/{model}.safetensors",
    log:
        "results/logs/fetch_checkpoint/{model}.log",
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings(EXPERIMENT.checkpoint_settings),
        code=code("roftmol.encoders.checkpoints"),
    message:
        "Fetch the weights of {wildcards.model}"
    shell:
        "python -m roftmol fetch-checkpoint --settings {params.settings:q} --archives results/archives --out {output:q}"
        " 2>&1 | tee {log:q}"
