"""The loss over the plane through the pretrained weights, full FT's and DWiSE-FT's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.tri import TriContourSet

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
    "head. Darker is lower, in equal steps of the logarithm; both panels of a condition have one scale. Both axes are "
    "distances in weight space, on one scale: to the right from the pretrained weights to full FT's, and upwards the "
    "part of the way to DWiSE-FT's that is at right angles to that. Test labels are read only to draw this figure, "
    "not for any choice."
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
    columns = page.columns(2)
    figure, axes = grid(page, 2 * len(page.items), columns, 2.0)
    for row, condition in enumerate(page.items):
        pair = axes[2 * row : 2 * row + 2]
        levels = _levels(rows_of(results.planes, condition)["loss"])
        drawn = [_panel(axis, condition, part, levels, results) for axis, part in zip(pair, PARTITIONS, strict=True)]
        if drawn[0] is not None:
            scale = figure.colorbar(drawn[0], ax=pair, aspect=14, pad=0.02, ticks=levels[:: LEVELS // 4])
            scale.ax.set_yticklabels([_number(level) for level in levels[:: LEVELS // 4]])
            scale.minorticks_off()
            scale.set_label("loss")
        pair[0].set_ylabel("at right angles")
    label_below(axes, columns, "distance from θ₀ towards full FT")
    seed = (
        f" The losses are of {_molecules(page.items, results)} molecules, and of the first seed whose three points do "
        "not lie on a line. They lie on one, and span no plane, if DWiSE-FT mixes every layer alike."
    )
    alt = (
        "Contour plots of training and test loss over a plane of weights. Test losses at pretrained, full "
        "FT and DWiSE-FT: " + "; ".join(_words(s, rows_of(results.planes, s)) for s in page.items) + "."
    )
    return Sheet(figure, CAPTION + NORMS[page.protocol == "honest"] + seed, alt)


def surface(rows: pd.DataFrame) -> pd.DataFrame:
    """Return where a partition's loss is known, finite and above zero: the named points, and the grid beside them.

    The points are part of the surface, so the colour around one is that of the number written there.
    """
    named_first = rows.sort_values("point", ascending=False, kind="stable")
    near = named_first[["x", "y"]].round(9)
    kept = named_first[~near.duplicated() & np.isfinite(named_first["loss"])]
    return kept.assign(loss=kept["loss"].clip(lower=np.finfo(float).tiny))


def _levels(losses: pd.Series) -> np.ndarray:
    """Return the levels of a condition's contours; none if its losses are all the same.

    They are equal steps of the logarithm, so that the bottom of a valley and its steep sides are both seen.
    """
    finite = losses[np.isfinite(losses)].clip(lower=np.finfo(float).tiny)
    if finite.empty or not finite.max() > finite.min():
        return np.empty(0)
    return np.geomspace(finite.min() * (1 - 1e-6), finite.max() * (1 + 1e-6), LEVELS)


def _panel(
    axis: Axes, condition: Condition, partition: str, levels: np.ndarray, results: Results
) -> TriContourSet | None:
    rows = rows_of(results.planes, condition)
    rows = rows[rows["partition"] == partition]
    known = surface(rows)
    drawn = None
    if len(levels):
        where = (known["x"], known["y"], known["loss"])
        norm = LogNorm(levels[0], levels[-1] * 1.5)
        drawn = axis.tricontourf(*where, levels=levels, cmap=matplotlib.colormaps["Blues_r"], norm=norm)
        axis.tricontour(*where, levels=levels[1:-1], colors=INK, linewidths=0.4, alpha=0.7)
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
            fontsize=7,
            color=INK,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 0.8},
            zorder=6,
        )
    axis.set_aspect("equal")
    panel_title(
        axis, condition.dataset + results.mark(condition), f"{condition.split_and_budget}, {PARTITIONS[partition]}"
    )
    return drawn


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.3g}"


def _molecules(shown: Sequence[Condition], results: Results) -> str:
    """Say how many molecules the losses are of."""
    counts = pd.concat([rows_of(results.planes, condition) for condition in shown])["molecules"]
    return f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"


def _words(condition: Condition, rows: pd.DataFrame) -> str:
    losses = rows[rows["partition"] == "test"].set_index("point")["loss"]
    return f"{condition.title}, " + ", ".join(_number(losses[point]) for point in POINTS)
