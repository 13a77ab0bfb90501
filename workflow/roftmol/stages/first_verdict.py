"""Fit all heads and references on a user's own dataset at once, and say at once what they tell."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.methods import METHODS
from roftmol.stages import baseline, head, verdict
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return `first_verdict.FirstSettings`."""
    cells = experiment.cells
    assert experiment.recommendation
    (protocol,), (split,), (budget,) = cells.protocols, cells.splits, cells.budgets
    where = (experiment.recommendation.target.dataset, split, budget)
    heads = [name for name in cells.methods if METHODS[name].kind == "head"]
    references = [name for name in cells.methods if METHODS[name].kind == "external"]
    return {
        "cells": [
            *(
                head.settings_from(experiment, protocol, model, *where, name)
                for name, model in product(heads, cells.models)
            ),
            *(baseline.settings_from(experiment, protocol, "", *where, name) for name in references),
        ],
        "featurizers": {name: checkpoint.featurizer for name, checkpoint in experiment.checkpoints.items()},
        "rule": experiment.selection,
        "verdict": verdict.settings_from(experiment),
    }


def code(experiment: Experiment) -> Code:
    """Return the code of the fits and of the verdict."""
    kinds = dict.fromkeys(checkpoint.kind.module for checkpoint in experiment.checkpoints.values())
    methods = [f"roftmol.methods.{name}" for name in experiment.cells.methods if not METHODS[name].trains_encoder]
    return Code(("roftmol.deploy.first_verdict", *kinds, *methods))


def run(
    settings: Json, *, data: Path, splits: Path, checkpoints: Path, runs: Path, out: Path, processes: int = 1
) -> None:
    """Write the cells' fits, and the tables, ranking and verdict of them; print the verdict."""
    import json

    from roftmol.deploy import first_verdict

    parsed = build(first_verdict.FirstSettings, settings)
    first_verdict.first_verdict(parsed, data, splits, checkpoints, runs, out, processes)
    decided = json.loads((out / "verdict.json").read_text(encoding="utf-8"))
    print("\n".join(["FIRST VERDICT, from heads and references:", *decided["sentences"]]))


STAGE = Stage(run, "train", code, settings_from)
