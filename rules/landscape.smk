# The loss around full FT's solutions: along the line from the pretrained weights, and over a plane.
rule landscape:
    input:
        graphs=graphs_of,
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
        checkpoint="results/checkpoints/{model}.safetensors",
        own=own_code,
        full_ft="results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/"
        f"{FULL_FT}/fits.parquet",
        dwise_ft=(
            "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/"
            f"{DWISE_FT}/fits.parquet"
            if DWISE_FT in EXPERIMENT.cells.methods
            else []
        ),
    output:
        "results/landscapes/{protocol}/{model}/{dataset}/{split}-{budget}/paths.parquet",
        "results/landscapes/{protocol}/{model}/{dataset}/{split}-{budget}/planes.parquet",
    log:
        "results/logs/landscape/{protocol}/{model}/{dataset}/{split}-{budget}.log",
    # It ends the longest chain of jobs, as `interpolate` does without it.
    priority: 10
    conda:
        env("landscape")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("landscape"),
        code=code("landscape"),
        runs=subpath(input.full_ft, ancestor=2),
        out=subpath(output[0], parent=True),
    message:
        "Landscape of {wildcards.model} on {wildcards.dataset}, {wildcards.split}-{wildcards.budget}"
    shell:
        command(
            "landscape",
            data="input.graphs",
            splits="input.splits",
            checkpoint="input.checkpoint",
            runs="params.runs",
            out="params.out",
        )
