# The workflow: which stage feeds which. The stages themselves are the package workflow/roftmol.
from snakemake.utils import min_version

min_version("9.27")


configfile: workflow.current_basedir.join("config.yaml").get_path_or_uri(secret_free=True)


include: "rules/common.smk"
include: "rules/last_words.smk"
include: "rules/fetch_data.smk"
include: "rules/molecules.smk"
include: "rules/conformers.smk"
include: "rules/featurize.smk"
include: "rules/descriptors.smk"
include: "rules/gfn2.smk"
include: "rules/split.smk"
include: "rules/corpus.smk"
include: "rules/pretrain.smk"
include: "rules/fetch_checkpoint.smk"
include: "rules/embed.smk"
include: "rules/auxiliary.smk"
include: "rules/joint.smk"
include: "rules/finetune.smk"
include: "rules/interpolate.smk"
include: "rules/landscape.smk"
include: "rules/head.smk"
include: "rules/tuned_head.smk"
include: "rules/baseline.smk"
include: "rules/overlap.smk"
include: "rules/aggregate.smk"
include: "rules/diagnostics.smk"
include: "rules/embeddings.smk"
include: "rules/statistics.smk"
include: "rules/plot.smk"
include: "rules/report.smk"
include: "rules/recommend.smk"


wildcard_constraints:
    protocol="paper|honest",
    model="[A-Za-z0-9._-]+",
    dataset="[A-Za-z0-9._-]+",
    panel="[a-z0-9_-]+",
    split="[a-z_]+",
    budget=r"\d+|all",
    method="[a-z0-9_+]+",
    target="|".join(EXPERIMENT.targets) or "[a-z0-9_-]+",


# What needs the network runs where snakemake runs: a cluster's compute nodes often have none.
localrules:
    all,
    recommend,
    fetch_data,
    corpus,
    evaluated,
    fetch_checkpoint,


if workflow.is_main_process:
    ESTIMATE = cost.estimate(EXPERIMENT)
    tell(
        ESTIMATE.steps(workflow.cores, len(EXPERIMENT.targets) or 1)
        if EXPERIMENT.recommendation
        else str(ESTIMATE)
    )


rule all:
    default_target: True
    input:
        recommended
        if EXPERIMENT.recommendation
        else [REPORT, TABLES, DIAGNOSTICS, EMBEDDINGS, STATISTICS],
