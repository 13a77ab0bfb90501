"""Rank the methods on a user's own dataset and say which to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return `verdict.VerdictSettings`."""
    recommendation = experiment.recommendation
    assert recommendation
    target = recommendation.target
    dataset = experiment.datasets[target.dataset]
    return {
        "name": target.dataset,
        "target": target.column,
        "task": dataset.task,
        "metric": dataset.metric,
        "split": experiment.cells.splits[0],
        "choose": recommendation.choose,
        "prior": recommendation.prior,
    }


def run(settings: Json, *, tables: Path, out: Path) -> None:
    """Write the verdict and the ranking."""
    from roftmol.deploy import verdict

    verdict.decide(build(verdict.VerdictSettings, settings), tables, out)


STAGE = Stage(run, "train", Code(("roftmol.deploy.verdict",)), settings_from)
