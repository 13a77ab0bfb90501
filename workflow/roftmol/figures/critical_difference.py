"""Mean ranks over datasets, with bars over the methods that are not told apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scikit_posthocs import critical_difference_diagram

from roftmol.figures.cells import Family, Results, family_groups, family_title
from roftmol.figures.pages import Drawing, Page, Sheet, paged
from roftmol.figures.style import FAINT, look
from roftmol.statistics.comparisons import ALPHA, significance
from roftmol.tasks import metric_title

FAMILIES_A_PAGE = 4
CAPTION = "Mean rank of each method over the datasets; 1 is the best. Ranks are of test scores averaged over seeds. "
BAR = (
    "A thick bar joins methods that are not told apart: no two under it differ by Wilcoxon's signed-rank test with "
    "Holm's correction for all pairs. "
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a diagram for each split, budget and metric with two datasets."""
    groups = family_groups(results.mean_ranks[results.mean_ranks["datasets"] > 1])
    conditions = results.conditions_of_families
    return paged(results, "critical_difference", "Mean ranks", groups, _sheet, FAMILIES_A_PAGE, conditions)


def _sheet(results: Results, page: Page[Family]) -> Sheet:
    height = max(len(ranks) for _, ranks in page.items) // 2 * 0.2 + 1.05
    figure = Figure(figsize=(7.6, height * len(page.items)), layout="constrained")
    axes = figure.subplots(len(page.items), squeeze=False)[:, 0]
    for axis, (family, ranks) in zip(axes, page.items, strict=True):
        tested = results.pairs
        for name, value in family.items():
            tested = tested[tested[name] == value]
        _diagram(axis, family, ranks, tested)
    powers = " ".join(filter(None, (_power(family, ranks) for family, ranks in page.items)))
    words = " ".join(_words(family, ranks) for family, ranks in page.items)
    bars = BAR if any(ranks["enough"].all() for _, ranks in page.items) else ""
    return Sheet(figure, (CAPTION + bars + powers).strip(), "Critical-difference diagrams. " + words)


def _diagram(axis: Axes, family: dict[str, str], ranks: pd.DataFrame, tested: pd.DataFrame) -> None:
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
        crossbar_props={"color": "#5E6670", "linewidth": 3, "solid_capstyle": "round"},
        text_h_margin=0.03 * float(np.ptp(values)) or 0.03,
    )
    for line in itertools.chain.from_iterable(drawn["crossbars"]):
        # Its points are those of a set of names, whose order changes from one process to another.
        line.set_xdata(sorted(line.get_xdata()))
        line.set_visible(bool(ranks["enough"].all()))  # a bar over all methods would read as if they were equal
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines["top"].set(visible=True, color=FAINT)
    metric = metric_title(family["metric"])
    count = ranks["datasets"].iloc[0]
    axis.set_title(f"{metric}, {family_title(family)}: {count} datasets", pad=9)


def _power(family: dict[str, str], ranks: pd.DataFrame) -> str:
    first = ranks.iloc[0]
    if first["enough"]:
        return ""
    metric = metric_title(family["metric"])
    return (
        f"{metric}, {family_title(family)}: with {first['datasets']} datasets, none of {first['pairs']} tests can be "
        f"significant; that needs at least {first['smallest_n']}. So nothing is said of which methods differ."
    )


def _words(family: dict[str, str], ranks: pd.DataFrame) -> str:
    order = ", ".join(f"{look(row['method']).title} {row['mean_rank']:.1f}" for row in ranks.to_dict("records"))
    groups = len(set("".join(ranks["groups"])))
    outcome = "none is told apart from another" if groups == 1 else f"{groups} groups that overlap or are told apart"
    return f"{family['metric']}, {family_title(family)}: {order}; {outcome}."
