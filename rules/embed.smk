# A dataset's vectors under a frozen encoder: once for all heads, splits and budgets.
rule embed:
    input:
        graphs=graphs_of,
        checkpoint="results/checkpoints/{model}.safetensors",
        own=own_code,
    output:
        "results/vectors/{model}/{dataset}.safetensors",
    log:
        "results/logs/embed/{model}/{dataset}.log",
    conda:
        env("embed")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("embed"),
        code=code("embed"),
    message:
        "Vectors of {wildcards.dataset} under {wildcards.model}"
    shell:
        command(
            "embed", data="input.graphs", checkpoint="input.checkpoint", out="output"
        )
