"""Count the molecules that test or validate one dataset of a panel and train another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, protocol: str, panel: str, split: str, budget: str) -> Json:
    """Return the panel's name and datasets, and where their splits lie."""
    return {
        "protocol": protocol,
        "panel": panel,
        "datasets": list(experiment.panels[panel]),
        "split": split,
        "budget": budget,
    }


def run(settings: Json, *, data: Path, splits: Path, out: Path) -> None:
    """Write the table "exposure"; `data` and `splits` are the folders of all datasets and of all splits."""
    from roftmol.data.exposure import exposure
    from roftmol.tables import schemas

    names = settings["datasets"]
    molecules = {
        name: schemas.read("molecules", data / name / "molecules.parquet", ["molecule", "canonical"]) for name in names
    }
    file = f"{settings['split']}-{settings['budget']}.parquet"
    dealt = {name: schemas.read("splits", splits / settings["protocol"] / name / file) for name in names}
    schemas.write("exposure", exposure(molecules, dealt, settings["panel"]), out, settings)


STAGE = Stage(run, "data", Code(("roftmol.data.exposure",)), settings_from)
