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


def settings_from(experiment: Experiment, first: str = "", dataset: str = "") -> Json:
    """Return `refit.RefitSettings`, which are those of the first verdict too."""
    recommendation = experiment.recommendation
    assert recommendation
    target = recommendation.target
    grids: Json = {}
    for method, (model, checkpoint) in product(experiment.cells.methods, experiment.checkpoints.items()):
        layers = 0 if method in WITHOUT_ENCODER else checkpoint.layers
        grids.setdefault(model_of(method, model), {})[method] = experiment.grid(method, layers)
    named = {"classes": list(target.classes)} if target.classes else {}
    panel = [
        {"dataset": name, "task": entry.task, "metric": entry.metric}
        for name in experiment.panels.get(recommendation.name, ())
        for entry in [experiment.datasets[name]]
    ]
    of_several = {"dataset": target.dataset, "panel": panel} if panel else {}
    return {
        **named,
        **of_several,
        "target": target.column,
        "task": experiment.datasets[target.dataset].task,
        "metric": experiment.datasets[target.dataset].metric,
        "grids": grids,
        "featurizers": {name: checkpoint.featurizer for name, checkpoint in experiment.checkpoints.items()},
        "training": experiment.training.model_dump(),
        "members": recommendation.members,
        "level": recommendation.level,
    }


def run(
    settings: Json,
    *,
    molecules: Path,
    tables: Path,
    verdict: Path,
    checkpoints: Path,
    out: Path,
    data: Path | None = None,
) -> None:
    """Write the bundle; `data` is the folder of all datasets, of which a joint method learns those of the panel."""
    from roftmol.deploy import refit

    refit.refit(build(refit.RefitSettings, settings), molecules, tables, verdict, checkpoints, out, data)


STAGE = Stage(run, "train", Code(("roftmol.deploy.refit",)), settings_from)
