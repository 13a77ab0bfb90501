"""What fine-tuning does to the encoder: how far each part moves, and what becomes of the molecules' vectors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.coefficients import part_order
from roftmol.figures.pages import NARROW, Drawing, Page, Sheet, paged
from roftmol.figures.style import INK, in_order, legend_below, look, mean_marker
from roftmol.methods import SCRATCH
from roftmol.tables.schemas import RUN

CONDITIONS_A_PAGE = 4
#: The part that stands for the whole encoder.
ALL = "all"
#: An encoder of more parts than this leaves no room for numbers.
NUMBERED = 9
#: Distances below this share of the largest have the lightest colour.
FLOOR = 0.02
#: Where the colour bar may have a number.
TICKS = [digit * 10.0**power for power in range(-8, 3) for digit in (1, 2, 5)]

CAPTION = (
    "Blue: how far each part of the encoder has moved from where it started, ‖θ − θ₀‖ / ‖θ₀‖. Parts are the atom "
    "embeddings, the layers by number from the input to the output, and all of the encoder. Linear CKA is between the "
    "vectors that the pretrained and the fine-tuned encoder give to held-out molecules. It is 1 if they are the same "
    "up to rotation and scale, and about 0 if they have nothing in common. The effective rank of the vectors is the "
    "number of directions that molecules differ in; the vertical line is the pretrained encoder's. Fits are those with "
    "the selected hyperparameters. Small points are seeds; numbers and large points are means over seeds."
)
FROM_SCRATCH = " An encoder from scratch started from its own random weights."
UNMOVED = " Even if no part moved, vectors may have changed, through BatchNorm's statistics."


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model: a row for each dataset, split and budget, of three panels."""
    changes = results.changes.merge(results.selected[list(RUN)], on=list(RUN))
    draw = partial(_sheet, changes)
    return paged(results, "changes", "What each method changes", results.groups(changes), draw, CONDITIONS_A_PAGE)


def _sheet(changes: pd.DataFrame, results: Results, page: Page[Condition]) -> Sheet:
    rows = {condition: rows_of(changes, condition) for condition in page.items}
    alt = (
        "Heat maps of the relative distance of each encoder part by method, and dot plots of linear CKA "
        "and effective rank: " + "; ".join(_words(condition, table) for condition, table in rows.items()) + "."
    )
    caption = CAPTION + (FROM_SCRATCH if any((frame["method"] == SCRATCH).any() for frame in rows.values()) else "")
    caption += UNMOVED if any((_distances(frame)[ALL] == 0).any() for frame in rows.values()) else ""
    return Sheet(_figure(rows, results, page), caption, alt)


def _figure(rows: dict[Condition, pd.DataFrame], results: Results, page: Page[Condition]) -> Figure:
    distances = {condition: _distances(frame) for condition, frame in rows.items()}
    largest = max((table.to_numpy().max() for table in distances.values() if table.size), default=1.0)
    norm = LogNorm(FLOOR * largest, largest) if largest > 0 else LogNorm(FLOOR, 1.0)
    heights = [0.17 * len(table) + 0.1 for table in distances.values()]
    lines = 2 if page.narrow else 1  # of panels, for each condition
    size = (NARROW if page.narrow else 7.6, lines * (sum(heights) + 0.6 * len(rows)) + 0.75)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.05, w_pad=0.05))
    axes = np.array(_axes(figure, heights, page.narrow))
    for (heat, cka, rank), (condition, frame) in zip(axes, rows.items(), strict=True):
        methods = list(distances[condition].index)
        _heat(heat, distances[condition], norm)
        _dots(cka, frame, methods, "cka", named=page.narrow)
        _dots(rank, frame, methods, "effective_rank")
        before = frame.loc[frame["quantity"] == "effective_rank_pretrained", "value"].mean()
        rank.axvline(before, color="#8B949E", linewidth=0.9, zorder=1)
        cka.set_xlim(min(0.0, cka.get_xlim()[0]), 1.04)
        heat.set_title(results.title(condition))
        if page.narrow or condition == page.items[-1]:
            cka.set_xlabel("linear CKA")
            rank.set_xlabel("effective rank")
    bar = figure.colorbar(
        ScalarMappable(norm, matplotlib.colormaps["Blues"]),
        ax=axes.ravel().tolist() if page.narrow else axes[:, 0],
        location="bottom",
        aspect=45,
        pad=0.02,
    )
    bar.set_label("relative distance (logarithmic)")
    bar.minorticks_off()
    ticks = [tick for tick in TICKS if FLOOR * largest <= tick <= largest]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.outline.set_visible(False)
    keys = [
        Line2D([], [], color=INK, marker="o", markersize=3, alpha=0.5, linestyle="none", label="one seed"),
        Line2D([], [], color=INK, marker="o", markersize=6, linestyle="none", label="mean over seeds"),
        Line2D([], [], color="#8B949E", linewidth=0.9, label="pretrained encoder's rank"),
    ]
    legend_below(figure, keys)
    return figure


