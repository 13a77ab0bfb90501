"""The stages of the workflow, one file each. Adding one is its file, its line here and its rule in rules/."""

from roftmol.stages import (
    aggregate,
    auxiliary_molecules,
    baseline,
    cliffs,
    conformers,
    corpus,
    diagnostics,
    embeddings,
    featurize,
    fetch_checkpoint,
    fetch_data,
    finetune,
    force_labels,
    interpolate,
    landscape,
    molecules,
    native_labels,
    overlap,
    plot,
    pretrain,
    pretraining_set,
    provenance,
    recommendation,
    refit,
    report,
    split,
    statistics,
    verdict,
)
from roftmol.stages.base import Code, Json, Stage

#: Every stage by name, in the order of the data's flow.
STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        fetch_data.STAGE,
        molecules.STAGE,
        conformers.STAGE,
        featurize.STAGE,
        split.STAGE,
        fetch_checkpoint.STAGE,
        corpus.STAGE,
        force_labels.STAGE,
        native_labels.STAGE,
        pretraining_set.STAGE,
        pretrain.STAGE,
        auxiliary_molecules.STAGE,
        finetune.STAGE,
        interpolate.STAGE,
        landscape.STAGE,
        baseline.STAGE,
        provenance.STAGE,
        overlap.STAGE,
        cliffs.STAGE,
        aggregate.STAGE,
        diagnostics.STAGE,
        embeddings.STAGE,
        statistics.STAGE,
        plot.STAGE,
        report.STAGE,
        verdict.STAGE,
        refit.STAGE,
        recommendation.STAGE,
    )
}

__all__ = ["STAGES", "Code", "Json", "Stage"]
