"""Fit a head in closed form on a frozen encoder's vectors in one cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage
from roftmol.training.cell import CHOICES

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(
    experiment: Experiment, protocol: str, model: str, dataset: str, split: str, budget: str, method: str
) -> Json:
    """Return `learners.LearnerSettings`."""
    cell = experiment.cell_settings(protocol, dataset, split, budget)
    layers = experiment.checkpoints[model].layers
    return {**cell, "model": model, "method": method, "grid": experiment.grid(method, layers)}


def code(experiment: Experiment, dataset: str, method: str, **_wildcards: str) -> Code:
    """Return the code of one head's fits; the encoder counts by its vectors."""
    task = f"roftmol.tasks.{experiment.datasets[dataset].task}"
    return Code(("roftmol.training.learners", f"roftmol.methods.{method}", task), CHOICES)


def run(
    settings: Json,
    *,
    data: Path,
    splits: Path,
    vectors: Path,
    out: Path,
    descriptors: Path | None = None,
    gfn2: Path | None = None,
) -> None:
    """Fit every setting, seed and fold."""
    from roftmol.training import learners

    learners.run(build(learners.LearnerSettings, settings), data, splits, out, descriptors, vectors, gfn2)


STAGE = Stage(run, "train", code, settings_from)
