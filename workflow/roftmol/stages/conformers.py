"""Read where the atoms of a dataset's molecules are."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage
from roftmol.stages.molecules import check_source, reading_rules

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


@dataclass(frozen=True)
class Settings:
    """A dataset as the registry writes it."""

    dataset: dict[str, Any]


def settings_from(experiment: Experiment, dataset: str) -> Json:
    """Return the rules of reading, and the columns of the geometry."""
    geometry = experiment.datasets[dataset].geometry
    return {"dataset": replace(reading_rules(experiment, dataset), geometry=geometry).to_dict()}


def run(settings: Json, *, source: Path, molecules: Path, out: Path) -> None:
    """Write the table "conformers"."""
    from roftmol.data import conformers
    from roftmol.registry.catalog import Dataset
    from roftmol.tables import schemas

    dataset = Dataset.from_dict(build(Settings, settings).dataset)
    check_source(source, dataset.name)
    geometries = conformers.read(source, schemas.read("molecules", molecules), dataset)
    schemas.write("conformers", geometries, out, settings, source)
    print(f"{dataset.name}: {len(geometries)} geometries", file=sys.stderr)


STAGE = Stage(run, "data", Code(("roftmol.data.conformers",)), settings_from)
