"""The error against the similarity to the nearest training molecule."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from roftmol.figures.cells import Condition, Results, conditions_of, groups_of, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, paged, panels
from roftmol.figures.style import in_order, look, mean_marker, method_legend, panel_title
from roftmol.tasks import TASKS

GREY, BARS = "#C3C8CE", "#E6E9EC"
AXES = {task.squared_error.name: task.squared_error.title for task in TASKS.values()}
#: A bin with fewer molecules has too uncertain an error to draw; the table has it.
MIN_MOLECULES = 5
CAPTION = (
    "Error on the test molecules by the Tanimoto similarity (Morgan fingerprints) to the nearest training molecule of "
    "the same seed, in bins over all seeds. Bands are one standard error over molecules; grey bars are the share of "
    "the test predictions. In colour: full FT, the fingerprint and the best of the other methods by mean test score."
)
LEFT_OUT = f" Bins of fewer than {MIN_MOLECULES} molecules are left out."
BEYOND = " A line that leaves its panel leads to a larger error."


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a panel for each dataset, split and budget."""
    table = results.diagnostics.similarity
    table = table[table["molecules"] >= MIN_MOLECULES]
    subject = "Error by similarity to the training molecules"
    return paged(results, "similarity", subject, groups_of(conditions_of(table)), partial(_sheet, table))


def _sheet(table: pd.DataFrame, results: Results, page: Page[Condition]) -> Sheet:
    shown = {condition: rows_of(table, condition) for condition in page.items}

    def panel(axis: Axes, condition: Condition) -> None:
        _panel(axis, shown[condition], results, condition)
        axis.set_xlabel("nearest training similarity")

    figure, _ = panels(page, page.columns(3), 2.3, panel)
    strong = in_order(name for condition in page.items for name in results.emphasised(condition))
    extra = [
        Line2D([], [], color=GREY, linewidth=0.9, label="other methods"),
        Patch(color=BARS, label="share of test molecules"),
    ]
    method_legend(figure, strong, lines=True, extra=extra)
    alt = (
        "Line plots of the error against the similarity to the nearest training molecule: "
        + "; ".join(_ends(table, condition, results) for condition in page.items)
        + ". The table of similarities has the numbers."
    )
    caption = CAPTION
    everything = results.diagnostics.similarity
    if any((rows_of(everything, one)["molecules"] < MIN_MOLECULES).any() for one in page.items):
        caption += LEFT_OUT
    if any((rows["value"] > _ceiling(rows, results.emphasised(one))).any() for one, rows in shown.items()):
        caption += BEYOND
    return Sheet(figure, caption, alt)


def _ceiling(rows: pd.DataFrame, strong: list[str]) -> float:
    """Return where a panel ends: above the methods in colour."""
    top = rows["value"] + rows["error"].fillna(0)
    return 1.08 * float(np.nanmax(top[rows["method"].isin(strong)] if rows["method"].isin(strong).any() else top))


def _panel(axis: Axes, rows: pd.DataFrame, results: Results, condition: Condition) -> None:
    strong = results.emphasised(condition)
    ceiling = _ceiling(rows, strong)
    bins = rows.drop_duplicates("lower").sort_values("lower")
    share = bins["entries"] / bins["entries"].sum()
    axis.bar(bins["lower"], 0.3 * ceiling * share, bins["upper"] - bins["lower"], align="edge", color=BARS, zorder=0)
    for name in in_order(set(rows["method"]) - set(strong)):
        points = rows[rows["method"] == name].sort_values("lower")
        axis.plot(points["similarity"], points["value"], color=GREY, linewidth=0.8, zorder=1)
    for name in in_order(strong):
        points = rows[rows["method"] == name].sort_values("lower")
        colour = look(name).colour
        error = points["error"].fillna(0)
        low, high = points["value"] - error, points["value"] + error
        axis.fill_between(points["similarity"], low, high, color=colour, alpha=0.15, linewidth=0, zorder=2)
        marker = {**mean_marker(name), "linestyle": "-", "linewidth": 1.2}
        axis.plot(
            points["similarity"], points["value"], **{**marker, "markersize": 0.75 * marker["markersize"]}, zorder=3
        )
    axis.set(xlim=(0, 1), ylim=(0, ceiling))
    axis.set_ylabel(f"{AXES[rows['measure'].iloc[0]]} (lower is better)")
    panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)
    axis.grid(axis="y")


def _ends(table: pd.DataFrame, condition: Condition, results: Results) -> str:
    rows = rows_of(table, condition)
    name = next(iter(results.emphasised(condition)), rows["method"].iloc[0])
    values = rows[rows["method"] == name].sort_values("lower")
    if values.empty:
        return condition.title
    first, last = values.iloc[0], values.iloc[-1]
    return (
        f"{condition.title}, {look(name).title} from {first['value']:.3f} at {first['similarity']:.2f} "
        f"to {last['value']:.3f} at {last['similarity']:.2f}"
    )
