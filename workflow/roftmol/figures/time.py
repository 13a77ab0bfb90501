"""What a score costs: the time of all fits against the mean test score."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, columns_for, label_below, paged, panels
from roftmol.figures.style import axis_title, edge_note, in_order, limits, look, mean_marker, method_legend, panel_title
from roftmol.methods import ALL_METHODS, FULL_FT

#: Ticks of a logarithmic time axis, in seconds.
TICKS = {
    0.01: "10 ms", 0.1: "0.1 s", 1: "1 s", 5: "5 s", 20: "20 s", 60: "1 min", 300: "5 min", 1200: "20 min", 3600: "1 h",
    18000: "5 h", 86400: "1 d", 432000: "5 d",
}  # fmt: skip
CAPTION = (
    "Mean test score against the wall-clock time of all fits, of every seed and of the search over hyperparameters, on "
    "a logarithmic axis."
)
BEYOND = " A mean far outside the others is written at the edge beside an arrow."


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model, a panel for each dataset, split and budget."""
    return paged(results, "time", "Time against score", results.groups(), _sheet)


def ticks(low: float, high: float) -> list[float]:
    """Return those of `TICKS` between two times that leave room for each other's labels: a fifth of the axis."""
    apart = (high / low) ** (1 / 5)
    chosen: list[float] = []
    for tick in TICKS:
        if low <= tick <= high and (not chosen or tick >= apart * chosen[-1]):
            chosen.append(tick)
    return chosen


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    columns = page.columns(columns_for(len({condition.budget for condition in page.group})))
    figure, axes = panels(page, columns, 2.1, lambda axis, condition: _panel(axis, condition, results))
    label_below(axes, columns, "wall-clock time of all fits (log)")
    shown = {condition: rows_of(results.cells, condition) for condition in page.items}
    methods = in_order(name for cells in shown.values() for name in cells["method"])
    method_legend(figure, methods)
    alt = (
        "Scatter plots of mean test score against computing time, one marker a method, for "
        + "; ".join(condition.title for condition in page.items)
        + ". The results table has the numbers."
    )
    mixings = {name: ALL_METHODS[name].mixing for name in methods if name in ALL_METHODS}
    mixed = [name for name, mixing in mixings.items() if mixing and mixing.source == FULL_FT]
    caption = CAPTION
    if mixed:
        titles = " and ".join(look(name).title for name in mixed)
        verb = "start" if len(mixed) > 1 else "starts"
        caption += f" {titles} {verb} from full FT's saved weights; the time for these is counted with full FT only."
    caption += BEYOND if any(_reaches_beyond(results, *one) for one in shown.items()) else ""
    return Sheet(figure, caption, alt)


def _reaches_beyond(results: Results, condition: Condition, cells: pd.DataFrame) -> bool:
    """Return whether a mean lies outside its panel."""
    bottom, top = limits(rows_of(results.runs, condition)["test_value"].to_numpy(dtype=float))
    return bool(((cells["mean"] < bottom) | (cells["mean"] > top)).any())


def _panel(axis: Axes, condition: Condition, results: Results) -> None:
    cells = rows_of(results.cells, condition).set_index("method")
    runs = rows_of(results.runs, condition)
    bottom, top = limits(runs["test_value"].to_numpy(dtype=float))  # the axis of the figure with the seeds
    for name in in_order(cells.index):
        seconds = float(cells["wall_seconds"][name])
        mean = float(cells["mean"][name])
        axis.plot(seconds, mean, **mean_marker(name))
        if mean < bottom or mean > top:
            side, edge = ("down", bottom) if mean < bottom else ("up", top)
            edge_note(axis, mean, (seconds, edge), side, look(name).colour)
    spent = cells["wall_seconds"][cells["wall_seconds"] > 0]
    axis.set_xscale("log")
    if len(spent):
        low, high = spent.min() / 1.6, spent.max() * 1.6
        axis.set_xlim(low, high)
        shown = ticks(low, high)
        axis.xaxis.set_major_locator(FixedLocator(shown))
        axis.set_xticks(shown, labels=[TICKS[tick] for tick in shown])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_ylim(bottom, top)
    axis.set_ylabel(axis_title(cells["metric"].iloc[0], cells["better"].iloc[0], "\n"))
    panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)
    axis.grid()
