# A data set's molecules, its tasks, and what was rejected.
rule molecules:
    input:
        "results/data/{dataset}/source",
    output:
        "results/data/{dataset}/molecules.parquet",
        "results/data/{dataset}/rejects.parquet",
        "results/data/{dataset}/tasks.parquet",
    log:
        "results/logs/molecules/{dataset}.log",
    conda:
        "../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings(EXPERIMENT.molecules_settings),
        code=code("roftmol.data.molecules"),
        out=subpath(output[0], parent=True),
    message:
        "Read the molecules of {wildcards.dataset}"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol molecules --settings {params.settings:q} --source {input:q}"
        " --processes {threads} --out {params.out:q} 2>&1 | tee {log:q}"
