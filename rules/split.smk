# Which molecule is train, validation or test, for every seed.
rule split:
    input:
        "results/data/{dataset}/molecules.parquet",
    output:
        "results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
    log:
        "results/logs/split/{protocol}/{dataset}/{split}-{budget}.log",
    priority: 50  # all else waits for it
    conda:
        env("split")
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("split"),
        code=code("split"),
    message:
        "Split {wildcards.dataset}: {wildcards.split}-{wildcards.budget}, {wildcards.protocol}"
    shell:
        command("split", molecules="input", out="output")
