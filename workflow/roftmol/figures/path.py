"""Loss and metric along the line from the pretrained to the fully fine-tuned weights, and beyond both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, grid, label_below, paged
from roftmol.figures.style import TEST, VALIDATION, Dash, axis_title, legend_below, mixing_axis, panel_title
from roftmol.tasks import TASK_OF

CONDITIONS_A_PAGE = 6
#: Partition to its title, colour and dash.
PARTITIONS: dict[str, tuple[str, str, Dash]] = {
    "train": ("training", "#5E6670", ":"),
    "valid": ("validation", VALIDATION, "--"),
    "test": ("test", TEST, "-"),
}
#: A loss whose largest mean is this many times the least is drawn on a logarithmic axis.
WIDE = 20

CAPTION = (
    "Loss and metric of the encoder (1 − α) θ₀ + α θ_ft with the head of θ_ft, from before the "
    "pretrained encoder (α = 0) to beyond the fully fine-tuned one (α = 1). Thick lines are means over seeds, thin "
    "lines seeds, squares the steps that WiSE-FT tries. Test labels are read only to draw this figure, not for any "
    "choice."
)
#: What is done with BatchNorm's statistics, by whether the protocol estimates them anew.
NORMS = {
    True: " BatchNorm's statistics are estimated on the training molecules everywhere.",
    False: " BatchNorm's statistics are mixed like the weights; beyond an end, they are those of the end.",
}


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model: a row for each dataset, split and budget, its loss and its metric."""
    subject = "The line from pretrained to fine-tuned weights"
    return paged(results, "path", subject, results.groups(results.paths), _sheet, CONDITIONS_A_PAGE)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    columns = page.columns(2)
    figure, axes = grid(page, 2 * len(page.items), columns, 2.2)
    for left, right, condition in zip(axes[::2], axes[1::2], page.items, strict=True):
        _panels(left, right, condition, results)
    label_below(axes, columns, "mixing coefficient α")
    keys = [
        *(
            Line2D([], [], color=colour, linestyle=dash, linewidth=1.6, label=title)
            for title, colour, dash in PARTITIONS.values()
        ),
        Line2D([], [], color="#5E6670", linewidth=0.6, alpha=0.6, label="one seed"),
        Line2D([], [], **_step("#5E6670"), label="WiSE-FT's steps"),
    ]
    legend_below(figure, keys)
    lowest = (f"{s.title}, at α = {_lowest(rows_of(results.paths, s))}" for s in page.items)
    alt = (
        "Line plots of loss and metric of training, validation and test molecules along the straight line "
        "from pretrained to fine-tuned weights and beyond. Lowest mean test loss: " + "; ".join(lowest) + "."
    )
    return Sheet(figure, CAPTION + NORMS[page.protocol == "honest"], alt)


def _panels(left: Axes, right: Axes, condition: Condition, results: Results) -> None:
    paths = rows_of(results.paths, condition)
    cells = rows_of(results.cells, condition)
    metric, better = cells["metric"].iloc[0], cells["better"].iloc[0]
    swept = rows_of(results.alphas, condition)
    swept = swept[swept["metric"] == metric]
    for partition, (_, colour, dash) in PARTITIONS.items():
        rows = paths[paths["partition"] == partition]
        for axis, column in ((left, "loss"), (right, "value")):
            seeds = _line(rows, column)
            axis.plot(seeds.index, seeds, color=colour, linestyle=dash, linewidth=0.6, alpha=0.35)
            axis.plot(seeds.index, seeds.mean(axis=1), color=colour, linestyle=dash, linewidth=1.7)
        by_seed = swept[swept["partition"] == partition].groupby(["alpha", "seed"])["value"].mean()
        right.plot(by_seed.groupby("alpha").mean(), **_step(colour), zorder=3)
    means = paths.groupby(["partition", "alpha"])["loss"].mean()
    if means.min() > 0 and means.max() > WIDE * means.min():
        left.set_yscale("log")
        left.yaxis.set_major_formatter(lambda loss, _position: f"{loss:g}")
        left.yaxis.set_minor_formatter(NullFormatter())
    left.set_ylabel(f"{TASK_OF[metric].loss_title if metric in TASK_OF else 'loss'}\n(lower is better)")
    right.set_ylabel(axis_title(metric, better, "\n"))
    for axis in (left, right):
        for end in (0.0, 1.0):
            axis.axvline(end, color="#8B949E", linewidth=0.7, zorder=1)
        low, high = paths["alpha"].min(), paths["alpha"].max()
        mixing_axis(axis, np.arange(low, high + 0.25, 0.5).tolist())
        axis.grid(axis="y")
    panel_title(left, condition.dataset + results.mark(condition), condition.split_and_budget)


def _line(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the line's values, alphas x seeds."""
    return rows.pivot(index="alpha", columns="seed", values=column)


def _lowest(paths: pd.DataFrame) -> str:
    losses = _line(paths[paths["partition"] == "test"], "loss").mean(axis=1)
    return f"{losses.idxmin():g}" if losses.notna().any() else "none"


def _step(colour: str) -> dict[str, Any]:
    return {"marker": "s", "markersize": 2.6, "linestyle": "none", "color": colour, "markeredgewidth": 0}
