"""Reliability curves: predicted against observed, for probabilities and for errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from roftmol.figures.cells import Condition, Results, conditions_of, groups_of, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, paged, panels
from roftmol.figures.style import in_order, look, mean_marker, method_legend, panel_title
from roftmol.tasks import TASKS

GREY = "#C3C8CE"


class Shown(NamedTuple):
    """How the reliability of a kind of task is drawn."""

    subject: str
    across: str
    upwards: str
    caption: str
    ends: Callable[[pd.DataFrame], tuple[float, float]]  #: the ends of both axes, from the curves in colour
    #: The corner where each curve is summed up in a number: its position, the step between numbers, their alignment.
    corner: tuple[tuple[float, float], int, str, str]
    measure: Callable[[pd.Series], str]  #: that number, from the table of calibration


def _to_largest(shown: pd.DataFrame) -> tuple[float, float]:
    return 0.0, 1.2 * float(np.nanmax(shown[["predicted", "observed"]].to_numpy(dtype=float)))


PROBABILITIES = Shown(
    "Reliability of probabilities",
    "mean predicted probability",
    "observed share of positives",
    "Observed share of positives against predicted probability, in bins of equally many predictions of all seeds. On "
    "the dashed line, the two agree. Bars are Wilson's 95% intervals, from the distinct molecules in a bin. ECE is the "
    "mean distance from the line; in brackets, what it would be by chance for true probabilities in bins of this size.",
    ends=lambda _shown: (0.0, 1.0),
    corner=((0.03, 0.97), -9, "left", "top"),
    measure=lambda values: f"ECE {values['ece']:.3f} ({values['ece_by_chance']:.3f})",
)
SPREAD = Shown(
    "Reliability of the seeds' spread",
    "predicted error: deviation over seeds",
    "observed error: RMSE of the mean",
    "RMSE of the seeds' mean prediction against the deviation over seeds (root means in bins of equally many test "
    "molecules), in label units. On the dashed line, the spread of the seeds is as large as the error. Above it, "
    "seeds agree more than they should. Bars are 95% intervals for normal errors.",
    ends=_to_largest,
    # Seeds spread less than they err, so the curves keep to the upper left.
    corner=((0.97, 0.03), 9, "right", "bottom"),
    measure=lambda values: f"90% interval holds {100 * values['coverage_90']:.0f}%",
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each kind of task, protocol and model, a panel for each dataset, split and budget."""
    table = results.diagnostics.reliability
    for kind, task in TASKS.items():
        shown = PROBABILITIES if task.classes else SPREAD
        curves = table[table["kind"] == kind]
        groups = groups_of(conditions_of(curves))
        yield from paged(results, "reliability", shown.subject, groups, partial(_sheet, shown, curves), part=kind)


def _sheet(shown: Shown, curves: pd.DataFrame, results: Results, page: Page[Condition]) -> Sheet:
    def panel(axis: Axes, condition: Condition) -> None:
        _panel(axis, shown, rows_of(curves, condition), results, condition)
        axis.set_xlabel(shown.across)

    columns = page.columns(3)
    figure, axes = panels(page, columns, 2.55, panel)
    for axis in axes[::columns]:
        axis.set_ylabel(shown.upwards)
    strong = in_order(name for condition in page.items for name in results.emphasised(condition))
    weak = Line2D([], [], color=GREY, linewidth=0.9, label="other methods")
    method_legend(figure, strong, lines=True, extra=[weak])
    best = " In colour: full FT, the fingerprint and the best of the other methods by mean test score."
    alt = (
        f"Reliability curves, {shown.upwards} against {shown.across}, for "
        + "; ".join(condition.title for condition in page.items)
        + ". The tables of calibration have the numbers."
    )
    return Sheet(figure, shown.caption + best, alt)


def _panel(axis: Axes, shown: Shown, rows: pd.DataFrame, results: Results, condition: Condition) -> None:
    strong = results.emphasised(condition)
    low, high = shown.ends(rows[rows["method"].isin(strong)] if rows["method"].isin(strong).any() else rows)
    corner, down, ha, va = shown.corner
    axis.plot([low, high], [low, high], color="#8B949E", linewidth=0.9, linestyle="--", zorder=1)
    for name in in_order(set(rows["method"]) - set(strong)):
        points = rows[rows["method"] == name].sort_values("bin")
        axis.plot(points["predicted"], points["observed"], color=GREY, linewidth=0.8, zorder=0)
    for line, name in enumerate(in_order(strong)):
        points = rows[rows["method"] == name].sort_values("bin")
        if points.empty:
            continue
        colour = look(name).colour
        axis.vlines(
            points["predicted"], points["low"], points["high"], color=colour, linewidth=0.7, alpha=0.6, zorder=2
        )
        marker = {**mean_marker(name), "linestyle": "-", "linewidth": 1.2}
        axis.plot(points["predicted"], points["observed"], **{**marker, "markersize": 0.75 * marker["markersize"]})
        axis.annotate(
            shown.measure(_calibration(results, condition, name)),
            corner,
            (0, down * line),
            xycoords="axes fraction",
            textcoords="offset points",
            ha=ha,
            va=va,
            fontsize=7,
            color=colour,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
            zorder=4,
        )
    axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)
    axis.grid()


def _calibration(results: Results, condition: Condition, method: str) -> pd.Series:
    """Return the measures of a method's calibration, by name."""
    rows = rows_of(results.diagnostics.calibration, condition)
    return rows[rows["method"] == method].set_index("measure")["value"]
