# A head in closed form on the encoders that a method's fits left, which lie in the parts/ of its run.
rule tuned_head:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        tasks="results/data/{dataset}/tasks.parquet",
        graphs=graphs_of,
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
        checkpoint="results/checkpoints/{model}.safetensors",
        own=own_code,
        tuned=lambda wildcards: run_of(wildcards, encoder_of(wildcards), "fits"),
        selecting=lambda wildcards: run_of(
            wildcards, encoder_of(wildcards), "predictions"
        ),
        mixed=mixed_of,
        descriptors=descriptors_of,
        gfn2=gfn2_of,
    output:
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/fits.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/predictions.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/curves.parquet",
    log:
        "results/logs/tuned_head/{protocol}/{model}/{dataset}/{split}-{budget}/{method}.log",
    wildcard_constraints:
        method=methods_of("tuned_head"),
    conda:
        env("tuned_head")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("tuned_head"),
        code=code("tuned_head"),
        data=subpath(input.molecules, parent=True),
        tuned=subpath(input.tuned, parent=True),
        mixed=lambda wildcards, input: option(
            "mixed", Path(input.mixed).parent if input.mixed else ""
        ),
        descriptors=lambda wildcards, input: option("descriptors", input.descriptors),
        gfn2=lambda wildcards, input: option("gfn2", input.gfn2),
        out=subpath(output[0], parent=True),
    message:
        "Head on fits of {wildcards.model} on {wildcards.dataset}, {wildcards.split}-{wildcards.budget}: {wildcards.method}"
    shell:
        command(
            "tuned_head",
            "{params.mixed}",
            "{params.descriptors}",
            "{params.gfn2}",
            data="params.data",
            graphs="input.graphs",
            splits="input.splits",
            checkpoint="input.checkpoint",
            tuned="params.tuned",
            out="params.out",
        )
