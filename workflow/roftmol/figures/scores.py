"""The test score of every method, each seed a point."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, columns_for, paged, panels
from roftmol.figures.style import (
    FAINT,
    Dash,
    axis_title,
    edge_note,
    in_order,
    legend_below,
    limits,
    look,
    mean_marker,
    panel_title,
)
from roftmol.methods import CONSTANT, FINGERPRINT, FULL_FT

#: Reference lines: the method whose mean they mark, and how they are drawn.
LINES: dict[str, Dash] = {FULL_FT: "--", FINGERPRINT: ":"}
#: Behind scores that are worse than the constant predictor's.
BELOW = "#F3E3D9"
CAPTION = (
    "Each small point is one seed's test score with the hyperparameters selected for that seed; the large marker is "
    "the mean over seeds. Colours are mechanisms, markers methods."
)
#: What a line marks the mean of, in words.
MARKED = {FULL_FT: "full fine-tuning (dashed)", FINGERPRINT: "the fingerprint baseline (dotted)"}
SHADED = " In the shaded part, scores are worse than predicting the mean label."
BEYOND = " A point far outside the others is an arrow at the edge, with the value of a mean beside it."


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a panel for each dataset, split and budget."""
    return paged(results, "scores", "Test score by method", results.groups(), _sheet)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    methods = in_order(pd.concat([rows_of(results.cells, condition) for condition in page.items])["method"])
    columns = page.columns(columns_for(len({condition.budget for condition in page.group})))
    figure, _ = panels(
        page,
        columns,
        0.17 * len(methods) + 0.75,
        lambda axis, condition: _panel(axis, methods, condition, results),
        share_y=True,
    )
    keys = [
        Line2D([], [], color="#5E6670", marker="o", markersize=2.6, linestyle="none", label="one seed"),
        Line2D([], [], color="#5E6670", marker="o", markersize=6, linestyle="none", label="mean over seeds"),
        *(
            Line2D([], [], color=look(name).colour, linestyle=dash, label=f"mean of {look(name).title}")
            for name, dash in LINES.items()
            if name in methods
        ),
        *([Patch(color=BELOW, label="worse than predicting the mean")] if CONSTANT in methods else []),
    ]
    legend_below(figure, keys)
    alt = (
        f"Dot plots of the test score of {len(methods)} methods in {len(page.items)} conditions: "
        + "; ".join(_best(results, condition) for condition in page.items)
        + ". The results table has the numbers."
    )
    marked = [words for name, words in MARKED.items() if name in methods]
    what = "Lines mark the means" if len(marked) > 1 else "A line marks the mean"
    caption = CAPTION + (f" {what} of {' and of '.join(marked)}." if marked else "")
    caption += SHADED if CONSTANT in methods else ""
    caption += BEYOND if any(_reaches_beyond(results, condition) for condition in page.items) else ""
    return Sheet(figure, caption, alt)


def _reaches_beyond(results: Results, condition: Condition) -> bool:
    """Return whether a seed's score lies outside its panel."""
    values = rows_of(results.runs, condition)["test_value"].to_numpy(dtype=float)
    low, high = limits(values)
    return bool(((values < low) | (values > high)).any())


def _panel(axis: Axes, methods: list[str], condition: Condition, results: Results) -> None:
    cells = rows_of(results.cells, condition).set_index("method")
    runs = rows_of(results.runs, condition)
    low, high = limits(runs["test_value"].to_numpy(dtype=float))
    better = int(cells["better"].iloc[0])
    if CONSTANT in cells.index:
        worst = low if better > 0 else high
        axis.axvspan(float(np.clip(cells["mean"][CONSTANT], low, high)), worst, color=BELOW, zorder=0, linewidth=0)
    for name, dash in LINES.items():
        if name in cells.index:
            axis.axvline(float(cells["mean"][name]), color=look(name).colour, linestyle=dash, linewidth=0.9, zorder=1)
    for row, name in enumerate(methods):
        if row and look(name).mechanism != look(methods[row - 1]).mechanism:
            axis.axhline(row - 0.5, color=FAINT, linewidth=0.5, zorder=0)
        mean = cells["mean"].get(name, np.nan)
        if np.isnan(mean):
            reason = "no score" if name in cells.index else "not compared"
            axis.annotate(
                reason, (0.02, row), xycoords=("axes fraction", "data"), va="center", fontsize=7, color="#5E6670"
            )
            continue
        seeds = runs.loc[runs["method"] == name].sort_values("seed")["test_value"].dropna().to_numpy()
        # Seeds are spread over the row's height in their order, so that equal scores stay visible.
        height = row + np.linspace(-0.27, 0.27, len(seeds)) if len(seeds) > 1 else np.array([float(row)])
        _seeds(axis, seeds, height, low, high, look(name).colour)
        if low <= mean <= high:
            axis.plot(mean, row, **mean_marker(name), zorder=3)
        else:
            side, edge = ("left", low) if mean < low else ("right", high)
            edge_note(axis, mean, (edge, row), side, look(name).colour)
    axis.set(xlim=(low, high), yticks=range(len(methods)), yticklabels=[look(name).title for name in methods])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)
    axis.set_xlabel(axis_title(cells["metric"].iloc[0], better))


def _seeds(axis: Axes, x: np.ndarray, y: np.ndarray, low: float, high: float, colour: str) -> None:
    inside = (x >= low) & (x <= high)
    axis.plot(x[inside], y[inside], "o", color=colour, markersize=2.6, alpha=0.6, markeredgewidth=0, zorder=2)
    for edge, arrow, beyond in ((low, "<", x < low), (high, ">", x > high)):
        axis.plot(np.full(beyond.sum(), edge), y[beyond], arrow, color=colour, markersize=3.2, markeredgewidth=0)


def _best(results: Results, condition: Condition) -> str:
    cells = rows_of(results.cells, condition)
    best = cells.loc[cells["place"] == 1, ["method", "mean"]]
    if best.empty:
        return f"{condition.title}, no score"
    return f"{condition.title}, best mean {look(best['method'].iloc[0]).title} at {best['mean'].iloc[0]:.3f}"
