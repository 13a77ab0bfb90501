"""A panel with a row a method: a line between two of its scores, open where it starts and filled where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from roftmol.figures.style import FAINT, edge_note, legend_below, limits, look, mean_marker

GREY = "#5E6670"
#: How far the bar of a standard deviation is drawn from its row's middle.
ASIDE = 0.22


def panel(axis: Axes, methods: Sequence[str], rows: pd.DataFrame) -> None:
    """Draw `rows`, one a method with the columns start, start_std, end and end_std; missing methods stay empty."""
    by_method = {row["method"]: row for row in rows.to_dict("records")}
    ends = [rows[end] + sign * rows[f"{end}_std"].fillna(0) for end in ("start", "end") for sign in (-1, 1)]
    low, high = limits(pd.concat(ends).to_numpy(dtype=float))
    for y, name in enumerate(methods):
        if y and look(name).mechanism != look(methods[y - 1]).mechanism:
            axis.axhline(y - 0.5, color=FAINT, linewidth=0.5, zorder=0)
        if name not in by_method:
            at = (0.02, y)
            axis.annotate("not compared", at, xycoords=("axes fraction", "data"), va="center", fontsize=7, color=GREY)
            continue
        row = by_method[name]
        colour = look(name).colour
        shown = np.clip([row["start"], row["end"]], low, high)
        axis.plot(shown, [y, y], color=colour, linewidth=1.3, alpha=0.55, zorder=1, solid_capstyle="butt")
        for value, std, aside in ((row["start"], row["start_std"], -ASIDE), (row["end"], row["end_std"], ASIDE)):
            axis.hlines(y + aside, value - std, value + std, color=colour, linewidth=0.8, alpha=0.6, zorder=1)
        marker = mean_marker(name)
        open_ = {**marker, "markerfacecolor": "white", "markeredgecolor": colour, "markeredgewidth": 1.1}
        for value, look_, size in ((row["start"], open_, 0.85), (row["end"], marker, 1.0)):
            if low <= value <= high:
                axis.plot(value, y, **{**look_, "markersize": size * marker["markersize"]}, zorder=3)
            else:
                side, edge = ("left", low) if value < low else ("right", high)
                edge_note(axis, value, (edge, y), side, colour)
    axis.set(xlim=(low, high), yticks=range(len(methods)), yticklabels=[look(name).title for name in methods])
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")


def legend(figure: Figure, start: str, end: str) -> None:
    """Say below all panels what the two ends are."""
    common: dict[str, Any] = {"color": GREY, "marker": "o", "linestyle": "none", "markersize": 6}
    keys = [
        Line2D([], [], **common, markerfacecolor="white", markeredgewidth=1.1, label=start),
        Line2D([], [], **common, markeredgecolor="white", label=end),
        Line2D([], [], color=GREY, linewidth=0.8, label="± one standard deviation over seeds"),
    ]
    legend_below(figure, keys)
