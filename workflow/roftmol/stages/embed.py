"""Compute a dataset's vectors under a frozen encoder, for the heads that are fitted in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage
from roftmol.training.cell import CHOICES

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


@dataclass(frozen=True)
class Settings:
    """Where the encoder computes, and what of the user's it may run."""

    device: str = "auto"
    own_code: str = ""  #: the file of a user's own module


def settings_from(experiment: Experiment, model: str, dataset: str) -> Json:
    """Return the device, and the code of a user's own module."""
    return {"device": experiment.device, **own_code(experiment, model)}


def own_code(experiment: Experiment, model: str) -> Json:
    """Return the setting that names a user's own module; nothing for any other model."""
    code = experiment.checkpoints[model].code
    return {"own_code": code} if code else {}


def code(experiment: Experiment, model: str, dataset: str) -> Code:
    """Return the code of one encoder: no other one's counts."""
    return Code(("roftmol.training.vectors", experiment.checkpoints[model].kind.module), CHOICES)


def run(settings: Json, *, data: Path, checkpoint: Path, out: Path) -> None:
    """Write the vectors, a row a molecule."""
    from roftmol.training import vectors

    parsed = build(Settings, settings)
    vectors.embed(data, checkpoint, parsed.device, out, parsed.own_code)


STAGE = Stage(run, "train", code, settings_from)
