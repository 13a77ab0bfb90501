# A pretrained encoder's weights, checked and stored under our names.
rule fetch_checkpoint:
    input:
        lambda wildcards: own_files(
            named("models", EXPERIMENT.published, wildcards.model).sources
        ),
        own_code,
    output:
        "results/checkpoints/{model}.safetensors",
    log:
        "results/logs/fetch_checkpoint/{model}.log",
    priority: 50  # all else waits for it
    conda:
        env("fetch_checkpoint")
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("fetch_checkpoint"),
        code=code("fetch_checkpoint"),
    message:
        "Fetch the weights of {wildcards.model}"
    shell:
        command("fetch_checkpoint", out="output", archives="results/archives")
