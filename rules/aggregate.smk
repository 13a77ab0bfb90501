# All runs put together: scores, the selected settings, the summary.
rule aggregate:
    input:
        [folder / "fits.parquet" for folder in EXPERIMENT.cells.runs(RESULTS)],
        [folder / "tasks.parquet" for folder in EXPERIMENT.cells.data(RESULTS)],
        EXPERIMENT.cells.split_files(RESULTS),
        [
            f"results/overlaps/{dataset}/{corpus}.parquet"
            for dataset, corpus in EXPERIMENT.overlaps()
        ],
        [
            folder / f"{name}.parquet"
            for folder in EXPERIMENT.landscapes(RESULTS)
            for name in aggregate.LANDSCAPES
        ],
        models=f"{OUT}/provenance/models.parquet",
    output:
        TABLES,
        report(
            f"{OUT}/tables/summary.csv",
            caption="../workflow/report/summary.rst",
            category="Tables",
        ),
    log:
        "results/logs/aggregate.log",
    conda:
        "../envs/report.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=canonical_json(EXPERIMENT.aggregate_settings()),
        code=code("roftmol.evaluation.aggregate", "roftmol.evaluation.contamination"),
        out=subpath(output[0], parent=True),
    message:
        "Aggregate"
    shell:
        "python -m roftmol aggregate --settings {params.settings:q} --results results --models {input.models:q}"
        " --out {params.out:q} 2>&1 | tee {log:q}"
