"""Fit the method that was recommended on all labels, and write it as a bundle."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.methods import WITHOUT_ENCODER, model_of
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, first: str = "") -> Json:
    """Return `refit.RefitSettings`, which are those of the first verdict too."""
    recommendation = experiment.recommendation
    assert recommendation
    dataset = experiment.datasets[recommendation.name]
    grids: Json = {}
    for method, (model, checkpoint) in product(experiment.cells.methods, experiment.checkpoints.items()):
        layers = 0 if method in WITHOUT_ENCODER else checkpoint.layers
        grids.setdefault(model_of(method, model), {})[method] = experiment.grid(method, layers)
    named = {"classes": list(recommendation.classes)} if recommendation.classes else {}
    return {
        **named,
        "target": recommendation.target,
        "task": dataset.task,
        "metric": dataset.metric,
        "grids": grids,
        "featurizers": {name: checkpoint.featurizer for name, checkpoint in experiment.checkpoints.items()},
        "training": experiment.training.model_dump(),
        "members": recommendation.members,
        "level": recommendation.level,
    }


def run(settings: Json, *, molecules: Path, tables: Path, verdict: Path, checkpoints: Path, out: Path) -> None:
    """Write the bundle."""
    from roftmol.deploy import refit

    refit.refit(build(refit.RefitSettings, settings), molecules, tables, verdict, checkpoints, out)


STAGE = Stage(run, "train", Code(("roftmol.deploy.refit",)), settings_from)
