"""Measure the loss around one cell's fine-tuned encoders: along a line and over a plane of weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.methods import DWISE_FT, FULL_FT
from roftmol.stages import finetune
from roftmol.stages.base import Code, Json, Stage
from roftmol.stages.embed import own_code
from roftmol.training.cell import CHOICES

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, protocol: str, model: str, dataset: str, split: str, budget: str) -> Json:
    """Return `landscape.LandscapeSettings`."""
    return {
        **experiment.cell_settings(protocol, dataset, split, budget),
        "model": model,
        "plane": DWISE_FT in experiment.cells.methods,
        "device": experiment.device,
        **own_code(experiment, model),
        "extensive": experiment.extensive(model, dataset),
    }


def code(experiment: Experiment, model: str, dataset: str, **_wildcards: str) -> Code:
    """Return the code of one model's landscapes: no other encoder's counts."""
    methods = (f"roftmol.methods.{FULL_FT}", f"roftmol.methods.{DWISE_FT}")
    task = f"roftmol.tasks.{experiment.datasets[dataset].task}"
    modules = ("roftmol.training.landscape", *methods, experiment.checkpoints[model].kind.module, task)
    return Code(modules, (*CHOICES, finetune.MASKING))


def run(settings: Json, *, data: Path, splits: Path, checkpoint: Path, runs: Path, out: Path) -> None:
    """Write the tables "paths" and "planes"."""
    from roftmol.training import landscape

    parsed = build(landscape.LandscapeSettings, settings)
    landscape.landscape(parsed, data, splits, checkpoint, runs, out)


STAGE = Stage(run, "train", code, settings_from)
