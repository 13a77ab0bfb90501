"""Ranks of the methods in every setting, as a heat map."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from roftmol.figures.cells import Results, rows_of
from roftmol.figures.style import Drawing, in_order, look, pages

ROWS_A_PAGE = 36


def drawings(results: Results) -> Iterator[Drawing]:
    """One figure for each protocol and model: settings down, methods across, mean ranks in the last row."""
    for protocol, model, settings in results.groups():
        titled = {s: f"{s.dataset}{results.mark(s)}, {s.conditions}" for s in settings}
        cells = pd.concat([rows_of(results.cells, s).assign(title=title) for s, title in titled.items()])
        methods, order = in_order(cells["method"]), list(titled.values())
        places = cells.pivot(index="title", columns="method", values="place").loc[order, methods]
        seeds = cells.pivot(index="title", columns="method", values="seeds").loc[order, methods]
        incomplete = seeds.lt(seeds.max(axis=1), axis=0)
        # In the mean, tied methods share the ranks that they take up, as in the tests and the table of mean ranks.
        shared = (cells["mean"] * cells["better"]).groupby(cells["title"]).rank(ascending=False)
        mean = shared.groupby(cells["method"]).mean()[methods] if len(places) > 1 else None
        for page, titles in pages(order, ROWS_A_PAGE):
            shown = places.loc[list(titles)]
            figure = Figure(figsize=(7.6, 1.35 + 0.26 * (len(shown) + 1.3)), layout="constrained")
            _heat(figure.subplots(), shown, incomplete.loc[list(titles)], mean)
            yield Drawing(
                kind="ranks",
                subject="Ranks",
                protocol=protocol,
                model=model,
                page=page,
                caption=(
                    "The rank of each method's mean test score within a setting: 1, the darkest, is the best. "
                    + (
                        "The last row is the mean rank over the settings in which the method has a score, where tied "
                        "methods share the ranks that they take up. "
                        if mean is not None
                        else ""
                    )
                    + "An asterisk marks a mean over fewer seeds than others have; a dash, a method without a score. A "
                    "rank says nothing about how large a difference is: neighbours are often within seed spread."
                    + results.mark_lines(s for s, title in titled.items() if title in titles)
                ),
                alt=(
                    f"Heat map of the ranks of {shown.shape[1]} methods in {len(shown)} settings. First in: "
                    + "; ".join(f"{t}, {_first(shown.loc[t])}" for t in titles)
                    + "."
                ),
                figure=figure,
                settings=[s for s, title in titled.items() if title in titles],
            )


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
