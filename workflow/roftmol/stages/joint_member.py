"""Give a dataset of a panel its share of the joint fits, as the run of a cell like any other."""

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
    """Return the code of the tables of one method's fits."""
    task = f"roftmol.tasks.{experiment.datasets[dataset].task}"
    modules = ("roftmol.training.joint", f"roftmol.methods.{method}", experiment.checkpoints[model].kind.module, task)
    return Code(modules, (*CHOICES, "roftmol.training.mixing", finetune.MASKING))


def run(settings: Json, *, splits: Path, fits: Path, out: Path) -> None:
    """Write the dataset's run folder from the folder `fits` of its panel's fits."""
    from roftmol.training import joint

    joint.share(build(RunSettings, settings), splits, fits, out)


STAGE = Stage(run, "train", code, finetune.settings_from)
