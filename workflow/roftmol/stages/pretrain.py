"""Pretrain an encoder on a table of molecules; a killed run goes on from its state."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.core.records import build
from roftmol.registry import catalog
from roftmol.stages.base import Code, Json, Stage


@dataclass(frozen=True)
class Settings:
    """A recipe of the registry without its data."""

    objective: str
    training: dict[str, Any]
    objective_settings: dict[str, Any] = field(default_factory=dict)


def settings_from(_experiment: object, recipe: str) -> Json:
    """Return the recipe without its data."""
    entry = catalog.recipes()[recipe]
    return {
        "objective": entry.objective,
        "objective_settings": entry.objective_settings,
        "training": entry.training,
    }


def run(
    settings: Json,
    *,
    molecules: Path,
    state: Path,
    curve: Path,
    out: Path,
    start: Path | None = None,
    targets: Path | None = None,
    processes: int = 1,
) -> None:
    """Write the weights and the learning curve.

    `start` are weights to go on from, `targets` what a distillation learns.
    """
    import numpy as np

    from roftmol.tables import schemas
    from roftmol.training.pretraining import RECIPES, PretrainSettings, pretrain
    from roftmol.training.pretraining import targets as of_teacher

    recipe = build(Settings, settings)
    if recipe.objective not in RECIPES:
        raise UserError(f"objective: {recipe.objective!r} is not known. Allowed: {', '.join(RECIPES)}")
    objective_settings = dict(recipe.objective_settings)
    training = build(PretrainSettings, recipe.training)
    table = schemas.read("pretraining", molecules)
    labels: np.ndarray = np.array(table["labels"].tolist(), np.float32).reshape(len(table), -1)
    if targets is not None:
        labels, objective_settings["blocks"] = of_teacher.load(targets, len(table))
    objective = build(RECIPES[recipe.objective], objective_settings)
    points = pretrain(objective, training, table["smiles"].tolist(), labels, state, out, processes, start)
    with atomic(curve) as temporary:
        temporary.write_text(json.dumps(points, indent=1) + "\n", encoding="utf-8")


STAGE = Stage(run, "train", Code(("roftmol.training.pretraining",)), settings_from)
