"""Train one method in one cell: every seed and setting that is not finished yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.methods import METHODS
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(
    experiment: Experiment, protocol: str, model: str, dataset: str, split: str, budget: str, method: str
) -> Json:
    """Return `jobs.RunSettings`."""
    checkpoint = experiment.checkpoints[model]
    auxiliary = experiment.auxiliary
    second = METHODS[method].alternation is not None
    learns_next = {"auxiliary": auxiliary.forces if checkpoint.spatial else auxiliary.objective} if second else {}
    return {
        **experiment.cell_settings(protocol, dataset, split, budget),
        "model": model,
        "method": method,
        "grid": experiment.grid(method, checkpoint.layers),
        "training": experiment.training.model_dump(),
        "device": experiment.device,
        **learns_next,
        **experiment.pooled(model, dataset),
        **({"pictures": True} if experiment.tsne else {}),
    }


def code(_experiment: Experiment, method: str, **_wildcards: str) -> Code:
    """Return the code of one method's fits: no other method's counts."""
    return Code(("roftmol.training.jobs", f"roftmol.methods.{method}"), ("roftmol.methods", "roftmol.training.mixing"))


def run(
    settings: Json, *, data: Path, splits: Path, checkpoint: Path, out: Path, auxiliary: Path | None = None
) -> None:
    """Train what is not finished, and collect the cell's tables."""
    from roftmol.training import jobs

    jobs.finetune(build(jobs.RunSettings, settings), data, splits, checkpoint, out, auxiliary)


STAGE = Stage(run, "train", code, settings_from)
