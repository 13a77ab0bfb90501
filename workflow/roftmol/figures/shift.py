"""The score in distribution and out of it."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from roftmol.figures import dumbbell
from roftmol.figures.cells import SPLITS, Results, Setting, groups_of, rows_of, settings_of
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
    """One figure for each protocol and model, a panel for each dataset, out-of-distribution split and budget."""
    shift = results.diagnostics.shift
    for protocol, model, settings in groups_of(settings_of(shift)):
        columns = columns_for(len({(setting.split, setting.budget) for setting in settings}))
        for page, shown in pages(settings, PANELS_A_PAGE):
            methods = in_order(pd.concat([rows_of(shift, setting) for setting in shown])["method"])
            figure, axes = grid(len(shown), columns, 0.19 * len(methods) + 0.8, share_y=True)
            for axis, setting in zip(axes, shown, strict=True):
                rows = rows_of(shift, setting)
                names = {"reference_mean": "start", "reference_std": "start_std", "shifted_mean": "end"}
                dumbbell.panel(axis, methods, rows.rename(columns={**names, "shifted_std": "end_std"}))
                panel_title(axis, setting.dataset + results.mark(setting), setting.conditions)
                axis.set_xlabel(axis_title(rows["metric"].iloc[0], rows["better"].iloc[0]))
            axes[0].invert_yaxis()  # once: the axis is shared
            references = {reference_title(name) for setting in shown for name in rows_of(shift, setting)["reference"]}
            dumbbell.legend(figure, " or ".join(sorted(references)), "the panel's split")
            yield Drawing(
                kind="shift",
                subject="In and out of distribution",
                protocol=protocol,
                model=model,
                page=page,
                caption=(
                    "Mean test score over seeds where test molecules are like the training molecules (open) and under "
                    "the panel's split, where they are not (filled): the line is what the shift costs, or gains where "
                    "the filled end is the better one. Either end has test molecules of its own, so a part of the "
                    "length is their choice, the same for all methods." + results.mark_lines(shown)
                ),
                alt=(
                    f"Dumbbell plots of the test score of {len(methods)} methods in and out of distribution: "
                    + "; ".join(_longest(shift, setting) for setting in shown)
                    + ". The table of shifts has the numbers."
                ),
                figure=figure,
                settings=shown,
            )


def reference_title(name: str) -> str:
    """What the score in distribution is of: another split, or the second test of the same models."""
    return "test in distribution" if name == "test_id" else SPLITS[name]


def _longest(shift: pd.DataFrame, setting: Setting) -> str:
    rows = rows_of(shift, setting)
    worst = rows.iloc[int(rows["drop"].argmax())]
    return f"{setting.title}, {look(worst['method']).title} loses most, {worst['drop']:.3f}"
