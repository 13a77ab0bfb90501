# The molecules of a pretraining corpus: what recipes learn from, and what test sets are compared with.
rule corpus:
    input:
        lambda wildcards: own_files(sum(EXPERIMENT.corpora[wildcards.corpus].files, ())),
    output:
        "results/corpora/{corpus}.parquet",
    log:
        "results/logs/corpus/{corpus}.log",
    wildcard_constraints:
        corpus="|".join(
            name for name, entry in EXPERIMENT.corpora.items() if entry.files
        ),
    conda:
        "../envs/data.yaml"
    threads: 4
    params:
        settings=settings(EXPERIMENT.corpus_settings),
        code=code("roftmol.data.corpora"),
    message:
        "Fetch and read the corpus {wildcards.corpus}"
    shell:
        "python -m roftmol corpus --settings {params.settings:q} --archives results/archives --processes {threads}"
        " --out {output:q} 2>&1 | tee {log:q}"
