# A head in closed form on a frozen encoder's vectors in one cell: seconds, so all seeds and folds in one job.
rule head:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        tasks="results/data/{dataset}/tasks.parquet",
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
        vectors="results/vectors/{model}/{dataset}.safetensors",
        descriptors=descriptors_of,
        gfn2=gfn2_of,
    output:
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/fits.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/predictions.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/curves.parquet",
    log:
        "results/logs/head/{protocol}/{model}/{dataset}/{split}-{budget}/{method}.log",
    wildcard_constraints:
        method=methods_of("head"),
    conda:
        env("head")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("head"),
        code=code("head"),
        data=subpath(input.molecules, parent=True),
        descriptors=lambda wildcards, input: option("descriptors", input.descriptors),
        gfn2=lambda wildcards, input: option("gfn2", input.gfn2),
        out=subpath(output[0], parent=True),
    message:
        "Head on {wildcards.model} and {wildcards.dataset}, {wildcards.split}-{wildcards.budget}: {wildcards.method}"
    shell:
        command(
            "head",
            "{params.descriptors}",
            "{params.gfn2}",
            data="params.data",
            splits="input.splits",
            vectors="input.vectors",
            out="params.out",
        )
