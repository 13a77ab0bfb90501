# Which molecule is train, validation or test, for every seed.
rule split:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        panel=panel_to_deal,
    output:
        "results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
    log:
        "results/logs/split/{protocol}/{dataset}/{split}-{budget}.log",
    priority: 50  # all else waits for it
    conda:
        env("split")
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("split"),
        code=code("split"),
        panel=lambda wildcards, input: option(
            "panel", "results/data" if input.panel else ""
        ),
    message:
        "Split {wildcards.dataset}: {wildcards.split}-{wildcards.budget}, {wildcards.protocol}"
    shell:
        command("split", "{params.panel}", molecules="input.molecules", out="output")


# Whether the datasets of a panel go together, and which molecules that test one of them train another one.
rule exposure:
    input:
        molecules=lambda wildcards: expand(
            "results/data/{dataset}/{table}.parquet",
            table=("molecules", "tasks"),
            dataset=named("panels", EXPERIMENT.panels, wildcards.panel),
        ),
        splits=lambda wildcards: expand(
            "results/splits/{{protocol}}/{dataset}/{{split}}-{{budget}}.parquet",
            dataset=named("panels", EXPERIMENT.panels, wildcards.panel),
        ),
    output:
        "results/exposure/{protocol}/{panel}/{split}-{budget}.parquet",
    log:
        "results/logs/exposure/{protocol}/{panel}/{split}-{budget}.log",
    conda:
        env("exposure")
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        settings=settings("exposure"),
        code=code("exposure"),
    message:
        "Look for the tested molecules of {wildcards.panel} in its training parts: {wildcards.split}-{wildcards.budget}"
    shell:
        command("exposure", data="results/data", splits="results/splits", out="output")
