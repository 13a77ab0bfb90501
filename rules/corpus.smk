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
        env("corpus")
    threads: 4
    params:
        settings=settings("corpus"),
        code=code("corpus"),
    message:
        "Fetch and read the corpus {wildcards.corpus}"
    shell:
        command("corpus", out="output", archives="results/archives")
