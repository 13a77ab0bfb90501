"""DWiSE-FT's mixing coefficients, block by block."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from roftmol.figures.cells import Results, Setting, rows_of, settings_of
from roftmol.figures.style import (
    PANELS_A_PAGE,
    Drawing,
    columns_for,
    grid,
    label_below,
    look,
    mean_marker,
    mixing_axis,
    pages,
    panel_title,
)
from roftmol.methods import DWISE_FT
from roftmol.tables.schemas import RUN


def drawings(results: Results) -> Iterator[Drawing]:
    """One figure for each protocol and model that ran DWiSE-FT, a panel for each dataset, split and budget."""
    learned = results.coefficients.merge(results.selected[list(RUN)], on=list(RUN))  # of the selected settings
    mixed = set(settings_of(learned))
    for protocol, model, settings in results.groups():
        shown_of = [setting for setting in settings if setting in mixed]
        columns = columns_for(len({setting.budget for setting in shown_of}))
        for page, shown in pages(shown_of, PANELS_A_PAGE):
            panels = [rows_of(learned, setting) for setting in shown]
            parts = sorted({part for panel in panels for part in panel["part"]}, key=part_order)
            figure, axes = grid(len(shown), columns, 0.19 * len(parts) + 0.75, share_y=True)
            for axis, setting, panel in zip(axes, shown, panels, strict=True):
                _panel(axis, setting, panel, parts, results)
            axes[0].invert_yaxis()  # once: the axis is shared
            label_below(axes, columns, "mixing coefficient α")
            keys = [
                Line2D(
                    [], [], color=look(DWISE_FT).colour, marker="o", markersize=3, linestyle="none", label="one seed"
                ),
                Line2D([], [], label="mean over seeds", **mean_marker(DWISE_FT)),
            ]
            figure.legend(handles=keys, loc="outside lower center", ncols=2)
            yield Drawing(
                kind="coefficients",
                subject="DWiSE-FT's mixing coefficients",
                protocol=protocol,
                model=model,
                page=page,
                caption=(
                    "The learned coefficient α of each part of the encoder: 0 keeps the pretrained weights θ₀, 1 takes "
                    "the fine-tuned ones θ_ft. Small points are seeds with their selected setting (means over folds "
                    "where there are several), stars the means over seeds. Parts run from the input to the output."
                    + results.mark_lines(shown)
                ),
                alt=(
                    "Dot plots of the mixing coefficient of each encoder part: "
                    + "; ".join(
                        f"{setting.title}, mean {panel['alpha'].mean():.2f}"
                        for setting, panel in zip(shown, panels, strict=True)
                    )
                    + "."
                ),
                figure=figure,
                settings=shown,
            )


def _panel(axis: Axes, setting: Setting, rows: pd.DataFrame, parts: list[str], results: Results) -> None:
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
    panel_title(axis, setting.dataset + results.mark(setting), setting.conditions)


def part_order(part: str) -> tuple[object, ...]:
    """From the input to the output, numbers by value: embed, blocks.0, ..., blocks.10, readout."""
    numbers = [int(digits) for digits in re.findall(r"\d+", part)]
    return (part != "encoder", not part.startswith("embed"), part == "readout", numbers[:1], part)


def _part_title(part: str) -> str:
    """A part in a reader's words: blocks.0 is the first graph layer."""
    block = re.fullmatch(r"blocks\.(\d+)(.*)", part)
    if block:
        return f"layer {int(block[1]) + 1}{block[2]}"
    return {"embed": "atom embeddings", "encoder": "whole encoder"}.get(part, part)
