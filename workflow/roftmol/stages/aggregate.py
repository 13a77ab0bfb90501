"""Put the runs of all cells together: scores, selection, summary, and what pretraining has seen of test sets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.methods.cells import Cells
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


@dataclass(frozen=True)
class Settings:
    """Which cells are put together, and how."""

    cells: Cells
    rule: str  #: selects hyperparameters
    leave_out: tuple[str, ...] = ()  #: the kinds of contamination whose cells are left out
    landscape: bool = False  #: whether the cells' landscapes were measured
    leaderboards: dict[str, str] = field(default_factory=dict)  #: the metrics of public leaderboards, by dataset
    exposures: tuple[str, ...] = ()  #: files of table "exposure", below the results folder


def settings_from(experiment: Experiment) -> Json:
    """Return the cells of the experiment and how they are put together."""
    return {
        "cells": asdict(experiment.cells),
        "rule": experiment.selection,
        "leave_out": list(experiment.leave_out_contaminated),
        "landscape": experiment.landscape,
        "leaderboards": {
            name: dataset.leaderboard_metric
            for name, dataset in experiment.datasets.items()
            if dataset.leaderboard_metric
        },
        "exposures": [
            f"exposure/{protocol}/{panel}/{split}-{budget}.parquet"
            for protocol, panel, split, budget in experiment.exposures()
        ],
    }


def run(settings: Json, *, results: Path, models: Path, out: Path) -> None:
    """Write the tables of the results."""
    from roftmol.evaluation import aggregate, contamination

    parsed = build(Settings, settings)
    runs, data = parsed.cells.runs(results), parsed.cells.data(results)
    audit = contamination.read(parsed.cells, results, models)
    landscapes = parsed.cells.landscapes(results) if parsed.landscape else []
    exposures = [results / file for file in parsed.exposures]
    beside = parsed.leave_out, landscapes, exposures, parsed.leaderboards
    aggregate.aggregate(runs, data, parsed.rule, out, audit, *beside)


STAGE = Stage(run, "report", Code(("roftmol.evaluation.aggregate", "roftmol.evaluation.contamination")), settings_from)
