"""DWiSE-FT's mixing coefficients, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, columns_for, label_below, paged, panels
from roftmol.figures.style import legend_below, look, mean_marker, mixing_axis, panel_title
from roftmol.methods import DWISE_FT
from roftmol.tables.schemas import RUN

CAPTION = (
    "The learned coefficient α of each part of the encoder: 0 keeps the pretrained weights θ₀, 1 takes the fine-tuned "
    "ones θ_ft. Small points are seeds with their selected hyperparameters (means over folds if there are several), "
    "stars are the means over seeds. Parts run from the input to the output."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model that ran DWiSE-FT, a panel for each dataset, split and budget."""
    learned = results.coefficients[results.coefficients["method"] == DWISE_FT]
    learned = learned.merge(results.selected[list(RUN)], on=list(RUN))  # of the selected runs
    groups = results.groups(learned)
    return paged(results, "coefficients", "DWiSE-FT's mixing coefficients", groups, partial(_sheet, learned))


def _sheet(learned: pd.DataFrame, results: Results, page: Page[Condition]) -> Sheet:
    rows = {condition: rows_of(learned, condition) for condition in page.items}
    parts = sorted({part for table in rows.values() for part in table["part"]}, key=part_order)
    columns = page.columns(columns_for(len({condition.budget for condition in page.group})))
    figure, axes = panels(
        page,
        columns,
        0.19 * len(parts) + 0.75,
        lambda axis, condition: _panel(axis, condition, rows[condition], parts, results),
        share_y=True,
    )
    label_below(axes, columns, "mixing coefficient α")
    keys = [
        Line2D([], [], color=look(DWISE_FT).colour, marker="o", markersize=3, linestyle="none", label="one seed"),
        Line2D([], [], label="mean over seeds", **mean_marker(DWISE_FT)),
    ]
    legend_below(figure, keys)
    means = (f"{condition.title}, mean {table['alpha'].mean():.2f}" for condition, table in rows.items())
    return Sheet(figure, CAPTION, "Dot plots of the mixing coefficient of each encoder part: " + "; ".join(means) + ".")


def _panel(axis: Axes, condition: Condition, rows: pd.DataFrame, parts: list[str], results: Results) -> None:
    seeds = rows.pivot_table("alpha", "part", "seed", aggfunc="mean").reindex(parts)
    for end in (0.0, 1.0):
        axis.axvline(end, color="#8B949E", linewidth=0.8, zorder=1)
    shift = np.linspace(-0.25, 0.25, seeds.shape[1]) if seeds.shape[1] > 1 else np.zeros(1)
    for column, seed in enumerate(seeds.columns):
        axis.plot(
            seeds[seed],
            np.arange(len(parts)) + shift[column],
            "o",
            color=look(DWISE_FT).colour,
            markersize=3,
            alpha=0.55,
            markeredgewidth=0,
        )
    axis.plot(seeds.mean(axis=1), range(len(parts)), **mean_marker(DWISE_FT), zorder=3)
    low, high = min(-0.05, seeds.min().min() - 0.05), max(1.05, seeds.max().max() + 0.05)
    axis.set(xlim=(low, high), yticks=range(len(parts)), yticklabels=[_part_title(part) for part in parts])
    mixing_axis(axis)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
    panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)


def part_order(part: str) -> tuple[object, ...]:
    """Return the key that sorts parts from the input to the output: embed, blocks.0, ..., blocks.10, readout."""
    numbers = [int(digits) for digits in re.findall(r"\d+", part)]
    return (part != "encoder", not part.startswith("embed"), part == "readout", numbers[:1], part)


def _part_title(part: str) -> str:
    """Name a part for readers: blocks.0 is the first graph layer."""
    block = re.fullmatch(r"blocks\.(\d+)(.*)", part)
    if block:
        return f"layer {int(block[1]) + 1}{block[2]}"
    return {"embed": "atom embeddings", "encoder": "whole encoder"}.get(part, part)
