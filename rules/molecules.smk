# A dataset's molecules, its tasks, and what was rejected.
rule molecules:
    input:
        "results/data/{dataset}/source",
    output:
        "results/data/{dataset}/molecules.parquet",
        "results/data/{dataset}/rejects.parquet",
        "results/data/{dataset}/tasks.parquet",
    log:
        "results/logs/molecules/{dataset}.log",
    priority: 50  # all else waits for it
    conda:
        env("molecules")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("molecules"),
        code=code("molecules"),
        out=subpath(output[0], parent=True),
    message:
        "Read the molecules of {wildcards.dataset}"
    shell:
        command("molecules", source="input", out="params.out")
