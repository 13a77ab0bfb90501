"""Say which molecule is train, validation or test, for every seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.registry.splits import SPLITS
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, protocol: str, dataset: str, split: str, budget: str) -> Json:
    """Return `splits.SplitSettings`."""
    together = experiment.dealt_with(dataset, split)
    kinds = {"tasks": [experiment.datasets[name].task for name in together]} if together else {}
    return {
        **(kinds if SPLITS[split].repeats else {}),
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
        "panel": list(together),
    }


def run(settings: Json, *, molecules: Path, out: Path, panel: Path | None = None) -> None:
    """Write the table "splits"; `panel` is the folder of all datasets, for a split that deals several together."""
    from roftmol.data import splits
    from roftmol.tables import schemas

    parsed = build(splits.SplitSettings, settings)
    together = {
        name: schemas.read("molecules", panel / name / "molecules.parquet")
        for name in parsed.panel
        if panel is not None
    }
    schemas.write("splits", splits.assign(schemas.read("molecules", molecules), parsed, together), out, parsed)


STAGE = Stage(run, "data", Code(("roftmol.data.splits",)), settings_from)
