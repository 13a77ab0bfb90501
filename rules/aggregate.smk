# All runs put together: scores, the selected settings, the summary.
rule aggregate:
    input:
        runs_of,
        lambda wildcards: [
            folder / "tasks.parquet" for folder in about(wildcards).cells.data(RESULTS)
        ],
        lambda wildcards: about(wildcards).cells.split_files(RESULTS),
        [
            f"results/overlaps/{dataset}/{corpus}.parquet"
            for dataset, corpus in EXPERIMENT.overlaps()
        ],
        [
            f"results/exposure/{protocol}/{panel}/{split}-{budget}.parquet"
            for protocol, panel, split, budget in EXPERIMENT.exposures()
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
            f"{OUT}/{PART}tables/summary.csv",
            caption="../workflow/report/summary.rst",
            category="Tables",
        ),
    log:
        f"results/logs/{PART}aggregate.log",
    conda:
        env("aggregate")
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("aggregate"),
        code=code("aggregate"),
        out=subpath(output[0], parent=True),
    message:
        f"Aggregate{OF_TARGET}"
    shell:
        command("aggregate", models="input.models", out="params.out", results="results")
