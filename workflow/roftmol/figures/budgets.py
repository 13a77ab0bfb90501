"""The test score against the number of labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd
from matplotlib.axes import Axes

from roftmol.figures.cells import Condition, Results, budget_order, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, paged, panels
from roftmol.figures.style import axis_title, in_order, limits, look, mean_marker, method_legend, panel_title
from roftmol.registry.splits import split_title


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model with several budgets, a panel for each dataset and split."""
    groups = ((protocol, model, _several(conditions)) for protocol, model, conditions in results.groups())
    return paged(results, "budgets", "Test score against labels", groups, _sheet, conditions=_all)


def _several(conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Group the conditions of each dataset and split that has several budgets."""
    together: dict[tuple[str, str], list[Condition]] = {}
    for condition in conditions:
        together.setdefault((condition.dataset, condition.split), []).append(condition)
    return [members for members in together.values() if len(members) > 1]


def _all(panels: Sequence[Sequence[Condition]]) -> list[Condition]:
    return [condition for members in panels for condition in members]


def _sheet(results: Results, page: Page[list[Condition]]) -> Sheet:
    columns = page.columns(min(3, len(page.items)))
    figure, _ = panels(page, columns, 2.5, lambda axis, members: _panel(axis, members, results))
    cells = results.cells
    methods = in_order(cells.loc[(cells["protocol"] == page.protocol) & (cells["model"] == page.model), "method"])
    method_legend(figure, methods, lines=True)
    caption = (
        "Mean test score over seeds against the number of labels; bars are one standard deviation over seeds. Budgets "
        "are spaced evenly. Methods are shifted sideways a little so that they can be told apart. A line that leaves "
        "its panel leads to a mean far outside the others."
    )
    counted = (
        " A budget counts every label that is used, those for validation too."
        if page.protocol == "honest"
        else " A budget counts training labels only: validation keeps its tenth of the data."
    )
    alt = (
        f"Line plots of the mean test score of {len(methods)} methods against the number of labels, for "
        + "; ".join(f"{members[0].dataset}, {members[0].split}" for members in page.items)
        + ". The results table has the numbers."
    )
    return Sheet(figure, caption + counted, alt)


def _panel(axis: Axes, members: list[Condition], results: Results) -> None:
    cells = pd.concat([rows_of(results.cells, condition) for condition in members])
    budgets = sorted(cells["budget"].unique(), key=budget_order)
    methods = in_order(cells["method"])
    for number, name in enumerate(methods):
        points = cells[cells["method"] == name].set_index("budget").reindex(budgets)
        shift = 0.4 * (number / max(len(methods) - 1, 1) - 0.5)
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
    panel_title(axis, first.dataset + results.mark(*members), split_title(first.split))
    axis.grid(axis="y")
