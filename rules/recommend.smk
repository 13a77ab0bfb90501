# For a user's own file: which method to take, and the model. Its tables, page and bundle have a folder of their own.
rule recommend:
    input:
        recommended,


if EXPERIMENT.recommendation:
    NAME = EXPERIMENT.recommendation.name
    # The records of a target, and its part of the results.
    DATASET = f"{NAME}-{{target}}" if EXPERIMENT.targets else NAME
    FIRST = f"{OUT}/{PART}first"

    # What takes seconds comes before what takes minutes: all heads and references in one job, and what they tell. Their
    # fits lie where rules of their own would put them.
    rule first_verdict:
        input:
            molecules=f"results/data/{DATASET}/molecules.parquet",
            tasks=f"results/data/{DATASET}/tasks.parquet",
            splits=replace(EXPERIMENT.cells, datasets=(DATASET,)).split_files(RESULTS),
            checkpoints=expand(
                "results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints
            ),
        output:
            [
                f"{folder}/{table}.parquet"
                for folder in replace(EXPERIMENT.cells, datasets=(DATASET,)).untrained(
                    RESULTS
                )
                for table in ("fits", "predictions", "curves")
            ],
            [f"{FIRST}/tables/{name}.parquet" for name in aggregate.TABLES],
            f"{FIRST}/tables/summary.csv",
            f"{FIRST}/ranking.parquet",
            f"{FIRST}/ranking.csv",
            verdict=f"{FIRST}/verdict.json",
        log:
            f"results/logs/first_verdict/{DATASET}.log",
        priority: 100
        conda:
            env("first_verdict")
        threads: 2
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("first_verdict"),
            code=code("first_verdict"),
            data=subpath(input.molecules, parent=True),
            checkpoints="results/checkpoints",
            runs="results/runs",
            out=subpath(output.verdict, parent=True),
        message:
            f"First verdict{OF_TARGET}: heads and references"
        shell:
            command(
                "first_verdict",
                data="params.data",
                splits="input.splits",
                checkpoints="params.checkpoints",
                runs="params.runs",
                out="params.out",
            )

    ruleorder: first_verdict > head
    ruleorder: first_verdict > baseline

    rule verdict:
        input:
            TABLES,
        output:
            f"{OUT}/{PART}verdict.json",
            f"{OUT}/{PART}ranking.parquet",
            f"{OUT}/{PART}ranking.csv",
        log:
            f"results/logs/verdict/{DATASET}.log",
        conda:
            env("verdict")
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("verdict"),
            code=code("verdict"),
            tables=subpath(input[0], parent=True),
            out=subpath(output[0], parent=True),
        message:
            f"Rank the methods{OF_TARGET}"
        shell:
            command("verdict", tables="params.tables", out="params.out")

    # A model and a page are made of the first verdict, in the folder first/, and of the last. Which checkpoint it takes is
    # known when the verdict is; all candidates' are there by then.
    rule refit:
        input:
            molecules=f"results/data/{DATASET}/molecules.parquet",
            # What a joint method learns from.
            panel=expand(
                "results/data/{dataset}/molecules.parquet",
                dataset=EXPERIMENT.datasets if EXPERIMENT.targets else [],
            ),
            predictions=f"{OUT}/{PART}{{first}}tables/predictions.parquet",
            verdict=f"{OUT}/{PART}{{first}}verdict.json",
            checkpoints=expand(
                "results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints
            ),
        output:
            f"{OUT}/{PART}{{first}}{DATASET}.roftmol",
        log:
            f"results/logs/refit/{{first}}{DATASET}.log",
        wildcard_constraints:
            first="(first/)?",
        priority: 90
        conda:
            env("refit")
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 120 * attempt,
        params:
            settings=settings("refit"),
            code=code("refit"),
            tables=subpath(input.predictions, parent=True),
            data=lambda wildcards, input: option(
                "data", "results/data" if input.panel else ""
            ),
            checkpoints="results/checkpoints",
        message:
            f"Fit the method that was chosen on all labels{OF_TARGET}"
        shell:
            command(
                "refit",
                "{params.data}",
                molecules="input.molecules",
                tables="params.tables",
                verdict="input.verdict",
                checkpoints="params.checkpoints",
                out="output",
            )

    rule recommendation:
        input:
            tables=[
                f"{OUT}/{PART}{{first}}tables/{name}.parquet"
                for name in aggregate.TABLES
            ],
            verdict=f"{OUT}/{PART}{{first}}verdict.json",
            ranking=f"{OUT}/{PART}{{first}}ranking.parquet",
            bundle=f"{OUT}/{PART}{{first}}{DATASET}.roftmol",
        output:
            report(
                f"{OUT}/{PART}{{first}}report.html",
                caption="../workflow/report/report.rst",
                category="Report",
            ),
        log:
            f"results/logs/recommendation/{{first}}{DATASET}.log",
        wildcard_constraints:
            first="(first/)?",
        priority: 80
        conda:
            env("recommendation")
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("recommendation"),
            code=code("recommendation"),
            tables=lambda wildcards, input: Path(input.tables[0]).parent,
            evidence=lambda wildcards: option(
                "evidence", "" if wildcards.first else REPORT.format(**wildcards)
            ),
        message:
            "Recommendation: {output}"
        shell:
            command(
                "recommendation",
                "{params.evidence}",
                tables="params.tables",
                verdict="input.verdict",
                bundle="input.bundle",
                out="output",
            )


# Several targets: one model and one page of all.
if EXPERIMENT.targets:

    rule panel_bundle:
        input:
            expand(f"{OUT}/{PART}{DATASET}.roftmol", target=EXPERIMENT.targets),
        output:
            BUNDLE,
        log:
            f"results/logs/panel_bundle/{NAME}.log",
        conda:
            env("panel_bundle")
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("panel_bundle"),
            code=code("panel_bundle"),
            folder=subpath(output[0], parent=True),
        message:
            "Put the models of all targets into one file"
        shell:
            command("panel_bundle", folder="params.folder", out="output")

    rule overview:
        input:
            expand(
                [
                    f"{OUT}/{PART}{name}"
                    for name in (
                        "verdict.json",
                        "ranking.parquet",
                        "tables/tasks.parquet",
                    )
                ],
                target=EXPERIMENT.targets,
            ),
        output:
            verdict=f"{OUT}/verdict.json",
            page=report(
                f"{OUT}/report.html",
                caption="../workflow/report/report.rst",
                category="Report",
            ),
        log:
            f"results/logs/overview/{NAME}.log",
        conda:
            env("overview")
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("overview"),
            code=code("overview"),
            folder=subpath(output.page, parent=True),
        message:
            "Overview of all targets: {output.page}"
        shell:
            command("overview", folder="params.folder")