def _axes(figure: Figure, heights: Sequence[float], narrow: bool) -> list[list[Axes]]:
    """Return three axes a condition: beside each other, or in a narrow figure the first above the other two."""
    if not narrow:
        return figure.subplots(len(heights), 3, squeeze=False, width_ratios=[2.2, 1, 1], height_ratios=heights).tolist()
    cells = figure.add_gridspec(2 * len(heights), 2, height_ratios=np.repeat(heights, 2))
    return [
        [figure.add_subplot(cells[2 * row, :]), *(figure.add_subplot(cells[2 * row + 1, side]) for side in (0, 1))]
        for row in range(len(heights))
    ]


def _distances(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean distance over the seeds, methods x parts; a seed's folds are averaged first."""
    distances = rows[rows["quantity"] == "distance"]
    table = over_seeds(distances, ["method", "part"])["mean"].unstack()
    parts = [*sorted(table.columns.drop(ALL), key=part_order), ALL]
    return table.loc[in_order(table.index), parts]


def over_seeds(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return mean and standard deviation of `value` over the seeds, whose folds are averaged first."""
    seeds = rows.groupby([*by, "seed"])["value"].mean()
    return seeds.groupby(list(by)).agg(["mean", "std"])


def _heat(axis: Axes, table: pd.DataFrame, norm: LogNorm) -> None:
    least = float(norm.vmin or 0)
    colours = matplotlib.colormaps["Blues"]
    # A part that has not moved has no logarithm; it is drawn as the lightest, and says 0.
    values = np.maximum(table.to_numpy(), least)
    axis.imshow(values, aspect="auto", cmap=colours, norm=norm)
    axis.set_yticks(range(len(table)), [look(name).title for name in table.index])
    axis.set_xticks(range(table.shape[1]), [_short(part) for part in table.columns])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xticks(np.arange(table.shape[1] - 1) + 0.5, minor=True)
    axis.set_yticks(np.arange(len(table) - 1) + 0.5, minor=True)
    axis.grid(which="minor", color="white", linewidth=1)
    axis.tick_params(which="minor", length=0)
    if table.shape[1] > NUMBERED:
        axis.tick_params(axis="x", labelsize=7, labelrotation=90)
        return
    dark = norm(values) > 0.6
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        if math.isfinite(value):
            colour = "white" if dark[row, column] else INK
            axis.text(column, row, _number(value), ha="center", va="center", fontsize=7, color=colour)


def _dots(axis: Axes, rows: pd.DataFrame, methods: list[str], quantity: str, named: bool = False) -> None:
    rows = rows[rows["quantity"] == quantity]
    for row, name in enumerate(methods):
        seeds = rows[rows["method"] == name].groupby("seed")["value"].mean()
        shift = np.linspace(-0.2, 0.2, len(seeds)) if len(seeds) > 1 else np.zeros(len(seeds))
        axis.plot(seeds, row + shift, "o", color=look(name).colour, markersize=3, alpha=0.55, markeredgewidth=0)
        axis.plot(seeds.mean(), row, **mean_marker(name), zorder=3)
    axis.set_ylim(len(methods) - 0.5, -0.5)
    axis.set_yticks(range(len(methods)), [look(name).title if named else "" for name in methods])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="both")


def _short(part: str) -> str:
    """Shorten a part's name for an axis: a layer is its number, from 1."""
    return str(int(part.removeprefix("blocks.")) + 1) if part.startswith("blocks.") else part


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.2f}".removeprefix("0") if value >= 0.005 else "<.01"


def _words(condition: Condition, rows: pd.DataFrame) -> str:
    """Name the methods that moved the encoder farthest and least."""
    whole = over_seeds(rows[rows["part"] == ALL], ["method"])["mean"]
    moved = whole[whole > 0].sort_values()
    if moved.empty:
        return f"{condition.title}, no encoder moved"
    near, far = moved.index[0], moved.index[-1]
    ends = f"farthest {look(far).title} at {moved[far]:.2g}, nearest {look(near).title} at {moved[near]:.2g}"
    return f"{condition.title}, {ends}"
