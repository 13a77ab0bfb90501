# For a user's own file: which method to take, and the model. Its tables, page and bundle have a folder of their own.
rule recommend:
    input:
        recommended,


if EXPERIMENT.recommendation:

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
        message:
            "Recommendation: {output}"
        shell:
            command(
                "recommendation",
                tables="params.tables",
                verdict="input.verdict",
                bundle="input.bundle",
                out="output",
            )
