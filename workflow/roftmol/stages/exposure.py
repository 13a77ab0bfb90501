"""Hold the datasets of a panel against each other, and count what tests or validates one and trains another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, protocol: str, panel: str, split: str, budget: str) -> Json:
    """Return the panel's name, the task of each of its datasets, where their splits lie, and whether they are checked.

    A recommendation's targets are columns of one file: whoever asks for each of them is told whether it gains.
    """
    return {
        "protocol": protocol,
        "panel": panel,
        "tasks": {dataset: experiment.datasets[dataset].task for dataset in experiment.panels[panel]},
        "split": split,
        "budget": budget,
        "checked": experiment.recommendation is None,
    }


def run(settings: Json, *, data: Path, splits: Path, out: Path) -> None:
    """Write the table "exposure"; `data` and `splits` are the folders of all datasets and of all splits.

    Raises `UserError` where datasets that are checked do not go together.
    """
    from roftmol.data import panel_labels
    from roftmol.data.exposure import exposure
    from roftmol.tables import schemas

    columns = ["molecule", "canonical", "labels"]
    tasks: dict[str, str] = settings["tasks"]
    molecules = {name: schemas.read("molecules", data / name / "molecules.parquet", columns) for name in tasks}
    members = {
        name: panel_labels.Member(
            molecules[name], task, tuple(schemas.read("tasks", data / name / "tasks.parquet", ["name"])["name"])
        )
        for name, task in tasks.items()
    }
    if settings["checked"]:
        panel_labels.check(settings["panel"], members)
    file = f"{settings['split']}-{settings['budget']}.parquet"
    dealt = {name: schemas.read("splits", splits / settings["protocol"] / name / file) for name in tasks}
    schemas.write("exposure", exposure(molecules, dealt, settings["panel"]), out, settings)


STAGE = Stage(run, "data", Code(("roftmol.data.exposure", "roftmol.data.panel_labels")), settings_from)
