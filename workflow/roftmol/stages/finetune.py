"""Train one method in one cell: every seed and setting that is not finished yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.methods import METHODS, of_panels
from roftmol.stages.base import Code, Json, Stage
from roftmol.training.cell import CHOICES, RunSettings

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


#: The second task of encoders of graphs, which is built on one of them.
MASKING = "roftmol.training.auxiliary.pretraining"


def settings_from(
    experiment: Experiment, protocol: str, model: str, dataset: str, split: str, budget: str, method: str
) -> RunSettings:
    """Return the settings of a cell's fits."""
    checkpoint = experiment.checkpoints[model]
    second = METHODS[method].alternation is not None
    panel = experiment.panel_of(dataset) if of_panels(method) else ""
    learns_next = experiment.auxiliary.forces if checkpoint.spatial else experiment.auxiliary.objective
    values = {
        **experiment.cell_settings(protocol, dataset, split, budget),
        "model": model,
        "method": method,
        "grid": experiment.grid(method, checkpoint.layers),
        "training": experiment.training.model_dump(),
        "device": experiment.device,
        "auxiliary": learns_next if second else "",
        "extensive": experiment.extensive(model, dataset),
        "pictures": experiment.tsne,
        "own_code": checkpoint.code,
        "keep_weights": experiment.keeps_weights_of(method),
        "panel": panel,
        "together": experiment.panels.get(panel, ()),
    }
    return build(RunSettings, values)


def code(experiment: Experiment, model: str, dataset: str, method: str, **_wildcards: str) -> Code:
    """Return the code of one method's fits of one model: no other method's and no other encoder's counts."""
    kind = experiment.checkpoints[model].kind
    masks = METHODS[method].alternation is not None and not kind.spatial
    task = f"roftmol.tasks.{experiment.datasets[dataset].task}"
    modules = ("roftmol.training.jobs", f"roftmol.methods.{method}", kind.module, task)
    return Code(modules, (*CHOICES, "roftmol.training.mixing", *(() if masks else (MASKING,))))


def run(
    settings: Json,
    *,
    data: Path,
    splits: Path,
    checkpoint: Path,
    out: Path,
    auxiliary: Path | None = None,
    source: Path | None = None,
) -> None:
    """Train what is not finished, and collect the cell's tables."""
    from roftmol.training import jobs

    jobs.finetune(build(RunSettings, settings), data, splits, checkpoint, out, auxiliary, source)


STAGE = Stage(run, "train", code, settings_from)
