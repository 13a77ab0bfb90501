"""Say which of a dataset's molecules are in an activity cliff."""

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
    """Return how the dataset is read, and where its activity cliffs come from."""
    entry = experiment.datasets[dataset]
    rules = replace(reading_rules(experiment, dataset), cliff_column=entry.cliff_column, potency=entry.potency)
    return {"dataset": rules.to_dict()}


def run(settings: Json, *, source: Path, molecules: Path, out: Path) -> None:
    """Write the table "cliff_molecules"."""
    from roftmol.data import activity_cliffs
    from roftmol.registry.catalog import Dataset
    from roftmol.tables import schemas

    dataset = Dataset.from_dict(build(Settings, settings).dataset)
    check_source(source, dataset.name)
    table = activity_cliffs.find(source, schemas.read("molecules", molecules), dataset)
    schemas.write("cliff_molecules", table, out, settings)
    print(f"{dataset.name}: {table['cliff'].sum()} of {len(table)} molecules are in an activity cliff", file=sys.stderr)


STAGE = Stage(run, "data", Code(("roftmol.data.activity_cliffs",)), settings_from)
