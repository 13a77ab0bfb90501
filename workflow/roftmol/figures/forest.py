"""How much better each method is than full FT: the mean over datasets with its interval, and every dataset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from roftmol.figures.cells import Family, Results, family_groups, family_title
from roftmol.figures.pages import Drawing, Page, Sheet, paged, panels
from roftmol.figures.style import FAINT, in_order, legend_below, limits, look, mean_marker, panel_title
from roftmol.methods import FULL_FT
from roftmol.tasks import METRICS, metric_title

FAMILIES_A_PAGE = 6
REGION = "#DCEBDD"
VERDICTS = ("better", "worse", "equivalent", "undecided")
#: The markers of datasets; more datasets than these use them again.
MARKERS = "o^sDvPX*<>dph8"
CAPTION = (
    "How much better each method's test score is than full fine-tuning's, in units of the metric, or in percent for "
    "RMSE; to the right is better. Small points are datasets, each a mean over seeds; the large point is their mean. "
    "Within the shaded region, the two methods are practically equivalent."
)
INTERVALS = " Bars are 95% bootstrap intervals; the comparisons table says what they cover."
NO_INTERVALS = " There are too few datasets or seeds to tell methods apart, so no intervals are drawn."
BEYOND = " An arrow marks an interval or a dataset that reaches beyond the axis."


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a panel for each split, budget and metric."""
    groups = family_groups(results.comparisons[results.comparisons["reference"] == FULL_FT])
    conditions = results.conditions_of_families
    return paged(results, "forest", "Lead over full fine-tuning", groups, _sheet, FAMILIES_A_PAGE, conditions)


def _sheet(results: Results, page: Page[Family]) -> Sheet:
    methods = in_order(name for _, table in page.items for name in table["method"])
    datasets = _datasets([table for _, table in page.items])
    beyond: list[bool] = []
    figure, _ = panels(
        page,
        page.columns(2),
        0.24 * len(methods) + 1.0,
        lambda axis, one: beyond.append(_panel(axis, methods, *one, datasets)),
        share_y=True,
    )
    intervals = any(_tells(table).any() for _, table in page.items)
    conditions = results.conditions_of_families(page.items)
    marks = {name: results.mark(*(one for one in conditions if one.dataset == name)) for name in datasets}
    mean = "mean, 95% interval" if intervals else "mean"
    common: dict[str, Any] = {"color": "#5E6670", "markersize": 3.5, "linestyle": "none"}
    keys = [
        *(Line2D([], [], marker=marker, label=name + marks[name], **common) for name, marker in datasets.items()),
        Line2D([], [], color="#5E6670", marker="o", markersize=6, linewidth=1.6 * intervals, label=mean),
        Patch(color=REGION, label="practically equivalent"),
    ]
    legend_below(figure, keys)
    caption = CAPTION + (INTERVALS if intervals else NO_INTERVALS) + (BEYOND if any(beyond) else "")
    return Sheet(figure, caption, "Forest plots. " + " ".join(_words(family, table) for family, table in page.items))


def _panel(
    axis: Axes, methods: list[str], family: dict[str, str], table: pd.DataFrame, markers: dict[str, str]
) -> bool:
    """Draw a family; return whether something reaches beyond the axis."""
    relative = table["scale"].iloc[0] == "relative"
    factor = METRICS[family["metric"]].sign * (100.0 if relative else 1.0)
    column = "relative" if relative else "difference"
    whole = table[table["dataset"] == "all"].set_index("method")
    single = table[table["dataset"] != "all"]
    region = float(whole["region"].iloc[0])
    edges = sorted([factor * (1 / (1 + region) - 1), factor * region]) if relative else (-region, region)
    told = whole[_tells(whole)]
    shown = (single[column], whole[column], told["low"], told["high"])
    reached = False
    low, high = limits(np.concatenate([*(factor * values for values in shown), edges]))
    axis.axvspan(*edges, color=REGION, zorder=0, linewidth=0)
    axis.axvline(0, color="#5E6670", linewidth=0.8, zorder=1)
    for y, name in enumerate(methods):
        if y and look(name).mechanism != look(methods[y - 1]).mechanism:
            axis.axhline(y - 0.5, color=FAINT, linewidth=0.5, zorder=0)
        if name not in whole.index:
            axis.annotate("not compared", (0.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=7)
            continue
        colour = look(name).colour
        for dataset, value in single[single["method"] == name].set_index("dataset")[column].items():
            x = float(np.clip(factor * value, low, high))
            reached = reached or x != factor * float(value)
            style = markers[str(dataset)] if x == factor * value else "<" if x == low else ">"
            axis.plot(x, y + 0.27, style, color=colour, markersize=3.2, alpha=0.7, markeredgewidth=0)
        row = whole.loc[name]
        left, right = sorted([factor * row["low"], factor * row["high"]])
        if name in told.index and np.isfinite([left, right]).all():
            reached = bool(reached or left < low or right > high)
            ends = np.clip([left, right], low, high)
            axis.plot(ends, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
            for edge, arrow, beyond in ((low, "<", left < low), (high, ">", right > high)):
                if beyond:
                    axis.plot(edge, y, arrow, color=colour, markersize=4, markeredgewidth=0)
        if low <= factor * row[column] <= high:
            axis.plot(factor * row[column], y, **mean_marker(name), zorder=3)
    axis.set(xlim=(low, high), yticks=range(len(methods)), yticklabels=[look(name).title for name in methods])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.xaxis.set_major_locator(MaxNLocator(4))  # more, and small differences, which have many digits, run together
    metric = metric_title(family["metric"])
    axis.set_xlabel(f"better than full FT by, {f'% of {metric}' if relative else metric}")
    count = single["dataset"].nunique()
    panel_title(axis, f"{metric}: {count} dataset{'s' if count > 1 else ''}", family_title(family))
    return reached


def _tells(table: pd.DataFrame) -> pd.Series:
    """Return the rows whose interval says something: two methods could be told apart, or are equivalent."""
    return (table["dataset"] == "all") & (table["enough"] | (table["verdict"] == "equivalent"))


def _datasets(tables: list[pd.DataFrame]) -> dict[str, str]:
    """Give each dataset of a page a marker."""
    names = sorted({str(name) for table in tables for name in table["dataset"]} - {"all"}, key=str.casefold)
    return {name: MARKERS[number % len(MARKERS)] for number, name in enumerate(names)}


def _words(family: dict[str, str], table: pd.DataFrame) -> str:
    whole = table[table["dataset"] == "all"]
    methods = {verdict: in_order(whole.loc[whole["verdict"] == verdict, "method"]) for verdict in VERDICTS}
    phrases = [
        f"{verdict} {', '.join(look(name).title for name in names)}" for verdict, names in methods.items() if names
    ]
    return f"{family['metric']}, {family_title(family)}: {'; '.join(phrases)}."
