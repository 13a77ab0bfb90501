"""The scores as a chart whose values show on pointing: a panel a condition, a row a method, a dot a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
CHARACTER = 6.8  # the width of a title's usual letter; no title reaches into the dots
REACH = 0.3  # how much of a row's height the seeds are spread over, to each side of its middle
LINES = {FULL_FT: "4 3", FINGERPRINT: "1 3"}  # methods whose mean is a line through the panel, and its dashes
LINES_TOLD = (("full FT", LINES[FULL_FT], "dashed"), ("the fingerprint", LINES[FINGERPRINT], "dotted"))


class Dot(NamedTuple):
    """Where a score is drawn; `beyond` is "<" or ">" if it lies outside the panel and is drawn at the edge."""

    x: float
    y: float
    beyond: str = ""


@dataclass(frozen=True)
class Row:
    """One method: its seeds' dots, its mean's dot, and their values in words."""

    title: str
    colour: str
    y: float
    seeds: tuple[Dot, ...]
    mean: Dot | None
    words: str


@dataclass(frozen=True)
class Line:
    """A line at a reference's mean."""

    x: float
    dashes: str
    colour: str


@dataclass(frozen=True)
class Panel:
    """The chart of one condition."""

    condition: Condition
    mark: str
    metric: str
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    left: float  #: where the axis begins, behind the longest title
    below: tuple[float, float] | None = None  #: where on the axis scores are worse than the constant predictor's

    @property
    def height(self) -> float:
        """The height of the view box."""
        return TOP + ROW * len(self.rows) + BOTTOM

    @property
    def base(self) -> float:
        """The height at which the axis lies."""
        return TOP + ROW * len(self.rows)


def panels(results: Results) -> list[Panel]:
    """Return a panel for every condition that has a score, in reading order."""
    drawn = (_panel(condition, results) for condition in results.conditions)
    return [panel for panel in drawn if any(row.mean for row in panel.rows)]


def words(panels: Sequence[Panel], one: str = "seed", mean: str = "the mean label") -> str:
    """Say how to read the panels: what a dot is, and what of the rest is drawn in them."""
    dots = [dot for panel in panels for row in panel.rows for dot in (*row.seeds, row.mean) if dot]
    drawn = {line.dashes for panel in panels for line in panel.lines}
    marked = [f"{name} ({how})" for name, dashes, how in LINES_TOLD if dashes in drawn]
    sentences = [f"A small dot is a {one}, the large one the mean."]
    if marked:
        several = len(marked) > 1
        sentences.append(
            f"{'Lines mark the means' if several else 'A line marks the mean'} of {' and of '.join(marked)}."
        )
    if any(panel.below for panel in panels):
        sentences.append(f"In the shaded part, scores are worse than predicting {mean}.")
    if any(dot.beyond for dot in dots):
        sentences.append("An arrow stands for a score far outside the others.")
    sentences.append(
        "Point at a row to see its values, or go to a panel with Tab and through its rows with arrow keys."
    )
    return " ".join(sentences)


def _panel(condition: Condition, results: Results) -> Panel:
    cells = rows_of(results.cells, condition).set_index("method")
    runs = rows_of(results.runs, condition)
    low, high = limits(runs["test_value"].to_numpy(dtype=float))
    places = decimals(cells["mean"].abs().median())
    better = int(cells["better"].iloc[0])
    constant = float(cells["mean"].get(CONSTANT, math.nan))
    left = max(LEFT, CHARACTER * max(len(look(name).title) for name in cells.index))

    def dot(value: float, y: float) -> Dot:
        inside = min(max(value, low), high)
        x = left + (WIDTH - left - RIGHT) * (inside - low) / (high - low)
        return Dot(round(x, 1), round(y, 1), "<" if value < low else ">" if value > high else "")

    rows = []
    for position, name in enumerate(in_order(cells.index)):
        middle = TOP + ROW * (position + 0.5)
        scored = runs[(runs["method"] == name) & runs["test_value"].notna()].sort_values("seed")
        reach = REACH * ROW if len(scored) > 1 else 0
        heights = np.linspace(middle - reach, middle + reach, len(scored))
        seeds = tuple(dot(value, y) for value, y in zip(scored["test_value"], heights, strict=True))
        mean = float(cells["mean"][name])
        centre = None if math.isnan(mean) else dot(mean, middle)
        words = _words(scored, spread(mean, float(cells["std"][name]), places), places)
        if better * (mean - constant) < 0:
            words += "\nworse than predicting the mean"
        rows.append(Row(look(name).title, look(name).colour, middle, seeds, centre, words))
    ticks = MaxNLocator(4).tick_values(low, high)
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
        tuple((dot(tick, 0).x, f"{tick:.6g}".replace("-", "−")) for tick in ticks if low <= tick <= high),
        lines,
        left,
        None if math.isnan(constant) else _below(left, dot(constant, 0).x, better),
    )


def _below(left: float, edge: float, better: int) -> tuple[float, float]:
    """Return where on the axis the worse side of a score begins and ends."""
    return (left, edge) if better > 0 else (edge, WIDTH - RIGHT)


def _words(scored: pd.DataFrame, mean: str, places: int) -> str:
    """Say a method's mean and its values, a line a seed with the hyperparameters that it selected."""
    if scored.empty:
        return "no score"
    lines = [f"mean {mean}{mark(worst(scored['contamination']))}"] if len(scored) > 1 else []
    for seed, value, setting in zip(scored["seed"], scored["test_value"], scored["setting"], strict=True):
        chosen = setting_text(setting)
        lines.append(f"seed {seed}: {fixed(value, places)}" + ("" if chosen == "no choice" else f" ({chosen})"))
    return "\n".join(lines)
