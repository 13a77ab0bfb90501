# A data set's molecules, what was rejected, and the graphs as flat arrays.
rule featurize:
    input:
        "results/data/{dataset}/source",
    output:
        "results/data/{dataset}/molecules.parquet",
        "results/data/{dataset}/rejects.parquet",
        "results/data/{dataset}/tasks.parquet",
        "results/data/{dataset}/graphs.safetensors",
    log:
        "results/logs/featurize/{dataset}.log",
    conda:
        "../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings(EXPERIMENT.featurize_settings),
        code=code("roftmol.molecules", "roftmol.graphs"),
        out=subpath(output[0], parent=True),
    message:
        "Featurize {wildcards.dataset}"
    shell:
        "OMP_NUM_THREADS=1 python -m roftmol featurize --settings {params.settings:q} --source {input:q}"
        " --processes {threads} --out {params.out:q} 2>&1 | tee {log:q}"
