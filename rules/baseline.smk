# The fingerprint baseline of one cell: no encoder, so once for all models.
rule baseline:
    input:
        molecules="results/data/{dataset}/molecules.parquet",
        tasks="results/data/{dataset}/tasks.parquet",
        splits="results/splits/{protocol}/{dataset}/{split}-{budget}.parquet",
    output:
        f"results/runs/{{protocol}}/{FINGERPRINT_MODEL}/{{dataset}}/{{split}}-{{budget}}/{FINGERPRINT}/fits.parquet",
        f"results/runs/{{protocol}}/{FINGERPRINT_MODEL}/{{dataset}}/{{split}}-{{budget}}/{FINGERPRINT}/predictions.parquet",
        f"results/runs/{{protocol}}/{FINGERPRINT_MODEL}/{{dataset}}/{{split}}-{{budget}}/{FINGERPRINT}/curves.parquet",
    log:
        "results/logs/baseline/{protocol}/{dataset}/{split}-{budget}.log",
    conda:
        "../envs/train.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 120 * attempt,
    params:
        settings=settings(EXPERIMENT.baseline_settings),
        code=code("roftmol.fingerprints", leaves=("roftmol.methods",)),
        data=subpath(input.molecules, parent=True),
        out=subpath(output[0], parent=True),
    message:
        "Fingerprint baseline on {wildcards.dataset}, {wildcards.split}-{wildcards.budget}"
    shell:
        "python -m roftmol baseline --settings {params.settings:q} --data {params.data:q} --splits {input.splits:q}"
        " --out {params.out:q} 2>&1 | tee {log:q}"
