"""The score in distribution and out of it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from roftmol.figures import dumbbell
from roftmol.figures.cells import Condition, Results, conditions_of, groups_of, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, columns_for, paged, panels
from roftmol.figures.style import axis_title, in_order, look, panel_title
from roftmol.registry.splits import split_title

#: The columns of the table, as `dumbbell` calls them.
ENDS = {
    "reference_mean": "start",
    "reference_std": "start_std",
    "shifted_mean": "end",
    "shifted_std": "end_std",
}
CAPTION = (
    "Mean test score over seeds on test molecules like the training molecules (open) and under the panel's split, on "
    "molecules unlike them (filled). The line between the two is what the shift costs, or gains if the filled end is "
    "better. The two ends have different test molecules, so a part of the length comes from their choice; it is the "
    "same for all methods."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a panel for each dataset, out-of-distribution split and budget."""
    groups = groups_of(conditions_of(results.diagnostics.shift))
    return paged(results, "shift", "In and out of distribution", groups, _sheet)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    rows = {condition: rows_of(results.diagnostics.shift, condition) for condition in page.items}
    methods = in_order(pd.concat(rows.values())["method"])

    def panel(axis: Axes, condition: Condition) -> None:
        dumbbell.panel(axis, methods, rows[condition].rename(columns=ENDS))
        panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)
        axis.set_xlabel(axis_title(rows[condition]["metric"].iloc[0], rows[condition]["better"].iloc[0]))

    columns = page.columns(columns_for(len({(condition.split, condition.budget) for condition in page.group})))
    figure, _ = panels(page, columns, 0.19 * len(methods) + 0.8, panel, share_y=True)
    references = {reference_title(name) for table in rows.values() for name in table["reference"]}
    dumbbell.legend(figure, " or ".join(sorted(references)), "the panel's split")
    alt = (
        f"Dumbbell plots of the test score of {len(methods)} methods in and out of distribution: "
        + "; ".join(_longest(table, condition) for condition, table in rows.items())
        + ". The table of shifts has the numbers."
    )
    return Sheet(figure, CAPTION, alt)


def reference_title(name: str) -> str:
    """Name what the score in distribution is of: another split, or the second test of the same fits."""
    return "test in distribution" if name == "test_id" else split_title(name)


def _longest(rows: pd.DataFrame, condition: Condition) -> str:
    worst = rows.iloc[int(rows["drop"].argmax())]
    return f"{condition.title}, {look(worst['method']).title} loses most, {worst['drop']:.3f}"
