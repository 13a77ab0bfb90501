"""Turn a dataset's molecules into the graphs that an encoder reads."""

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
    """What turns molecules into graphs: a name in `features/featurizers`, or the path of a user's own code."""

    featurizer: str


def settings_from(experiment: Experiment, dataset: str, featurizer: str) -> Json:
    """Return the featurizer; a user's own, which has its model's name, is given by its file."""
    checkpoint = experiment.checkpoints.get(featurizer)
    return {"featurizer": checkpoint.code if checkpoint and checkpoint.code else featurizer}


def code(experiment: Experiment, featurizer: str, **_wildcards: str) -> Code:
    """Return the code of one featurizer: no other one's counts."""
    checkpoint = experiment.checkpoints.get(featurizer)
    file = checkpoint.kind.featurizer if checkpoint and checkpoint.code else featurizer
    modules = ("roftmol.features.featurize", f"roftmol.features.featurizers.{file}")
    return Code(modules, ("roftmol.features.featurizers",))


def run(settings: Json, *, molecules: Path, out: Path, conformers: Path | None = None, processes: int = 1) -> None:
    """Write the graphs."""
    from roftmol.features import featurize
    from roftmol.tables import schemas

    parsed = build(Settings, settings)
    table = schemas.read("molecules", molecules)
    if conformers:
        featurize.in_space(table, schemas.read("conformers", conformers)).save(out)
    else:
        featurize.featurize(table, parsed.featurizer, processes).save(out)


STAGE = Stage(run, "train", code, settings_from)
