# Weights between the pretrained and the fine-tuned ones, which lie in the parts/ of the source method's run.
rule interpolate:
    input:
        graphs=graphs_of,
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
        checkpoint="results/checkpoints/{model}.safetensors",
        own=own_code,
        auxiliary=auxiliary_of,
        source=lambda wildcards: run_of(
            wildcards, METHODS[wildcards.method].mixing.source, "fits"
        ),
    output:
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/fits.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/predictions.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/curves.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/changes.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/coefficients.parquet",
    log:
        "results/logs/interpolate/{protocol}/{model}/{dataset}/{split}-{budget}/{method}.log",
    wildcard_constraints:
        method=methods_of("interpolate"),
    # The longest chain of jobs ends here, so its last link does not wait for jobs that nothing waits for.
    priority: 10
    conda:
        env("interpolate")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("interpolate"),
        code=code("interpolate"),
        source=subpath(input.source, parent=True),
        auxiliary=lambda wildcards, input: option("auxiliary", input.auxiliary),
        out=subpath(output[0], parent=True),
    message:
        "Interpolate {wildcards.model} on {wildcards.dataset}, {wildcards.split}-{wildcards.budget}: {wildcards.method}"
    shell:
        command(
            "interpolate",
            "{params.auxiliary}",
            data="input.graphs",
            splits="input.splits",
            checkpoint="input.checkpoint",
            source="params.source",
            out="params.out",
        )
