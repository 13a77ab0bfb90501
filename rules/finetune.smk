# One method trained in one cell, all seeds and settings in one job. Finished fits lie in parts/ beside the outputs,
# unknown to snakemake: a job that was killed or that got more to do computes only what is missing.
rule finetune:
    input:
        graphs=graphs_of,
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
        checkpoint="results/checkpoints/{model}.safetensors",
        own=own_code,
        auxiliary=auxiliary_of,
        source=started_from,
    output:
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/fits.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/predictions.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/curves.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/changes.parquet",
    log:
        "results/logs/finetune/{protocol}/{model}/{dataset}/{split}-{budget}/{method}.log",
    wildcard_constraints:
        method=methods_of("train"),
    conda:
        env("finetune")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 240 * attempt,
    params:
        settings=settings("finetune"),
        code=code("finetune"),
        auxiliary=lambda wildcards, input: option("auxiliary", input.auxiliary),
        source=lambda wildcards, input: option(
            "source", Path(input.source).parent if input.source else ""
        ),
        out=subpath(output[0], parent=True),
    message:
        "Fine-tune {wildcards.model} on {wildcards.dataset}, {wildcards.split}-{wildcards.budget}: {wildcards.method}"
    shell:
        command(
            "finetune",
            "{params.auxiliary}",
            "{params.source}",
            data="input.graphs",
            splits="input.splits",
            checkpoint="input.checkpoint",
            out="params.out",
        )
