"""The scores as a chart to point at: a panel a condition, a row a method, a dot a seed, the values in words."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from roftmol.evaluation.contamination import worst
from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.style import in_order, limits, look
from roftmol.methods import CONSTANT, FINGERPRINT, FULL_FT
from roftmol.report.results import mark, setting_text
from roftmol.report.table import decimals, fixed, spread
from roftmol.tasks import metric_title

#: In the units of the SVG's view box, which are about pixels.
WIDTH, LEFT, RIGHT, TOP, ROW, BOTTOM = 340, 100, 12, 6, 18, 36
REACH = 0.3  # how much of a row's height the seeds are spread over, to each side of its middle
LINES = {FULL_FT: "4 3", FINGERPRINT: "1 3"}  # methods whose mean is a line through the panel, and its dashes


class Dot(NamedTuple):
    """A score's place in the panel; `beyond` is "<" or ">" where it lies outside and stands at the edge."""

    x: float
    y: float
    beyond: str = ""


@dataclass(frozen=True)
class Row:
    """One method: its seeds' dots, its mean's, and what they say."""

    title: str
    colour: str
    y: float
    seeds: tuple[Dot, ...]
    mean: Dot | None
    words: str


@dataclass(frozen=True)
class Line:
    """A reference's mean."""

    x: float
    dashes: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """One condition."""

    condition: Condition
    mark: str
    metric: str
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    below: tuple[float, float] | None = None  #: from where to where scores are worse than the constant predictor's

    @property
    def height(self) -> float:
        """Of the view box."""
        return TOP + ROW * len(self.rows) + BOTTOM

    @property
    def base(self) -> float:
        """Where the axis lies."""
        return TOP + ROW * len(self.rows)


def panels(results: Results) -> list[Panel]:
    """A panel for every condition that has a score, in reading order."""
    drawn = (_panel(condition, results) for condition in results.conditions)
    return [panel for panel in drawn if any(row.mean for row in panel.rows)]


def _panel(condition: Condition, results: Results) -> Panel:
    cells = rows_of(results.cells, condition).set_index("method")
    runs = rows_of(results.runs, condition)
    low, high = limits(runs["test_value"].to_numpy(dtype=float))
    places = decimals(cells["mean"].abs().median())
    better, constant = int(cells["better"].iloc[0]), float(cells["mean"].get(CONSTANT, math.nan))

    def dot(value: float, y: float) -> Dot:
        inside = min(max(value, low), high)
        x = LEFT + (WIDTH - LEFT - RIGHT) * (inside - low) / (high - low)
        return Dot(round(x, 1), round(y, 1), "<" if value < low else ">" if value > high else "")

    rows = []
    for place, name in enumerate(in_order(cells.index)):
        middle = TOP + ROW * (place + 0.5)
        own = runs[(runs["method"] == name) & runs["test_value"].notna()].sort_values("seed")
        reach = REACH * ROW if len(own) > 1 else 0
        heights = np.linspace(middle - reach, middle + reach, len(own))
        seeds = tuple(dot(value, y) for value, y in zip(own["test_value"], heights, strict=True))
        mean = float(cells["mean"][name])
        centre = None if math.isnan(mean) else dot(mean, middle)
        words = _words(own, spread(mean, float(cells["std"][name]), places), places)
        if better * (mean - constant) < 0:
            words += "\nworse than predicting the mean"
        rows.append(Row(look(name).title, look(name).colour, middle, seeds, centre, words))
    found = MaxNLocator(4).tick_values(low, high)
    lines = tuple(
        Line(dot(cells["mean"][name], 0).x, dashes, look(name).colour)
        for name, dashes in LINES.items()
        if name in cells.index and low <= cells["mean"][name] <= high
    )
    first = cells.iloc[0]
    return Panel(
        condition,
        results.mark(condition),
        f"{metric_title(first['metric'])} ({'higher' if first['better'] > 0 else 'lower'} is better)",
        tuple(rows),
        tuple((dot(tick, 0).x, f"{tick:.6g}".replace("-", "−")) for tick in found if low <= tick <= high),
        lines,
        None if math.isnan(constant) else _below(dot(constant, 0).x, better),
    )


def _below(edge: float, better: int) -> tuple[float, float]:
    """The part of the axis, from where to where, on the worse side of a score."""
    return (LEFT, edge) if better > 0 else (edge, WIDTH - RIGHT)


def _words(own: pd.DataFrame, mean: str, places: int) -> str:
    """A method's mean and its values, a line a seed with the hyperparameters that it selected."""
    if own.empty:
        return "no score"
    lines = [f"mean {mean}{mark(worst(own['contamination']))}"] if len(own) > 1 else []
    for seed, value, setting in zip(own["seed"], own["test_value"], own["setting"], strict=True):
        chosen = setting_text(setting)
        lines.append(f"seed {seed}: {fixed(value, places)}" + ("" if chosen == "no choice" else f" ({chosen})"))
    return "\n".join(lines)
