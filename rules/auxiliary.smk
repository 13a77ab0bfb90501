# What a second task learns from, for methods that keep the pretraining task: molecules of a corpus that are in no dataset.
rule auxiliary_molecules:
    input:
        corpus=f"results/corpora/{EXPERIMENT.auxiliary.corpus}.parquet",
        molecules=expand(
            "results/data/{dataset}/molecules.parquet", dataset=EXPERIMENT.datasets
        ),
    output:
        "results/auxiliary/molecules.parquet",
    log:
        "results/logs/auxiliary_molecules.log",
    conda:
        env("auxiliary_molecules")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("auxiliary_molecules"),
        code=code("auxiliary_molecules"),
        data=lambda wildcards, input: Path(input.molecules[0]).parents[1],
    message:
        "Take molecules for the second task"
    shell:
        command(
            "auxiliary_molecules",
            corpus="input.corpus",
            data="params.data",
            out="output",
        )


# The same with energies and forces, for atomistic models.
rule force_labels:
    input:
        corpus=f"results/corpora/{EXPERIMENT.auxiliary.corpus}.parquet",
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
        env("force_labels")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings("force_labels"),
        code=code("force_labels"),
        data=lambda wildcards, input: Path(input.molecules[0]).parents[1],
        parts="results/forces/parts",
    message:
        "Label molecules with forces: {wildcards.source}"
    shell:
        command(
            "force_labels",
            corpus="input.corpus",
            data="params.data",
            parts="params.parts",
            out="output",
        )


# The same from a file of the user's own.
rule native_labels:
    input:
        source=lambda wildcards: (
            EXPERIMENT.auxiliary.native
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
        env("native_labels")
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("native_labels"),
        code=code("native_labels"),
        data=lambda wildcards, input: Path(input.molecules[0]).parents[1],
    message:
        "Read force labels of your own"
    shell:
        command(
            "native_labels", source="input.source", data="params.data", out="output"
        )
