"""The error on activity cliffs and on all other molecules."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from roftmol.figures import dumbbell
from roftmol.figures.cells import Results, Setting, groups_of, rows_of, settings_of
from roftmol.figures.style import (
    PANELS_A_PAGE,
    Drawing,
    axis_title,
    columns_for,
    grid,
    in_order,
    look,
    pages,
    panel_title,
)


def drawings(results: Results) -> Iterator[Drawing]:
    """One figure for each protocol and model, a panel for each dataset with activity cliffs, split and budget."""
    cliffs = results.diagnostics.cliffs
    for protocol, model, settings in groups_of(settings_of(cliffs)):
        columns = columns_for(len({(setting.split, setting.budget) for setting in settings}))
        for page, shown in pages(settings, PANELS_A_PAGE):
            methods = in_order(pd.concat([rows_of(cliffs, setting) for setting in shown])["method"])
            figure, axes = grid(len(shown), columns, 0.19 * len(methods) + 0.95, share_y=True)
            for axis, setting in zip(axes, shown, strict=True):
                rows = rows_of(cliffs, setting)
                names = {"other_rmse": "start", "other_std": "start_std", "cliff_rmse": "end", "cliff_std": "end_std"}
                dumbbell.panel(axis, methods, rows.rename(columns=names))
                inside, outside = rows["cliff_molecules"].mean(), rows["other_molecules"].mean()
                panel_title(axis, setting.dataset + results.mark(setting), setting.conditions)
                axis.set_xlabel(f"{axis_title('rmse', -1)}\n{inside:.0f} molecules on cliffs, {outside:.0f} not")
            axes[0].invert_yaxis()  # once: the axis is shared
            dumbbell.legend(figure, "all other test molecules", "test molecules on activity cliffs")
            yield Drawing(
                kind="cliffs",
                subject="Error on activity cliffs",
                protocol=protocol,
                model=model,
                page=page,
                caption=(
                    "Mean RMSE over seeds on the test molecules that are in an activity cliff (filled) and on all "
                    "others (open). A cliff is a pair of much alike molecules whose potencies differ more than "
                    "tenfold; the partner may be in any part of the data." + results.mark_lines(shown)
                ),
                alt=(
                    f"Dumbbell plots of the RMSE of {len(methods)} methods on activity cliffs and elsewhere: "
                    + "; ".join(_best(cliffs, setting) for setting in shown)
                    + ". The table of activity cliffs has the numbers."
                ),
                figure=figure,
                settings=shown,
            )


def _best(cliffs: pd.DataFrame, setting: Setting) -> str:
    rows = rows_of(cliffs, setting)
    best = rows.iloc[int(rows["cliff_rmse"].argmin())]
    return f"{setting.title}, lowest on cliffs {look(best['method']).title} at {best['cliff_rmse']:.3f}"
