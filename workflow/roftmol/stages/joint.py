"""Train the datasets of a panel together: one encoder, every seed and setting that is not finished yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages import finetune
from roftmol.stages.base import Code, Json, Stage
from roftmol.training.cell import CHOICES

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(
    experiment: Experiment, protocol: str, model: str, panel: str, split: str, budget: str, method: str
) -> Json:
    """Return `joint.JointSettings`: the settings of each dataset's cell."""
    return {
        "featurizer": experiment.checkpoints[model].featurizer,
        "members": [
            finetune.settings_from(experiment, protocol, model, dataset, split, budget, method)
            for dataset in experiment.panels[panel]
        ],
    }


def code(experiment: Experiment, model: str, panel: str, method: str, **_wildcards: str) -> Code:
    """Return the code of one method's fits of one model: no other method's and no other encoder's counts."""
    tasks = [f"roftmol.tasks.{experiment.datasets[dataset].task}" for dataset in experiment.panels[panel]]
    modules = ("roftmol.training.joint", f"roftmol.methods.{method}", experiment.checkpoints[model].kind.module)
    return Code((*modules, *tasks), (*CHOICES, "roftmol.training.mixing", finetune.MASKING))


def run(settings: Json, *, results: Path, checkpoint: Path, out: Path) -> None:
    """Train what is not finished; `results` is the folder of all results, with the datasets and their splits."""
    from roftmol.training import joint

    joint.train_panel(build(joint.JointSettings, settings), results, checkpoint, out)


STAGE = Stage(run, "train", code, settings_from)
