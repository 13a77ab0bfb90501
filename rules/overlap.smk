# What a data set shares with a pretraining corpus, and what the models are: see docs/provenance.md.
rule overlap:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        corpus="results/corpora/{corpus}.parquet",
    output:
        "results/overlaps/{dataset}/{corpus}.parquet",
    log:
        "results/logs/overlap/{dataset}/{corpus}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code("roftmol.data.overlap"),
    message:
        "Look for {wildcards.dataset} in {wildcards.corpus}"
    shell:
        "python -m roftmol overlap --molecules {input.molecules:q} --corpus {input.corpus:q} --out {output:q}"
        " 2>&1 | tee {log:q}"


rule provenance:
    input:
        expand("results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints),
    output:
        f"{OUT}/provenance/models.parquet",
    log:
        "results/logs/provenance.log",
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=canonical_json(EXPERIMENT.provenance_settings()),
        code=code("roftmol.evaluation.provenance"),
        checkpoints=subpath(input[0], parent=True),
    message:
        "Compare the models' weights"
    shell:
        "python -m roftmol provenance --settings {params.settings:q} --checkpoints {params.checkpoints:q}"
        " --out {output:q} 2>&1 | tee {log:q}"
