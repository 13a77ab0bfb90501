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

    rule first_bundle:
        input:
            molecules=f"results/data/{NAME}/molecules.parquet",
            verdict=f"{FIRST}/verdict.json",
            checkpoints=expand(
                "results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints
            ),
        output:
            f"{FIRST}/{NAME}.roftmol",
        log:
            f"results/logs/first_bundle/{NAME}.log",
        priority: 90
        conda:
            env("refit")
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("refit"),
            code=code("refit"),
            tables=f"{FIRST}/tables",
            checkpoints="results/checkpoints",
        message:
            "Fit what the first verdict takes on all labels"
        shell:
            command(
                "refit",
                molecules="input.molecules",
                tables="params.tables",
                verdict="input.verdict",
                checkpoints="params.checkpoints",
                out="output",
            )

    rule first_page:
        input:
            tables=[f"{FIRST}/tables/{name}.parquet" for name in aggregate.TABLES],
            verdict=f"{FIRST}/verdict.json",
            ranking=f"{FIRST}/ranking.parquet",
            bundle=f"{FIRST}/{NAME}.roftmol",
        output:
            f"{FIRST}/report.html",
        log:
            f"results/logs/first_page/{NAME}.log",
        priority: 80
        conda:
            env("recommendation")
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("recommendation"),
            code=code("recommendation"),
            tables=f"{FIRST}/tables",
        message:
            "First verdict: {output}"
        shell:
            command(
                "recommendation",
                tables="params.tables",
                verdict="input.verdict",
                bundle="input.bundle",
                out="output",
            )

    rule verdict:
        input:
            TABLES,
        output:
            f"{OUT}/verdict.json",
            f"{OUT}/ranking.parquet",
            f"{OUT}/ranking.csv",
        log:
            f"results/logs/verdict/{EXPERIMENT.recommendation.name}.log",
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

    # Which checkpoint it takes is known when the verdict is; all candidates' are there by then.
    rule refit:
        input:
            molecules=f"results/data/{EXPERIMENT.recommendation.name}/molecules.parquet",
            predictions=f"{OUT}/tables/predictions.parquet",
            verdict=f"{OUT}/verdict.json",
            checkpoints=expand(
                "results/checkpoints/{model}.safetensors", model=EXPERIMENT.checkpoints
            ),
        output:
            BUNDLE,
        log:
            f"results/logs/refit/{EXPERIMENT.recommendation.name}.log",
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
            tables=TABLES,
            verdict=f"{OUT}/verdict.json",
            ranking=f"{OUT}/ranking.parquet",
            bundle=BUNDLE,
        output:
            report(
                f"{OUT}/report.html",
                caption="../workflow/report/report.rst",
                category="Report",
            ),
        log:
            f"results/logs/recommendation/{EXPERIMENT.recommendation.name}.log",
        conda:
            env("recommendation")
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=settings("recommendation"),
            code=code("recommendation"),
            tables=f"{OUT}/tables",
            evidence=f"{OUT}/evidence.html",
        message:
            "Recommendation: {output}"
        shell:
            command(
                "recommendation",
                tables="params.tables",
                verdict="input.verdict",
                bundle="input.bundle",
                evidence="params.evidence",
                out="output",
            )
