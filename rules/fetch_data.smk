# A data set's file, from the first of its sources that works. Its code is no parameter: the checksum says what comes.
rule fetch_data:
    input:
        lambda wildcards: own_files(EXPERIMENT.datasets[wildcards.dataset].sources),
    output:
        "results/data/{dataset}/source",
    log:
        "results/logs/fetch_data/{dataset}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings(EXPERIMENT.fetch_settings),
    message:
        "Fetch {wildcards.dataset}"
    shell:
        "python -m roftmol fetch-data --settings {params.settings:q} --archives results/archives --out {output:q}"
        " 2>&1 | tee {log:q}"
