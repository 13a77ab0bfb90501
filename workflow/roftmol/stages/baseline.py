"""Fit a reference without an encoder in one cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(
    experiment: Experiment, protocol: str, model: str, dataset: str, split: str, budget: str, method: str
) -> Json:
    """Return `learners.LearnerSettings`; `model` is the name that stands for one, which `method` implies."""
    cell = experiment.cell_settings(protocol, dataset, split, budget)
    return {**cell, "method": method, "grid": experiment.grid(method, layers=0)}


def code(experiment: Experiment, dataset: str, method: str, **_wildcards: str) -> Code:
    """Return the code of one reference's fits."""
    task = f"roftmol.tasks.{experiment.datasets[dataset].task}"
    return Code(("roftmol.training.learners", f"roftmol.methods.{method}", task), ("roftmol.methods", "roftmol.tasks"))


def run(
    settings: Json,
    *,
    data: Path,
    splits: Path,
    out: Path,
    descriptors: Path | None = None,
    gfn2: Path | None = None,
) -> None:
    """Fit every setting, seed and fold."""
    from roftmol.training import learners

    learners.run(build(learners.LearnerSettings, settings), data, splits, out, descriptors, gfn2=gfn2)


STAGE = Stage(run, "train", code, settings_from)
