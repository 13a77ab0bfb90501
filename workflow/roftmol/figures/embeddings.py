"""The same atoms before and after each method on the plane of a t-SNE, coloured by their kind."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from roftmol.features.atom_kinds import CLASSES
from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import NARROW, Drawing, Page, Sheet, paged
from roftmol.figures.style import in_order, legend_below, look

CONDITIONS_A_PAGE = 3
#: Panels side by side, in a wide window and in a narrow one.
COLUMNS = {False: 6, True: 3}
#: Petroff's ten (arXiv 2107.02270), which readers with any colour vision tell apart.
COLOURS = dict(
    zip(
        CLASSES,
        ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
        strict=True,
    )
)
CAPTION = (
    "The vectors of the same atoms from the pretrained encoder and after each method, on a plane by t-SNE, for one "
    "seed with its selected hyperparameters. Colours are kinds of atoms: the element and how many neighbours it has. "
    "Each method has its own plane, which its vectors share with the pretrained ones; the first panel shows the "
    "pretrained vectors on the second panel's plane. The number is the Davies-Bouldin index on that plane relative to "
    "that of the pretrained vectors there: 1 means that kinds are told apart as well as before, more is worse. In a "
    "t-SNE, distances between groups, sizes of groups and small differences of the number mean little."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model: rows for each dataset, split and budget, a panel for each method."""
    groups = results.groups(results.embeddings)
    return paged(results, "embeddings", "Atoms before and after", groups, _sheet, CONDITIONS_A_PAGE)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    alt = (
        "Scatter plots of atoms on the plane of a t-SNE, coloured by kind, before and after each method; "
        "relative Davies-Bouldin index: " + "; ".join(_words(results, condition) for condition in page.items) + "."
    )
    return Sheet(_figure(results, page), CAPTION, alt)


def _figure(results: Results, page: Page[Condition]) -> Figure:
    atoms = {condition: rows_of(results.embeddings, condition) for condition in page.items}
    columns = COLUMNS[page.narrow]
    rows = [math.ceil((1 + rows["method"].nunique()) / columns) for rows in atoms.values()]
    figure = Figure(
        figsize=(NARROW if page.narrow else 7.6, 1.5 * sum(rows) + 0.25 * len(rows) + 0.4),
        dpi=200,  # of the points, which are pixels in an SVG too: thousands of shapes would be slow to show
        layout=ConstrainedLayoutEngine(h_pad=0.02, w_pad=0.02),
    )
    parts = figure.subfigures(len(page.items), 1, squeeze=False, height_ratios=rows)[:, 0]
    for part, count, (condition, points) in zip(parts, rows, atoms.items(), strict=True):
        title = results.title(condition)
        part.suptitle(title, x=0.01, ha="left", fontsize=8.5, fontweight="bold")
        _panels(part, (count, columns), points, _ratios(results, condition))
    kinds = [kind for kind in CLASSES if any((points["kind"] == kind).any() for points in atoms.values())]
    keys = [
        Line2D([], [], color=COLOURS[kind], marker="o", markersize=4, linestyle="none", label=kind) for kind in kinds
    ]
    legend_below(figure, keys, rows=1)
    return figure


def _panels(part: SubFigure, shape: tuple[int, int], points: pd.DataFrame, ratios: dict[str, float]) -> None:
    axes = list(part.subplots(*shape, squeeze=False).flat)
    methods = in_order(points["method"])
    of = {name: points[points["method"] == name] for name in methods}
    _scatter(axes[0], of[methods[0]], "before")
    axes[0].set_title("Pretrained", fontsize=7, fontweight="normal")
    for axis, name in zip(axes[1:], methods, strict=False):
        _scatter(axis, of[name], "after")
        axis.set_title(f"{look(name).title}, {_number(ratios.get(name, math.nan))}", fontsize=7, fontweight="normal")
    for spare in axes[1 + len(methods) :]:
        spare.set_axis_off()


def _scatter(axis: Axes, points: pd.DataFrame, side: str) -> None:
    # Atoms are drawn in the table's order, which does not depend on their kind, so that no kind covers the others.
    colours = [COLOURS[kind] for kind in points["kind"]]
    axis.scatter(points[f"{side}_x"], points[f"{side}_y"], s=2, c=colours, linewidths=0, rasterized=True)
    _limit(axis, points)
    axis.set_box_aspect(1)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(True)
    axis.spines[:].set_color("#D5D9DE")


def _limit(axis: Axes, points: pd.DataFrame) -> None:
    """Give both sides of a plane the same limits, and both axes the same scale."""
    both = np.concatenate([points[[f"{side}_x", f"{side}_y"]].to_numpy() for side in ("before", "after")])
    both = both[np.isfinite(both).all(1)]
    if not len(both):
        return
    low, high = both.min(0), both.max(0)
    reach = 0.53 * float((high - low).max()) or 1.0
    (x, y) = (low + high) / 2
    axis.set_xlim(x - reach, x + reach)
    axis.set_ylim(y - reach, y + reach)


def _ratios(results: Results, condition: Condition) -> dict[str, float]:
    rows = rows_of(results.tsne, condition)
    return dict(zip(rows["method"], rows["ratio"], strict=True))


def _number(ratio: float) -> str:
    return f"{ratio:.2f}" if math.isfinite(ratio) else "undefined"


def _words(results: Results, condition: Condition) -> str:
    ratios = _ratios(results, condition)
    return f"{condition.title}, " + ", ".join(
        f"{look(name).title} {_number(ratios[name])}" for name in in_order(ratios)
    )
