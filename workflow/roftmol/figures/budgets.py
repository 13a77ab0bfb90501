"""The test score against the number of labels."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from roftmol.figures.cells import SPLITS, Results, Setting, budget_order, rows_of
from roftmol.figures.style import (
    PANELS_A_PAGE,
    Drawing,
    axis_title,
    grid,
    in_order,
    limits,
    look,
    mean_marker,
    method_legend,
    pages,
    panel_title,
)


def drawings(results: Results) -> Iterator[Drawing]:
    """One figure for each protocol and model with several budgets, a panel for each dataset and split."""
    for protocol, model, settings in results.groups():
        panels: dict[tuple[str, str], list[Setting]] = {}
        for setting in settings:
            panels.setdefault((setting.dataset, setting.split), []).append(setting)
        several = [members for members in panels.values() if len(members) > 1]
        for page, shown in pages(several, PANELS_A_PAGE):
            figure, axes = grid(len(shown), 3 if len(shown) > 2 else len(shown), 2.5)
            for axis, members in zip(axes, shown, strict=True):
                _panel(axis, members, results)
            methods = in_order(method for s in settings for method in rows_of(results.cells, s)["method"])
            method_legend(figure, methods, lines=True)
            yield Drawing(
                kind="budgets",
                subject="Test score against labels",
                protocol=protocol,
                model=model,
                page=page,
                caption=(
                    "Mean test score over seeds against the number of labels; bars are one standard deviation over "
                    "seeds. Budgets are spaced evenly, methods are shifted sideways a little to be told "
                    "apart. A line that leaves its panel leads to a mean far outside the others."
                    + (
                        " A budget counts every label used, validation included."
                        if protocol == "honest"
                        else " A budget counts training labels only: validation keeps its tenth of the data."
                    )
                    + results.mark_lines(setting for members in shown for setting in members)
                ),
                alt=(
                    f"Line plots of the mean test score of {len(methods)} methods against the number of labels, for "
                    + "; ".join(f"{members[0].dataset}, {members[0].split}" for members in shown)
                    + ". The results table has the numbers."
                ),
                figure=figure,
                settings=[setting for members in shown for setting in members],
            )


def _panel(axis: Axes, members: list[Setting], results: Results) -> None:
    cells = pd.concat([rows_of(results.cells, setting) for setting in members])
    budgets = sorted(cells["budget"].unique(), key=budget_order)
    methods = in_order(cells["method"])
    for place, name in enumerate(methods):
        points = cells[cells["method"] == name].set_index("budget").reindex(budgets)
        shift = 0.4 * (place / max(len(methods) - 1, 1) - 0.5)
        x = [position + shift for position in range(len(budgets))]
        axis.vlines(
            x, points["mean"] - points["std"], points["mean"] + points["std"], color=look(name).colour, linewidth=0.7
        )
        marker = {**mean_marker(name), "linestyle": "-", "linewidth": 0.9, "alpha": 0.95}
        axis.plot(x, points["mean"], **{**marker, "markersize": 0.75 * marker["markersize"]})
    bars = pd.concat([cells["mean"] - cells["std"].fillna(0), cells["mean"] + cells["std"].fillna(0)])
    axis.set(ylim=limits(bars.to_numpy(dtype=float)), xticks=range(len(budgets)), xticklabels=budgets)
    axis.set_xlabel("labels")
    axis.set_ylabel(axis_title(cells["metric"].iloc[0], cells["better"].iloc[0], "\n"))
    first = members[0]
    panel_title(axis, first.dataset + results.mark(*members), SPLITS.get(first.split, first.split))
    axis.grid(axis="y")
