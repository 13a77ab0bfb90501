# What a dataset shares with a pretraining corpus, and what the models are: see docs/provenance.md.
rule overlap:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        corpus="results/corpora/{corpus}.parquet",
    output:
        "results/overlaps/{dataset}/{corpus}.parquet",
    log:
        "results/logs/overlap/{dataset}/{corpus}.log",
    conda:
        env("overlap")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code("overlap"),
    message:
        "Look for {wildcards.dataset} in {wildcards.corpus}"
    shell:
        command(
            "overlap", molecules="input.molecules", corpus="input.corpus", out="output"
        )


rule provenance:
    input:
        expand("results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints),
    output:
        f"{OUT}/provenance/models.parquet",
    log:
        "results/logs/provenance.log",
    conda:
        env("provenance")
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("provenance"),
        code=code("provenance"),
        checkpoints=subpath(input[0], parent=True),
    message:
        "Compare the models' weights"
    shell:
        command("provenance", checkpoints="params.checkpoints", out="output")
