"""Read energies and forces of a user's own file, and mark what is in a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


@dataclass(frozen=True)
class Settings:
    """The datasets whose molecules are not to be learnt from."""

    datasets: tuple[str, ...]


def settings_from(experiment: Experiment) -> Json:
    """Return the datasets of the experiment."""
    return {"datasets": list(experiment.datasets)}


def run(settings: Json, *, source: Path, data: Path, out: Path, processes: int = 1) -> None:
    """Write the table "force_labels"."""
    from roftmol.data import force_labels
    from roftmol.tables import schemas

    parsed = build(Settings, settings)
    datasets = [schemas.read("molecules", data / name / "molecules.parquet") for name in parsed.datasets]
    schemas.write("force_labels", force_labels.native(source, datasets, processes), out, parsed, source)


STAGE = Stage(run, "train", Code(("roftmol.data.force_labels",)), settings_from)
