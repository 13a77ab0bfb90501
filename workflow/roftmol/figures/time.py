"""What a score costs: the time of all fits against the mean test score."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, columns_for, label_below, paged, panels
from roftmol.figures.style import axis_title, edge_note, in_order, limits, look, mean_marker, method_legend, panel_title

#: Ticks of a logarithmic time axis, in seconds.
TICKS = {
    0.01: "10 ms", 0.1: "0.1 s", 1: "1 s", 5: "5 s", 20: "20 s", 60: "1 min", 300: "5 min", 1200: "20 min", 3600: "1 h",
    18000: "5 h", 86400: "1 d", 432000: "5 d",
}  # fmt: skip
CAPTION = (
    "Mean test score against the wall-clock time of all fits, of every seed and of the search over hyperparameters, on "
    "a logarithmic axis. WiSE-FT and DWiSE-FT start from full FT's saved weights; the time for these is counted with "
    "full FT only. A mean far outside the others is written at the edge beside an arrow."
)


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
    columns = columns_for(len({condition.budget for condition in page.group}))
    figure, axes = panels(page.items, columns, 2.1, lambda axis, condition: _panel(axis, condition, results))
    label_below(axes, columns, "wall-clock time of all fits (log)")
    method_legend(figure, in_order(m for condition in page.items for m in rows_of(results.cells, condition)["method"]))
    alt = (
        "Scatter plots of mean test score against computing time, one marker a method, for "
        + "; ".join(condition.title for condition in page.items)
        + ". The results table has the numbers."
    )
    return Sheet(figure, CAPTION, alt)


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
