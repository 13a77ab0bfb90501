# A dataset's file, from the first of its sources that works. Its code is no parameter: the checksum says what comes.
rule fetch_data:
    input:
        lambda wildcards: own_files(
            named("datasets", EXPERIMENT.datasets, wildcards.dataset).sources
        ),
    output:
        "results/data/{dataset}/source",
    log:
        "results/logs/fetch_data/{dataset}.log",
    priority: 50  # all else waits for it
    conda:
        env("fetch_data")
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("fetch_data"),
    message:
        "Fetch {wildcards.dataset}"
    shell:
        command("fetch_data", out="output", archives="results/archives")
