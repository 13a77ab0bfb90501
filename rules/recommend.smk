# For a user's own file: which method to take, and the model. Its tables, page and bundle have a folder of their own.
rule recommend:
    input:
        recommended,


if EXPERIMENT.recommendation:
    NAME = EXPERIMENT.recommendation.name
    FIRST = f"{OUT}/first"

    # What takes seconds comes before what takes minutes: all heads and references in one job, and what they tell. Their
    # fits lie where rules of their own would put them.
    rule first_verdict:
        input:
            molecules=f"results/data/{NAME}/molecules.parquet",
            tasks=f"results/data/{NAME}/tasks.parquet",
            splits=EXPERIMENT.cells.split_files(RESULTS),
            checkpoints=expand(
                "results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints
            ),
        output:
            [
                f"{folder}/{table}.parquet"
                for folder in EXPERIMENT.cells.untrained(RESULTS)
                for table in ("fits", "predictions", "curves")
            ],
            [f"{FIRST}/tables/{name}.parquet" for name in aggregate.TABLES],
            f"{FIRST}/tables/summary.csv",
            f"{FIRST}/ranking.parquet",
            f"{FIRST}/ranking.csv",
            verdict=f"{FIRST}/verdict.json",
        log:
            f"results/logs/first_verdict/{NAME}.log",
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
            "First verdict: heads and references"
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
            f"{OUT}/verdict.json",
            f"{OUT}/ranking.parquet",
            f"{OUT}/ranking.csv",
        log:
            f"results/logs/verdict/{NAME}.log",
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
            "Rank the methods"
        shell:
            command("verdict", tables="params.tables", out="params.out")

    # A model and a page are made of the first verdict, in the folder first/, and of the last. Which checkpoint it takes is
    # known when the verdict is; all candidates' are there by then.
    rule refit:
        input:
            molecules=f"results/data/{NAME}/molecules.parquet",
            predictions=f"{OUT}/{{first}}tables/predictions.parquet",
            verdict=f"{OUT}/{{first}}verdict.json",
            checkpoints=expand(
                "results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints
            ),
        output:
            f"{OUT}/{{first}}{NAME}.roftmol",
        log:
            f"results/logs/refit/{{first}}{NAME}.log",
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
            checkpoints="results/checkpoints",
        message:
            "Fit the method that was chosen on all labels"
        shell:
            command(
                "refit",
                molecules="input.molecules",
                tables="params.tables",
                verdict="input.verdict",
                checkpoints="params.checkpoints",
                out="output",
            )

    rule recommendation:
        input:
            tables=[
                f"{OUT}/{{first}}tables/{name}.parquet" for name in aggregate.TABLES
            ],
            verdict=f"{OUT}/{{first}}verdict.json",
            ranking=f"{OUT}/{{first}}ranking.parquet",
            bundle=f"{OUT}/{{first}}{NAME}.roftmol",
        output:
            report(
                f"{OUT}/{{first}}report.html",
                caption="../workflow/report/report.rst",
                category="Report",
            ),
        log:
            f"results/logs/recommendation/{{first}}{NAME}.log",
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
            tables=lambda wildcards: f"{OUT}/{wildcards.first}tables",
            evidence=lambda wildcards: option(
                "evidence", "" if wildcards.first else f"{OUT}/evidence.html"
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
