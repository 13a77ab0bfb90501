"""The loss over the plane through the pretrained weights, full FT's and DWiSE-FT's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, grid, label_below, paged
from roftmol.figures.style import INK, mean_marker, panel_title
from roftmol.methods import DWISE_FT, FULL_FT, SCRATCH

CONDITIONS_A_PAGE = 4
LEVELS = 12
#: A point to its name, the method whose marker it has, and how far from it its name is written, in points.
POINTS = {
    "pretrained": ("pretrained θ₀", SCRATCH, (-2, -12)),
    FULL_FT: ("full FT", FULL_FT, (2, -12)),
    DWISE_FT: ("DWiSE-FT", DWISE_FT, (0, 8)),
}
PARTITIONS = {"train": "training molecules", "test": "test molecules"}

CAPTION = (
    "Loss over the plane of encoder weights through the pretrained encoder, full FT's and DWiSE-FT's, with full FT's "
    "head. Darker is lower, in equal steps of the logarithm. Both axes are distances in weight space, on one scale: to "
    "the right from the pretrained weights to full FT's, and upwards the part of the way to DWiSE-FT's that is at "
    "right angles to that. Test labels are read only to draw this figure, not for any choice."
)
#: What is done with BatchNorm's statistics, by whether the protocol estimates them anew.
NORMS = {
    True: " The number at a point is the loss there. BatchNorm's statistics are estimated on the training molecules "
    "everywhere.",
    False: " The number at a point is the loss there.",
}


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model: a row for each dataset, split and budget, training and test loss."""
    groups = results.groups(results.planes)
    return paged(results, "plane", "The loss around the solutions", groups, _sheet, CONDITIONS_A_PAGE)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    figure, axes = grid(2 * len(page.items), 2, 2.0)
    for row, condition in enumerate(page.items):
        for axis, partition in zip(axes[2 * row : 2 * row + 2], PARTITIONS, strict=True):
            _panel(axis, condition, partition, results)
        axes[2 * row].set_ylabel("at right angles")
    label_below(axes, 2, "distance from θ₀ towards full FT")
    seed = (
        f" The losses are of {_molecules(page.items, results)} molecules, and of the first seed whose three points do "
        "not lie on a line. They lie on one, and span no plane, if DWiSE-FT mixes every layer alike."
    )
    alt = (
        "Contour plots of training and test loss over a plane of weights. Test losses at pretrained, full "
        "FT and DWiSE-FT: " + "; ".join(_words(s, rows_of(results.planes, s)) for s in page.items) + "."
    )
    return Sheet(figure, CAPTION + NORMS[page.protocol == "honest"] + seed, alt)


def _panel(axis: Axes, condition: Condition, partition: str, results: Results) -> None:
    rows = rows_of(results.planes, condition)
    rows = rows[rows["partition"] == partition]
    surface = rows[rows["point"] == ""].pivot(index="y", columns="x", values="loss")
    values = np.ma.masked_invalid(np.maximum(surface.to_numpy(), np.finfo(float).tiny))
    x, y = surface.columns.to_numpy(), surface.index.to_numpy()
    low, high = values.min(), values.max()
    if high > low:
        # Equal steps of the logarithm: the bottom of a valley and its steep sides are both seen.
        levels = np.geomspace(low, high, LEVELS)
        colours = matplotlib.colormaps["Blues_r"]
        axis.contourf(x, y, values, levels=levels, cmap=colours, norm=LogNorm(low, high * 1.5))
        lines = axis.contour(x, y, values, levels=levels[1:-1], colors=INK, linewidths=0.4, alpha=0.7)
        axis.clabel(lines, levels[1:-1:2], fmt=_number, fontsize=5.5)
    for point, (title, method, shift) in POINTS.items():
        at = rows[rows["point"] == point].iloc[0]
        axis.plot(at["x"], at["y"], **mean_marker(method), zorder=5)
        axis.annotate(
            f"{title}: {_number(at['loss'])}",
            (at["x"], at["y"]),
            shift,
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=6.5,
            color=INK,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
            zorder=6,
        )
    axis.set_aspect("equal")
    panel_title(
        axis, condition.dataset + results.mark(condition), f"{condition.split_and_budget}, {PARTITIONS[partition]}"
    )


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.3g}"


def _molecules(shown: Sequence[Condition], results: Results) -> str:
    """Say how many molecules the losses are of."""
    counts = pd.concat([rows_of(results.planes, condition) for condition in shown])["molecules"]
    return f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"


def _words(condition: Condition, rows: pd.DataFrame) -> str:
    losses = rows[rows["partition"] == "test"].set_index("point")["loss"]
    return f"{condition.title}, " + ", ".join(_number(losses[point]) for point in POINTS)
