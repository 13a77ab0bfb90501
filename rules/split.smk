# Which molecule is train, validation or test, for every seed.
rule split:
    input:
        "results/data/{dataset}/molecules.parquet",
    output:
        "results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
    log:
        "results/logs/split/{protocol}/{dataset}/{split}-{budget}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings(EXPERIMENT.split_settings),
        code=code("roftmol.data.splits"),
    message:
        "Split {wildcards.dataset}: {wildcards.split}-{wildcards.budget}, {wildcards.protocol}"
    shell:
        "python -m roftmol split --settings {params.settings:q} --molecules {input:q} --out {output:q}"
        " 2>&1 | tee {log:q}"
