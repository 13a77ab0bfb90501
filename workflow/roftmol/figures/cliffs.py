"""The error on activity cliffs and on all other molecules."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes

from roftmol.figures import dumbbell
from roftmol.figures.cells import Condition, Results, conditions_of, groups_of, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, columns_for, paged, panels
from roftmol.figures.style import axis_title, in_order, look, panel_title

#: The columns of the table, as `dumbbell` calls them.
ENDS = {"other_rmse": "start", "other_std": "start_std", "cliff_rmse": "end", "cliff_std": "end_std"}
CAPTION = (
    "Mean RMSE over seeds on the test molecules that are in an activity cliff (filled) and on all others (open). A "
    "cliff is a pair of very similar molecules whose potencies differ more than tenfold. The partner may be in any "
    "part of the data."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a panel for each dataset with activity cliffs, split and budget."""
    groups = groups_of(conditions_of(results.diagnostics.cliffs))
    return paged(results, "cliffs", "Error on activity cliffs", groups, _sheet)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    rows = {condition: rows_of(results.diagnostics.cliffs, condition) for condition in page.items}
    methods = in_order(pd.concat(rows.values())["method"])

    def panel(axis: Axes, condition: Condition) -> None:
        dumbbell.panel(axis, methods, rows[condition].rename(columns=ENDS))
        inside, outside = (rows[condition][f"{where}_molecules"].mean() for where in ("cliff", "other"))
        panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)
        axis.set_xlabel(f"{axis_title('rmse', -1)}\n{inside:.0f} molecules on cliffs, {outside:.0f} not")

    columns = page.columns(columns_for(len({(condition.split, condition.budget) for condition in page.group})))
    figure, _ = panels(page, columns, 0.19 * len(methods) + 0.95, panel, share_y=True)
    dumbbell.legend(figure, "all other test molecules", "test molecules on activity cliffs")
    alt = (
        f"Dumbbell plots of the RMSE of {len(methods)} methods on activity cliffs and elsewhere: "
        + "; ".join(_best(table, condition) for condition, table in rows.items())
        + ". The table of activity cliffs has the numbers."
    )
    return Sheet(figure, CAPTION, alt)


def _best(rows: pd.DataFrame, condition: Condition) -> str:
    best = rows.iloc[int(rows["cliff_rmse"].argmin())]
    return f"{condition.title}, lowest on cliffs {look(best['method']).title} at {best['cliff_rmse']:.3f}"
