# A reference without an encoder in one cell: no model, so once for all.
rule baseline:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        tasks="results/data/{dataset}/tasks.parquet",
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
        descriptors=descriptors_of,
        gfn2=gfn2_of,
    output:
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/fits.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/predictions.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/curves.parquet",
    log:
        "results/logs/baseline/{protocol}/{model}/{dataset}/{split}-{budget}/{method}.log",
    wildcard_constraints:
        method=methods_of("external"),
    conda:
        env("baseline")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("baseline"),
        code=code("baseline"),
        data=subpath(input.molecules, parent=True),
        descriptors=lambda wildcards, input: option("descriptors", input.descriptors),
        gfn2=lambda wildcards, input: option("gfn2", input.gfn2),
        out=subpath(output[0], parent=True),
    message:
        "Reference on {wildcards.dataset}, {wildcards.split}-{wildcards.budget}: {wildcards.method}"
    shell:
        command(
            "baseline",
            "{params.descriptors}",
            "{params.gfn2}",
            data="params.data",
            splits="input.splits",
            out="params.out",
        )
