"""Fit a head in closed form on the vectors of a method's encoders in one cell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.methods import ALL_METHODS
from roftmol.methods.with_heads import PLUS
from roftmol.stages import finetune, head
from roftmol.stages.base import Code, Json, Stage
from roftmol.training.cell import CHOICES

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(
    experiment: Experiment, protocol: str, model: str, dataset: str, split: str, budget: str, method: str
) -> Json:
    """Return `tuned_heads.TunedHeadSettings`."""
    encoder_of = ALL_METHODS[method].encoder_of
    return {
        "head": head.settings_from(experiment, protocol, model, dataset, split, budget, method),
        "encoders": finetune.settings_from(experiment, protocol, model, dataset, split, budget, encoder_of),
    }


def code(experiment: Experiment, model: str, dataset: str, method: str, **_wildcards: str) -> Code:
    """Return the code of one head on one method's encoders: no other method's and no other encoder's counts."""
    task = f"roftmol.tasks.{experiment.datasets[dataset].task}"
    pair = [f"roftmol.methods.{name}" for name in method.split(PLUS)]
    modules = ("roftmol.training.tuned_heads", *pair, experiment.checkpoints[model].kind.module, task)
    return Code(modules, (*CHOICES, finetune.MASKING))


def run(
    settings: Json,
    *,
    data: Path,
    graphs: Path,
    splits: Path,
    checkpoint: Path,
    tuned: Path,
    out: Path,
    mixed: Path | None = None,
    descriptors: Path | None = None,
    gfn2: Path | None = None,
) -> None:
    """Fit every seed and fold."""
    from roftmol.training import tuned_heads

    tuned_heads.run(
        build(tuned_heads.TunedHeadSettings, settings),
        data,
        graphs,
        splits,
        checkpoint,
        tuned,
        out,
        mixed=mixed,
        descriptors=descriptors,
        gfn2=gfn2,
    )


STAGE = Stage(run, "train", code, settings_from)
