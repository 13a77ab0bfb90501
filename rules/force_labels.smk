# Energies and forces of a corpus' molecules that are in no data set: for methods that train on a property and on forces.
rule force_labels:
    input:
        corpus=lambda wildcards: f"results/corpora/{EXPERIMENT.force_corpus}.parquet",
        molecules=lambda wildcards: expand(
            "results/data/{dataset}/molecules.parquet",
            dataset=EXPERIMENT.force_settings(wildcards.source)["datasets"],
        ),
    output:
        "results/forces/{source}.parquet",
    log:
        "results/logs/force_labels/{source}.log",
    conda:
        "../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings(EXPERIMENT.force_settings),
        code=code("roftmol.forces"),
        data="results/data",
        parts="results/forces/parts",
    message:
        "Label molecules with forces: {wildcards.source}"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol force-labels --settings {params.settings:q} --corpus {input.corpus:q}"
        " --data {params.data:q} --parts {params.parts:q} --processes {threads} --out {output:q} 2>&1 | tee {log:q}"
