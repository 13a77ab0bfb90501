"""Weightings and descriptors, crossed: every point of a joint method's grid against one of them.

Selection takes a point for each dataset and seed, so what is said of the method says nothing of its points. Here each
point that was fitted is compared with a named corner of the grid, in the seeds in which both have a test score, and so
on the same test molecules. Predictions are kept of selected points alone: an interval covers datasets and seeds, and
which molecules were tested is part of how much datasets differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from roftmol.methods import METHODS, setting_text
from roftmol.scoring.metrics import MACRO
from roftmol.statistics.blocks import FAMILY, Family

#: The methods whose grids cross descriptors with something else.
CROSSED = tuple(name for name, method in METHODS.items() if method.joint and "descriptors" in method.reads)


@dataclass(frozen=True)
class Point:
    """A point of a grid: the descriptors, and the other hyperparameters as `setting_text` writes them."""

    descriptors: str
    others: str


@dataclass(frozen=True)
class Crossing:
    """A grid of several descriptors and several others, as a family whose "methods" are its points."""

    method: str
    family: Family
    corner: str  #: the point that the others are compared with
    points: tuple[str, ...]  #: the others, in the order of the grid


def point(method: str, setting: str) -> Point:
    """Return what a setting of table "scores" is, in a method of `CROSSED`."""
    record = METHODS[method]
    settings = record.parse(json.loads(setting))
    return Point(record.described_by(settings), setting_text(replace(settings, descriptors="none")))


def crossings(scores: pd.DataFrame, metrics: Mapping[str, str]) -> Iterator[Crossing]:
    """Yield the crossings in rows of table "scores"; `metrics` are the datasets' primary ones, by name.

    The corner is the method's default, or the first point where the grid lacks it.
    """
    macro = (scores["task"] == MACRO) & (scores["partition"] == "test")
    of_primary = scores[macro & (scores["metric"] == scores["dataset"].map(dict(metrics)))]
    for key, rows in of_primary.groupby(["method", *FAMILY], sort=False):
        name, protocol, model, split, budget, metric = map(str, key)
        settings = list(dict.fromkeys(rows["setting"]))
        points = [point(name, setting) for setting in settings]
        if min(len({one.descriptors for one in points}), len({one.others for one in points})) < 2:
            continue
        default = setting_text(METHODS[name].grid(0)[0])
        corner = default if default in settings else settings[0]
        by_dataset = {
            str(dataset): table.pivot(index="seed", columns="setting", values="value")
            for dataset, table in rows.groupby("dataset")
        }
        family = Family(protocol, model, split, budget, metric, by_dataset)
        others = (setting for setting in settings if setting != corner and family.paired(setting, corner))
        yield Crossing(name, family, corner, tuple(others))
