# The datasets of a panel trained together, all seeds and settings in one job; finished fits lie in parts/, as `finetune`
# keeps them. Then each dataset gets its share as the run of a cell like any other.
rule joint:
    input:
        members_of("results/data/{dataset}/molecules.parquet"),
        members_of("results/data/{dataset}/graphs/{featurizer}.safetensors"),
        members_of("results/splits/{protocol}/{dataset}/{split}-{budget}.parquet"),
        # Nothing trains on datasets that do not go together.
        "results/exposure/{protocol}/{panel}/{split}-{budget}.parquet",
        described_members,
        checkpoint="results/checkpoints/{model}.safetensors",
        own=own_code,
    output:
        "results/panels/{protocol}/{model}/{panel}/{split}-{budget}/{method}/fits.parquet",
    log:
        "results/logs/joint/{protocol}/{model}/{panel}/{split}-{budget}/{method}.log",
    wildcard_constraints:
        method=methods_of("joint"),
    # What goes on from joint weights waits for the longest of all fits.
    priority: 20
    conda:
        env("joint")
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=lambda wildcards, attempt: 720 * attempt,
    params:
        settings=settings("joint"),
        code=code("joint"),
        out=subpath(output[0], parent=True),
    message:
        "Fine-tune {wildcards.model} on panel {wildcards.panel}, {wildcards.split}-{wildcards.budget}: {wildcards.method}"
    shell:
        command(
            "joint", results="results", checkpoint="input.checkpoint", out="params.out"
        )


rule joint_member:
    input:
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
        fits=lambda wildcards: "results/panels/{0.protocol}/{0.model}/{1}/{0.split}-{0.budget}/{0.method}/fits.parquet".format(
            wildcards, EXPERIMENT.panel_of(wildcards.dataset)
        ),
    output:
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/fits.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/predictions.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/curves.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/changes.parquet",
        "results/runs/{protocol}/{model}/{dataset}/{split}-{budget}/{method}/loss_weights.parquet",
    log:
        "results/logs/joint_member/{protocol}/{model}/{dataset}/{split}-{budget}/{method}.log",
    wildcard_constraints:
        method=methods_of("joint"),
    conda:
        env("joint_member")
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        settings=settings("joint_member"),
        code=code("joint_member"),
        fits=subpath(input.fits, parent=True),
        out=subpath(output[0], parent=True),
    message:
        "Share of {wildcards.dataset} in the panel's fits of {wildcards.model}, {wildcards.split}-{wildcards.budget}: {wildcards.method}"
    shell:
        command(
            "joint_member", splits="input.splits", fits="params.fits", out="params.out"
        )
