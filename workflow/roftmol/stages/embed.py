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
    """Where the encoder computes."""

    device: str = "auto"


def settings_from(experiment: Experiment, model: str, dataset: str) -> Json:
    """Return the device."""
    return {"device": experiment.device}


def code(experiment: Experiment, model: str, dataset: str) -> Code:
    """Return the code of one encoder: no other one's counts."""
    return Code(("roftmol.training.vectors", experiment.checkpoints[model].kind.module), CHOICES)


def run(settings: Json, *, data: Path, checkpoint: Path, out: Path) -> None:
    """Write the vectors, a row a molecule."""
    from roftmol.training import vectors

    vectors.embed(data, checkpoint, build(Settings, settings).device, out)


STAGE = Stage(run, "train", code, settings_from)
