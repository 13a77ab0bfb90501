# What a second task learns from, for methods that keep the pretraining task: molecules of a corpus that are in no data set.
rule auxiliary_molecules:
    input:
        corpus=f"results/corpora/{EXPERIMENT.auxiliary['corpus']}.parquet",
        molecules=expand(
            "results/data/{dataset}/molecules.parquet", dataset=EXPERIMENT.datasets
        ),
    output:
        "results/auxiliary/molecules.parquet",
    log:
        "results/logs/auxiliary_molecules.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=canonical_json(EXPERIMENT.auxiliary_settings()),
        code=code("roftmol.data.corpora"),
        data=lambda wildcards, input: Path(input.molecules[0]).parents[1],
    message:
        "Take molecules for the second task"
    shell:
        "python -m roftmol auxiliary-molecules --settings {params.settings:q} --corpus {input.corpus:q}"
        " --data {params.data:q} --out {output:q} 2>&1 | tee {log:q}"


# The same with energies and forces, for atomistic models.
rule force_labels:
    input:
        corpus=f"results/corpora/{EXPERIMENT.auxiliary['corpus']}.parquet",
        molecules=expand(
            "results/data/{dataset}/molecules.parquet", dataset=EXPERIMENT.datasets
        ),
    output:
        "results/forces/{source}.parquet",
    log:
        "results/logs/force_labels/{source}.log",
    wildcard_constraints:
        source="gfn2",
    conda:
        "../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings(EXPERIMENT.force_settings),
        code=code(
            "roftmol.data.force_labels",
            leaves=("roftmol.data.molecules", "roftmol.features.featurizers.geometry"),
        ),
        data=lambda wildcards, input: Path(input.molecules[0]).parents[1],
        parts="results/forces/parts",
    message:
        "Label molecules with forces: {wildcards.source}"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol force-labels --settings {params.settings:q} --corpus {input.corpus:q}"
        " --data {params.data:q} --parts {params.parts:q} --processes {threads} --out {output:q} 2>&1 | tee {log:q}"


# The same from a file of the user's own.
rule native_labels:
    input:
        source=lambda wildcards: (
            EXPERIMENT.auxiliary["native"]
            or stop("auxiliary.native: name your file of force labels")
        ),
        molecules=expand(
            "results/data/{dataset}/molecules.parquet", dataset=EXPERIMENT.datasets
        ),
    output:
        "results/forces/native.parquet",
    log:
        "results/logs/native_labels.log",
    conda:
        "../envs/train.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=canonical_json(EXPERIMENT.native_settings()),
        code=code("roftmol.data.force_labels"),
        data=lambda wildcards, input: Path(input.molecules[0]).parents[1],
    message:
        "Read force labels of your own"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol native-labels --settings {params.settings:q} --source {input.source:q}"
        " --data {params.data:q} --processes {threads} --out {output:q} 2>&1 | tee {log:q}"
