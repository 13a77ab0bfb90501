"""Mix pretrained and fine-tuned weights in one cell, from the runs of full fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages import finetune
from roftmol.stages.base import Code, Json, Stage
from roftmol.training.cell import CHOICES, RunSettings

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def code(experiment: Experiment, model: str, dataset: str, method: str, **_wildcards: str) -> Code:
    """Return the code of one method's mixtures of one model: no other method's and no other encoder's counts."""
    task = f"roftmol.tasks.{experiment.datasets[dataset].task}"
    modules = ("roftmol.training.jobs", f"roftmol.methods.{method}", experiment.checkpoints[model].kind.module, task)
    return Code(modules, (*CHOICES, finetune.MASKING))


def run(
    settings: Json,
    *,
    data: Path,
    splits: Path,
    checkpoint: Path,
    source: Path,
    out: Path,
    auxiliary: Path | None = None,
) -> None:
    """Mix what is not finished, and collect the cell's tables."""
    from roftmol.training import jobs

    jobs.interpolate(build(RunSettings, settings), data, splits, checkpoint, source, out, auxiliary)


STAGE = Stage(run, "train", code, finetune.settings_from)
