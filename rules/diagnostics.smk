# Behind the mean score: activity cliffs of a dataset, then the questions that are asked of all predictions.
rule cliffs:
    input:
        source="results/data/{dataset}/source",
        molecules="results/data/{dataset}/molecules.parquet",
    output:
        "results/data/{dataset}/cliffs.parquet",
    log:
        "results/logs/cliffs/{dataset}.log",
    conda:
        env("cliffs")
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("cliffs"),
        code=code("cliffs"),
    message:
        "Find the activity cliffs of {wildcards.dataset}"
    shell:
        command(
            "cliffs", source="input.source", molecules="input.molecules", out="output"
        )


rule diagnostics:
    input:
        TABLES,
        lambda wildcards: about(wildcards).cells.split_files(RESULTS),
        expand("results/data/{dataset}/cliffs.parquet", dataset=EXPERIMENT.cliffs),
    output:
        DIAGNOSTICS,
    log:
        f"results/logs/{PART}diagnostics.log",
    conda:
        env("diagnostics")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("diagnostics"),
        code=code("diagnostics"),
        tables=subpath(input[0], parent=True),
        out=subpath(output[0], parent=True),
    message:
        f"Look behind the mean score{OF_TARGET}"
    shell:
        command(
            "diagnostics", tables="params.tables", out="params.out", results="results"
        )
