"""Say of every model what it was pretrained on, and which others it is, by its weights and by checksum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.registry import catalog
from roftmol.registry.same_models import same_models
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return `provenance.ProvenanceSettings`."""
    groups = same_models((catalog.checkpoints() | experiment.checkpoints).values())
    return {
        "models": {
            name: {
                "pretraining": checkpoint.pretraining,
                "corpora": list(checkpoint.corpora),
                "learnt": list(checkpoint.learnt),
                "checkable": experiment.checkable(name),
                "suspected": list(checkpoint.suspected),
            }
            for name, checkpoint in experiment.checkpoints.items()
        },
        "same_files": [list(group) for group in groups if not experiment.checkpoints.keys().isdisjoint(group)],
    }


def run(settings: Json, *, checkpoints: Path, out: Path) -> None:
    """Write the table "models"."""
    from roftmol.evaluation import provenance
    from roftmol.tables import schemas

    parsed = build(provenance.ProvenanceSettings, settings)
    schemas.write("models", provenance.table(parsed, checkpoints), out, parsed)


STAGE = Stage(run, "train", Code(("roftmol.evaluation.provenance",)), settings_from)
