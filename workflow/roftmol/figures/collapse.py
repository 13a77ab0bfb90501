"""What a method does to the representation, against its score on the test molecules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from roftmol.evaluation.diagnostics.collapse import MEASURES, points
from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import NARROW, Drawing, Page, Sheet, paged
from roftmol.figures.style import axis_title, in_order, legend_below, look
from roftmol.tasks import METRICS

CONDITIONS_A_PAGE = 4
TITLES = {
    "davies_bouldin_ratio": "Davies-Bouldin, relative",
    "wasserstein": "sliced Wasserstein",
    "cka": "1 − linear CKA",
    "force_drift": "force drift, eV/Å",
}
CAPTION = "Each point is a method: what its fits did to the encoder (across) and its test score (up), means over seeds."
#: What each measure says.
MEANINGS = {
    "davies_bouldin_ratio": "Davies-Bouldin: how badly the atoms' vectors tell ten kinds of atoms apart, relative to "
    "the pretrained encoder (1 is as well as before).",
    "wasserstein": "Sliced Wasserstein: how far the cloud of vectors has moved, in units of its spread.",
    "cka": "1 − linear CKA: what molecules' vectors no longer share with the pretrained ones.",
    "force_drift": "Force drift: mean difference of the forces from the pretrained force field's.",
}
RHO = (
    "ρ is the rank correlation of the measure with the loss of score, over methods. Its 95% bootstrap interval is "
    "given where zero is outside; methods are few, so most correlations may be chance."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model: a row for each dataset, split and budget, a panel for each measure."""
    measured = points(results.changes, results.selected)
    draw = partial(_sheet, measured)
    return paged(results, "collapse", "Collapse and test score", results.groups(measured), draw, CONDITIONS_A_PAGE)


def _sheet(measured: pd.DataFrame, results: Results, page: Page[Condition]) -> Sheet:
    alt = (
        "Scatter plots of test score against measures of representation collapse, a point a method: "
        + "; ".join(_words(results, condition) for condition in page.items)
        + "."
    )
    rows = {condition: rows_of(measured, condition) for condition in page.items}
    drawn = _measures(rows)
    correlated = any(_rho(results, condition, name) for condition in rows for name in drawn)
    caption = " ".join([CAPTION, *(MEANINGS[name] for name in drawn), *([RHO] if correlated else [])])
    return Sheet(_figure(rows, results, page), caption, alt)


def _measures(rows: dict[Condition, pd.DataFrame]) -> list[str]:
    """Return the measures that a page shows, a column each."""
    return [name for name in MEASURES if any((frame["measure"] == name).any() for frame in rows.values())]


def _figure(rows: dict[Condition, pd.DataFrame], results: Results, page: Page[Condition]) -> Figure:
    measures = _measures(rows)
    columns = page.columns(len(measures))
    height = len(rows) * (len(measures) * 1.75 if page.narrow else 1.9)
    size = (NARROW if page.narrow else 7.6, height + 0.7)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.05))
    shape = (len(rows) * len(measures) // columns, columns)
    axes = figure.subplots(*shape, squeeze=False, sharey="none" if page.narrow else "row")
    for row, (condition, frame) in zip(axes.reshape(len(rows), len(measures)), rows.items(), strict=True):
        metric = frame["metric"].iloc[0]
        for number, (axis, measure) in enumerate(zip(row, measures, strict=True)):
            _panel(axis, frame[frame["measure"] == measure], results, condition, measure)
            if page.narrow or number == 0:
                axis.set_ylabel(axis_title(metric, METRICS[metric].sign, "\n"))
            if page.narrow or frame is list(rows.values())[-1]:
                axis.set_xlabel(TITLES[measure])
        # The padding leaves room for the panel's line below it.
        row[0].set_title(results.title(condition), pad=15)
    methods = in_order(pd.concat(rows.values())["method"])
    keys = [
        Line2D([], [], color=look(name).colour, marker=look(name).marker, linestyle="none", label=look(name).title)
        for name in methods
    ]
    legend_below(figure, keys)
    return figure


def _panel(axis: Axes, rows: pd.DataFrame, results: Results, condition: Condition, measure: str) -> None:
    for name, value, score in zip(rows["method"], rows["value"], rows["score"], strict=True):
        one = look(name)
        axis.plot(value, score, color=one.colour, marker=one.marker, markersize=6, linestyle="none")
    axis.margins(0.12)
    axis.xaxis.set_major_locator(MaxNLocator(3))  # more, and four numbers of three decimals run into each other
    axis.grid(axis="both")
    axis.text(0, 1.03, _rho(results, condition, measure), transform=axis.transAxes, fontsize=7.5)


def _rho(results: Results, condition: Condition, measure: str) -> str:
    table = rows_of(results.diagnostics.collapse, condition)
    correlated = table[(table["measure"] == measure) & table["rho"].notna()]
    if correlated.empty:
        return ""
    row = correlated.iloc[0]
    sure = row["low"] * row["high"] > 0
    return (f"ρ {row['rho']:.2f}" + (f" ({row['low']:.2f} to {row['high']:.2f})" if sure else "")).replace("-", "−")


def _words(results: Results, condition: Condition) -> str:
    correlations = [f"{TITLES[name]} {text}" for name in MEASURES if (text := _rho(results, condition, name))]
    return f"{condition.title}, {', '.join(correlations) or 'too few methods for a correlation'}"
