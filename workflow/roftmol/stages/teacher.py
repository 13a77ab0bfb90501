"""Compute what a student learns in distillation: a teacher's vectors, descriptors and Morgan counts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roftmol.core.records import build
from roftmol.registry import catalog
from roftmol.stages.base import Code, Json, Stage


@dataclass(frozen=True)
class Settings:
    """How the teacher reads molecules, and how many of them are described too (None: all)."""

    featurizer: str
    described: int | None = None


def settings_from(_experiment: object, recipe: str) -> Json:
    """Return the featurizer of the recipe's teacher, and how many molecules are described."""
    return {"featurizer": _teacher(recipe).featurizer, "described": catalog.recipes()[recipe].described}


def code(_experiment: object, recipe: str) -> Code:
    """Return the code that makes targets, the teacher's with it."""
    return Code(("roftmol.training.pretraining.targets", _teacher(recipe).kind.module))


def _teacher(recipe: str) -> catalog.Checkpoint:
    return catalog.checkpoints()[catalog.recipes()[recipe].teacher]


def run(settings: Json, *, molecules: Path, checkpoint: Path, parts: Path, out: Path, processes: int = 1) -> None:
    """Write the targets, a row a molecule."""
    from roftmol.tables import schemas
    from roftmol.training.pretraining import targets

    smiles = schemas.read("pretraining", molecules)["smiles"].tolist()
    parsed = build(Settings, settings)
    targets.make(smiles, checkpoint, parsed.featurizer, parts, out, parsed.described, processes)


STAGE = Stage(run, "train", code, settings_from)
