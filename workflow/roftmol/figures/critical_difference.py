"""Mean ranks over datasets, with bars over the methods that are not told apart, where so many datasets can tell."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from roftmol.figures.cells import Family, Results, family_groups, family_title
from roftmol.figures.pages import NARROW, Drawing, Page, Sheet, paged
from roftmol.figures.style import FAINT, look, mean_marker
from roftmol.statistics.comparisons import ALPHA, significance
from roftmol.tasks import metric_title

FAMILIES_A_PAGE = 4
BAR = "#5E6670"
CAPTION = (
    "Mean rank of each method over the datasets; 1 is the best. Ranks are of test scores averaged over seeds. A thick "
    "bar joins methods that are not told apart: no two of them differ by Wilcoxon's signed-rank test with Holm's "
    "correction for all pairs."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a diagram for each split, budget and metric with enough datasets.

    Where no two methods could be told apart, the mean ranks are in the figure of the ranks, and a bar over all methods
    would read as if they were equal.
    """
    groups = family_groups(results.mean_ranks[results.mean_ranks["enough"]])
    conditions = results.conditions_of_families
    return paged(results, "critical_difference", "Mean ranks", groups, _sheet, FAMILIES_A_PAGE, conditions)


def _sheet(results: Results, page: Page[Family]) -> Sheet:
    most = max(len(ranks) for _, ranks in page.items)
    size = (NARROW, 0.2 * most + 0.8) if page.narrow else (7.6, most // 2 * 0.2 + 1.05)
    figure = Figure(figsize=(size[0], size[1] * len(page.items)), layout="constrained")
    axes = figure.subplots(len(page.items), squeeze=False)[:, 0]
    for axis, (family, ranks) in zip(axes, page.items, strict=True):
        tested = results.pairs
        for name, value in family.items():
            tested = tested[tested[name] == value]
        (_rows if page.narrow else _diagram)(axis, ranks, tested)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines["top"].set(visible=True, color=FAINT)
        metric = metric_title(family["metric"])
        axis.set_title(f"{metric}, {family_title(family)}: {ranks['datasets'].iloc[0]} datasets", pad=9)
    words = " ".join(_words(family, ranks) for family, ranks in page.items)
    return Sheet(figure, CAPTION, "Critical-difference diagrams. " + words)


def _diagram(axis: Axes, ranks: pd.DataFrame, tested: pd.DataFrame) -> None:
    from scikit_posthocs import critical_difference_diagram

    titles = {name: look(name).title for name in ranks["method"]}
    values = pd.Series(ranks["mean_rank"].to_numpy(), index=list(titles.values()))
    matrix = significance(tested, list(titles)).rename(index=titles, columns=titles)
    drawn = critical_difference_diagram(
        values,
        matrix,
        alpha=ALPHA,
        ax=axis,
        label_fmt_left="{label} ({rank:.1f}) ",
        label_fmt_right=" ({rank:.1f}) {label}",
        color_palette={look(name).title: look(name).colour for name in titles},
        label_props={"fontsize": 7.5},
        marker_props={"s": 14},
        elbow_props={"linewidth": 0.9},
        crossbar_props={"color": BAR, "linewidth": 3, "solid_capstyle": "round"},
        text_h_margin=0.03 * float(np.ptp(values)) or 0.03,
    )
    for line in itertools.chain.from_iterable(drawn["crossbars"]):
        # Its points are those of a set of names, whose order changes from one process to another.
        line.set_xdata(sorted(line.get_xdata()))


def _rows(axis: Axes, ranks: pd.DataFrame, _tested: pd.DataFrame) -> None:
    """Draw a row a method, the best first, and beside them the bars, which a narrow window has no room for above."""
    ranks = ranks.sort_values("mean_rank", kind="stable").reset_index(drop=True)
    for y, row in enumerate(ranks.to_dict("records")):
        axis.plot(row["mean_rank"], y, **mean_marker(row["method"]))
    right = float(ranks["mean_rank"].max())
    step = 0.04 * float(np.ptp(ranks["mean_rank"])) or 0.04
    joined = (ranks.index[ranks["groups"].str.contains(letter)] for letter in sorted(set("".join(ranks["groups"]))))
    bars = [places for places in joined if len(places) > 1]
    for number, places in enumerate(bars, start=1):
        x = right + (number + 1) * step
        axis.plot([x] * len(places), places, "o-", color=BAR, linewidth=1.6, markersize=4)  # a dot for each of them
    titles = [f"{look(row['method']).title} ({row['mean_rank']:.1f})" for row in ranks.to_dict("records")]
    axis.set_yticks(range(len(ranks)), labels=titles)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    axis.xaxis.tick_top()
    axis.invert_yaxis()


def _words(family: dict[str, str], ranks: pd.DataFrame) -> str:
    order = ", ".join(f"{look(row['method']).title} {row['mean_rank']:.1f}" for row in ranks.to_dict("records"))
    groups = len(set("".join(ranks["groups"])))
    outcome = "none is told apart from another" if groups == 1 else f"{groups} groups that overlap or are told apart"
    return f"{family['metric']}, {family_title(family)}: {order}; {outcome}."
