"""Say which molecule is train, validation or test, for every seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, protocol: str, dataset: str, split: str, budget: str) -> Json:
    """Return `splits.SplitSettings`."""
    return {
        "protocol": protocol,
        "dataset": dataset,
        "split": split,
        "budget": budget,
        "seeds": list(experiment.seeds),
        "task": experiment.datasets[dataset].task,
        "validation": experiment.validation.scheme,
        "fraction": experiment.validation.fraction,
        "folds": experiment.validation.folds,
        "max_test": experiment.max_test,
    }


def run(settings: Json, *, molecules: Path, out: Path) -> None:
    """Write the table "splits"."""
    from roftmol.data import splits
    from roftmol.tables import schemas

    parsed = build(splits.SplitSettings, settings)
    schemas.write("splits", splits.assign(schemas.read("molecules", molecules), parsed), out, parsed)


STAGE = Stage(run, "data", Code(("roftmol.data.splits",)), settings_from)
