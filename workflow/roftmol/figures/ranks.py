"""Ranks of the methods in every condition, as a heat map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

from roftmol.figures.cells import Condition, Results, budget_title, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, cut, paged, panels
from roftmol.figures.style import in_order, look
from roftmol.registry.splits import split_title

#: Conditions beside each other in a panel, and panels a page.
COLUMNS, PANELS = 6, 6


class Block(NamedTuple):
    """What a panel shows: conditions of a model, and after its last ones the mean rank over all of them."""

    model: str
    conditions: Sequence[Condition]
    mean_over: Sequence[Condition] = ()


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol: methods down, conditions across, a panel for each model with its mean ranks."""
    protocols: dict[str, list[Block]] = {}
    for protocol, model, conditions in results.groups():
        parts = [part for _, part in cut(conditions, COLUMNS)]
        blocks = [Block(model, part) for part in parts[:-1]]
        last = Block(model, parts[-1], conditions if len(conditions) > 1 else ())
        protocols.setdefault(protocol, []).extend([*blocks, last])
    models = {protocol: {block.model for block in blocks} for protocol, blocks in protocols.items()}
    # A figure of several models goes by none of their names.
    groups = [(one, models[one].pop() if len(models[one]) == 1 else "", blocks) for one, blocks in protocols.items()]
    return paged(results, "ranks", "Ranks", groups, _sheet, PANELS, _conditions)


def _conditions(blocks: Sequence[Block]) -> list[Condition]:
    return [condition for block in blocks for condition in block.conditions]


def _sheet(results: Results, page: Page[Block]) -> Sheet:
    cells = {one: rows_of(results.cells, one).set_index("method") for one in _conditions(page.group)}
    methods = in_order(name for rows in cells.values() for name in rows.index)
    shown = _conditions(page.items)
    titles = _titles(results, _conditions(page.group))
    ranks = pd.DataFrame({one: cells[one]["place"].reindex(methods) for one in shown})
    seeds = pd.DataFrame({one: cells[one]["seeds"].reindex(methods) for one in shown})
    incomplete = seeds.lt(seeds.max()) & ranks.notna()
    means = {block.model: _mean(cells, block.mean_over, methods) for block in page.items if block.mean_over}

    def panel(axis: Axes, block: Block) -> None:
        columns = [*block.conditions]
        mean = means[block.model] if block.mean_over else None
        _heat(axis, ranks[columns], incomplete[columns], mean, [titles[one] for one in columns])
        axis.set_xlabel(block.model)

    longest = max(map(len, titles.values()))
    # Titles stand at an angle above their columns.
    figure, _ = panels(page, page.columns(2), 0.2 * len(methods) + 0.35 + 0.055 * longest, panel, share_y=True)
    last_column = (
        "The column “mean” is the mean rank over a model's conditions in which the method has a score; there, tied "
        "methods share the ranks that they take up. "
    )
    same = _same(_conditions(page.group))
    caption = (
        "The rank of each method's mean test score within a condition: 1, the darkest, is the best. "
        + (f"All conditions: {same}. " if same else "")
        + (last_column if means else "")
        + ("An asterisk marks a mean over fewer seeds than others have. " if incomplete.any(axis=None) else "")
        + ("A dash marks a method without a score. " if ranks.isna().any(axis=None) else "")
        + "A rank says nothing about how large a difference is: neighbours often differ by less than the spread of the "
        "seeds."
    )
    several = len({one.model for one in shown}) > 1
    first = (f"{one.title}{f' ({one.model})' if several else ''}, {_first(ranks[one])}" for one in shown)
    alt = f"Heat map of the ranks of {len(methods)} methods in {len(shown)} conditions. First in: {'; '.join(first)}."
    return Sheet(figure, caption, alt)


def _mean(cells: dict[Condition, pd.DataFrame], over: Sequence[Condition], methods: list[str]) -> pd.Series:
    """Return the mean rank of each method, in which tied methods share the ranks that they take up, as in the tests."""
    shared = [(cells[one]["mean"] * cells[one]["better"]).rank(ascending=False).reindex(methods) for one in over]
    return pd.concat(shared, axis=1).mean(axis=1)


def _varying(conditions: Sequence[Condition]) -> tuple[bool, bool]:
    """Return whether split and budget differ between the conditions."""
    return len({one.split for one in conditions}) > 1, len({one.budget for one in conditions}) > 1


def _titles(results: Results, conditions: Sequence[Condition]) -> dict[Condition, str]:
    """Name the conditions by dataset, and by split and budget where these differ."""
    splits, budgets = _varying(conditions)
    return {
        one: ", ".join(
            [
                one.dataset + results.mark(one),
                *([split_title(one.split).removesuffix(" split")] if splits else []),
                *([one.budget] if budgets else []),
            ]
        )
        for one in conditions
    }


def _same(conditions: Sequence[Condition]) -> str:
    """Name the split and the budget that all conditions have."""
    splits, budgets = _varying(conditions)
    first = conditions[0]
    return ", ".join(
        [*([] if splits else [split_title(first.split)]), *([] if budgets else [budget_title(first.budget)])]
    )


def _first(ranks: pd.Series) -> str:
    return " and ".join(look(str(name)).title for name in ranks.index[ranks == 1]) or "no score"


def _heat(
    axis: Axes, ranks: pd.DataFrame, incomplete: pd.DataFrame, mean: pd.Series | None, titles: Sequence[str]
) -> None:
    values = ranks.to_numpy(dtype=float)
    count = ranks.shape[1]
    if mean is not None:
        values = np.column_stack([values, mean.to_numpy(dtype=float)])
        titles = [*titles, "mean"]
    # Dark blue for the best to near white: one hue, ordered by lightness, so it prints in grey.
    shades = ListedColormap(matplotlib.colormaps["Blues_r"](np.linspace(0.12, 0.98, 256)))
    colours = shades.with_extremes(bad="#F4F4F4")
    most = max(len(ranks), 2)
    axis.pcolormesh(np.ma.masked_invalid(values), cmap=colours, vmin=1, vmax=most, edgecolors="white", linewidth=1.5)
    for (row, column), value in np.ndenumerate(values):
        last = column == count
        text = "–" if np.isnan(value) else f"{value:.1f}" if last else f"{value:.0f}"
        axis.text(
            column + 0.5,
            row + 0.5,
            text + ("*" if not last and incomplete.iat[row, column] else ""),
            ha="center",
            va="center",
            fontsize=7.5,
            color="white" if (value - 1) / (most - 1) < 0.45 else "#1F2328",
            fontweight="bold" if value == 1 or last else "normal",
        )
    if mean is not None:
        axis.axvline(count, color="#1F2328", linewidth=0.8)
    axis.set_xticks(np.arange(len(titles)) + 0.5, labels=titles, rotation=40, ha="left", rotation_mode="anchor")
    axis.set_yticks(np.arange(len(ranks)) + 0.5, labels=[look(str(name)).title for name in ranks.index])
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
