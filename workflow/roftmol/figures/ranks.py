"""Ranks of the methods in every condition, as a heat map."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, paged
from roftmol.figures.style import in_order, look

ROWS_A_PAGE = 36


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model: conditions down, methods across, mean ranks in the last row."""
    return paged(results, "ranks", "Ranks", results.groups(), _sheet, ROWS_A_PAGE)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    titles = {condition: results.title(condition) for condition in page.group}
    cells = pd.concat([rows_of(results.cells, condition).assign(title=title) for condition, title in titles.items()])
    methods = in_order(cells["method"])
    rows = [titles[condition] for condition in page.items]
    ranks = cells.pivot(index="title", columns="method", values="place").loc[rows, methods]
    seeds = cells.pivot(index="title", columns="method", values="seeds").loc[rows, methods]
    incomplete = seeds.lt(seeds.max(axis=1), axis=0)
    # In the mean, tied methods share the ranks that they take up, as in the tests and the table of mean ranks.
    shared = (cells["mean"] * cells["better"]).groupby(cells["title"]).rank(ascending=False)
    mean = shared.groupby(cells["method"]).mean()[methods] if len(page.group) > 1 else None
    figure = Figure(figsize=(7.6, 1.35 + 0.26 * (len(ranks) + 1.3)), layout="constrained")
    _heat(figure.subplots(), ranks, incomplete, mean)
    last_row = (
        "The last row is the mean rank over the conditions in which the method has a score; there, tied methods share "
        "the ranks that they take up. "
    )
    caption = (
        "The rank of each method's mean test score within a condition: 1, the darkest, is the best. "
        + (last_row if mean is not None else "")
        + (
            "An asterisk marks a mean over fewer seeds than others have. "
            if (incomplete & ranks.notna()).any(axis=None)
            else ""
        )
        + ("A dash marks a method without a score. " if ranks.isna().any(axis=None) else "")
        + "A rank says nothing about how large a difference is: neighbours often differ by less than the spread of the "
        "seeds."
    )
    alt = (
        f"Heat map of the ranks of {len(methods)} methods in {len(ranks)} conditions. First in: "
        + "; ".join(f"{title}, {_first(row)}" for title, row in ranks.iterrows())
        + "."
    )
    return Sheet(figure, caption, alt)


def _first(ranks: pd.Series) -> str:
    return " and ".join(look(str(name)).title for name in ranks.index[ranks == 1]) or "no score"


def _heat(axis: Axes, ranks: pd.DataFrame, incomplete: pd.DataFrame, mean: pd.Series | None) -> None:
    values = ranks.to_numpy(dtype=float)
    titles = list(ranks.index)
    if mean is not None:
        values = np.vstack([values, mean.to_numpy(dtype=float)])
        titles.append("mean rank")
    # Dark blue for the best to near white: one hue, ordered by lightness, so it prints in grey.
    shades = ListedColormap(matplotlib.colormaps["Blues_r"](np.linspace(0.12, 0.98, 256)))
    colours = shades.with_extremes(bad="#F4F4F4")
    image = np.ma.masked_invalid(values)
    axis.pcolormesh(image, cmap=colours, vmin=1, vmax=max(ranks.shape[1], 2), edgecolors="white", linewidth=1.5)
    for (row, column), value in np.ndenumerate(values):
        shade = (value - 1) / max(ranks.shape[1] - 1, 1)
        last = row == len(ranks)
        text = "–" if np.isnan(value) else f"{value:.1f}" if last else f"{value:.0f}"
        text += "*" if not last and incomplete.iat[row, column] and not np.isnan(value) else ""
        axis.text(
            column + 0.5,
            row + 0.5,
            text,
            ha="center",
            va="center",
            color="white" if shade < 0.45 else "#1F2328",
            fontweight="bold" if value == 1 or last else "normal",
        )
    if mean is not None:
        axis.axhline(len(ranks), color="#1F2328", linewidth=0.8)
    axis.set_xticks(
        np.arange(ranks.shape[1]) + 0.5,
        labels=[look(str(name)).title for name in ranks.columns],
        rotation=35,
        ha="left",
        rotation_mode="anchor",
    )
    axis.set_yticks(np.arange(len(titles)) + 0.5, labels=titles)
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.invert_yaxis()
