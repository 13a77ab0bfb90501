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
            "../envs/train.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=canonical_json(EXPERIMENT.verdict_settings()),
            code=code("roftmol.deploy.verdict"),
            tables=subpath(input[0], parent=True),
            out=subpath(output[0], parent=True),
        message:
            "Rank the methods"
        shell:
            "python -m roftmol verdict --settings {params.settings:q} --tables {params.tables:q} --out {params.out:q}"
            " 2>&1 | tee {log:q}"

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
            "../envs/train.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 4000 * attempt,
            runtime=lambda wildcards, attempt: 120 * attempt,
        params:
            settings=canonical_json(EXPERIMENT.refit_settings()),
            code=code("roftmol.deploy.refit"),
            tables=subpath(input.predictions, parent=True),
            checkpoints="results/checkpoints",
        message:
            "Fit the method that was chosen on all labels"
        shell:
            "python -m roftmol refit --settings {params.settings:q} --molecules {input.molecules:q}"
            " --tables {params.tables:q} --verdict {input.verdict:q} --checkpoints {params.checkpoints:q} --out {output:q} 2>&1 | tee {log:q}"

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
            "../envs/report.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: 30 * attempt,
        params:
            settings=canonical_json(EXPERIMENT.report_settings()),
            code=code("roftmol.report.recommendation"),
            tables=f"{OUT}/tables",
        message:
            "Recommendation: {output}"
        shell:
            "python -m roftmol recommendation --settings {params.settings:q} --tables {params.tables:q}"
            " --verdict {input.verdict:q} --bundle {input.bundle:q} --out {output:q} 2>&1 | tee {log:q}"
