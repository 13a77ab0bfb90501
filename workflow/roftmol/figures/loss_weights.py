"""How a panel's losses are weighted while it trains, dataset by dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from roftmol.figures.cells import Condition, Results, budget_title
from roftmol.figures.pages import Drawing, Page, Sheet, paged, panels
from roftmol.figures.style import legend_below, look, panel_title
from roftmol.registry.splits import split_title

#: Colours that stay apart for colour-blind readers (Okabe and Ito 2008), black left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B6D00")
DASHES = ("-", "--", ":")
CAPTION = (
    "The weight of each dataset's loss in the loss of a panel, epoch by epoch: the mean over seeds that still trained. "
    "Weights that stay as they start are not drawn."
)


class Weighted(NamedTuple):
    """One panel's fits with one way of weighting, and the rows of table "loss_weights" of its datasets."""

    title: str
    which: str  #: descriptors where heads read some, split and budget
    rows: pd.DataFrame


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model with weights that move, a panel for each panel and weighting."""
    return paged(
        results, "loss_weights", "Weights of a panel's losses", _groups(results), _sheet, conditions=_conditions
    )


def _groups(results: Results) -> Iterator[tuple[str, str, list[Weighted]]]:
    for names, group in results.loss_weights.groupby(["protocol", "model"], sort=False):
        protocol, model = map(str, names)
        keys = ["panel", "split", "budget", "method", "setting"]
        items = [
            Weighted(_title(*map(str, key)), _which(*map(str, key)), rows)
            for key, rows in group.groupby(keys, sort=False)
            if _moves(rows)
        ]
        if items:
            yield protocol, model, items


def _moves(rows: pd.DataFrame) -> bool:
    """Return whether any dataset's weight changes from epoch to epoch, by more than the batches make it."""
    mean = rows.groupby(["dataset", "epoch"])["weight"].mean().groupby("dataset")
    return bool((mean.max() > 1.05 * mean.min()).any())


def _title(panel: str, _split: str, _budget: str, method: str, setting: str) -> str:
    weighting = json.loads(setting).get("weighting", "")
    return f"{panel}: {look(method).title}" + (f", {weighting.replace('_', ' ')}" if weighting else "")


def _which(_panel: str, split: str, budget: str, _method: str, setting: str) -> str:
    described = json.loads(setting).get("descriptors", "")
    return ", ".join(filter(None, [described, split_title(split), budget_title(budget)]))


def _sheet(_results: Results, page: Page[Weighted]) -> Sheet:
    datasets = sorted({name for item in page.items for name in item.rows["dataset"]}, key=str.casefold)
    styles: dict[str, dict[str, Any]] = {
        name: {"color": COLOURS[n % len(COLOURS)], "linestyle": DASHES[n // len(COLOURS) % len(DASHES)]}
        for n, name in enumerate(datasets)
    }
    columns = page.columns(min(2, len(page.items)))  # a third would cut titles off
    figure, _ = panels(page, columns, 2.3, lambda axis, item: _panel(axis, item, styles))
    keys = [Line2D([], [], linewidth=1.4, label=name, **style) for name, style in styles.items()]
    legend_below(figure, keys)
    phrases = []
    for item in page.items:
        mean = _mean(item.rows)
        first, last = mean.iloc[0], mean.ffill().iloc[-1]
        phrases.append(
            f"{item.title}, {item.which}: "
            + ", ".join(f"{name} {first[name]:.2g} to {last[name]:.2g}" for name in mean.columns)
        )
    return Sheet(figure, CAPTION, "Line plots of loss weights over epochs. " + "; ".join(phrases) + ".")


def _panel(axis: Axes, item: Weighted, styles: dict[str, dict[str, Any]]) -> None:
    for name, weights in _mean(item.rows).items():
        axis.plot(weights.index, weights, linewidth=1.4, **styles[str(name)])
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("epoch")
    axis.set_ylabel("weight")
    axis.grid(axis="y")
    panel_title(axis, item.title, item.which)


def _mean(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the mean weight over seeds and folds, epochs x datasets."""
    return rows.pivot_table("weight", "epoch", "dataset", aggfunc="mean")


def _conditions(items: list[Weighted]) -> list[Condition]:
    columns = list(Condition._fields)
    rows = pd.concat([item.rows[columns] for item in items]).drop_duplicates()
    return [Condition(*row) for row in rows.itertuples(index=False)]
