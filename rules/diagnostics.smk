# Behind the mean score: activity cliffs of a data set, then the questions that are asked of all predictions.
rule cliffs:
    input:
        source="results/data/{dataset}/source",
        molecules="results/data/{dataset}/molecules.parquet",
    output:
        "results/data/{dataset}/cliffs.parquet",
    log:
        "results/logs/cliffs/{dataset}.log",
    conda:
        "../envs/data.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings(EXPERIMENT.cliffs_settings),
        code=code("roftmol.data.activity_cliffs"),
    message:
        "Find the activity cliffs of {wildcards.dataset}"
    shell:
        "python -m roftmol cliffs --settings {params.settings:q} --source {input.source:q}"
        " --molecules {input.molecules:q} --out {output:q} 2>&1 | tee {log:q}"


rule diagnostics:
    input:
        TABLES,
        EXPERIMENT.cells.split_files(RESULTS),
        expand("results/data/{dataset}/cliffs.parquet", dataset=EXPERIMENT.cliffs),
    output:
        DIAGNOSTICS,
    log:
        "results/logs/diagnostics.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=canonical_json(EXPERIMENT.diagnostics_settings()),
        code=code("roftmol.evaluation.diagnostics.stage"),
        tables=subpath(input[0], parent=True),
        out=subpath(output[0], parent=True),
    message:
        "Look behind the mean score"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol diagnostics --settings {params.settings:q} --tables {params.tables:q}"
        " --results results --out {params.out:q} 2>&1 | tee {log:q}"
