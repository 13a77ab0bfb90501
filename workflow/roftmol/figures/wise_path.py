"""WiSE-FT's path: the metric of (1 - alpha) theta_0 + alpha theta_ft against alpha."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from roftmol.figures.cells import Condition, Results, rows_of
from roftmol.figures.pages import Drawing, Page, Sheet, columns_for, label_below, paged, panels
from roftmol.figures.style import TEST, VALIDATION, Dash, axis_title, legend_below, mixing_axis, panel_title
from roftmol.methods import WISE_FT

#: Partition to its title, colour and dash.
PARTITIONS: dict[str, tuple[str, str, Dash]] = {
    "test": ("test", TEST, "-"),
    "valid": ("validation", VALIDATION, "--"),
}
CAPTION = (
    "The metric of the encoder (1 − α) θ₀ + α θ_ft with the head of θ_ft, against α. α = 0 (open circle) is the "
    "pretrained encoder θ₀, α = 1 (filled circle) the fully fine-tuned one θ_ft. Thick lines are means over seeds, "
    "thin lines seeds. Each triangle below marks the α that a seed selected."
)


def drawings(results: Results) -> Iterator[Drawing]:
    """Draw a figure for each protocol and model that ran WiSE-FT, a panel for each dataset, split and budget."""
    return paged(results, "wise_path", "The WiSE-FT path", results.groups(results.alphas), _sheet)


def _sheet(results: Results, page: Page[Condition]) -> Sheet:
    columns = page.columns(columns_for(len({condition.budget for condition in page.group})))
    figure, axes = panels(page, columns, 2.1, lambda axis, condition: _panel(axis, condition, results))
    label_below(axes, columns, "mixing coefficient α")
    keys = [
        *(
            Line2D([], [], color=colour, linestyle=dash, linewidth=1.6, label=title)
            for title, colour, dash in PARTITIONS.values()
        ),
        Line2D([], [], color="#5E6670", linewidth=0.6, alpha=0.6, label="one seed"),
        Line2D([], [], color="#1F2328", marker="^", markersize=4, linestyle="none", label="α selected by a seed"),
    ]
    legend_below(figure, keys)
    alt = (
        "Line plots of the validation and test metric along the straight path from pretrained to "
        "fine-tuned weights, for " + "; ".join(condition.title for condition in page.items) + "."
    )
    return Sheet(figure, CAPTION, alt)


def _panel(axis: Axes, condition: Condition, results: Results) -> None:
    cells = rows_of(results.cells, condition)
    metric, better = cells["metric"].iloc[0], cells["better"].iloc[0]
    path = rows_of(results.alphas, condition)
    path = path[path["metric"] == metric]
    for partition, (_, colour, dash) in PARTITIONS.items():
        # Rows are runs; fits that share a seed and an alpha share a value, so the mean only collapses them.
        seeds = path[path["partition"] == partition].pivot_table("value", "alpha", "seed", aggfunc="mean")
        if seeds.empty:
            continue
        axis.plot(seeds.index, seeds, color=colour, linestyle=dash, linewidth=0.6, alpha=0.4)
        mean = seeds.mean(axis=1)
        axis.plot(mean.index, mean, color=colour, linestyle=dash, linewidth=1.7)
        for end, face in ((0.0, "white"), (1.0, colour)):
            if end in mean.index:
                axis.plot(
                    end, mean[end], "o", color=colour, markerfacecolor=face, markersize=5, clip_on=False, zorder=4
                )
    for alpha, count in _chosen(rows_of(results.selected, condition)).items():
        for step in range(count):
            axis.plot(
                alpha,
                0.035 + 0.05 * step,
                marker="^",
                color="#1F2328",
                markersize=3,
                transform=axis.get_xaxis_transform(),
            )
    low, high = axis.get_ylim()
    axis.set_ylim(low - 0.12 * (high - low), high)  # room for the triangles
    mixing_axis(axis)
    axis.set_ylabel(axis_title(metric, better, "\n"))
    panel_title(axis, condition.dataset + results.mark(condition), condition.split_and_budget)
    axis.grid(axis="y")


def _chosen(runs: pd.DataFrame) -> Counter[float]:
    """Count the seeds that selected each alpha."""
    settings = runs.loc[(runs["method"] == WISE_FT) & (runs["setting"] != ""), "setting"].map(json.loads)
    alphas = [float(setting["alpha"]) for setting in settings if "alpha" in setting]
    return Counter(alphas)
