"""One look for a method everywhere: colour says the mechanism, marker says the method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from roftmol.methods import ALL_METHODS
from roftmol.tasks import METRICS, metric_title


@dataclass(frozen=True)
class Look:
    """How a method is named, explained and drawn: a part of its record."""

    title: str
    mechanism: str
    summary: str
    colour: str
    marker: str
    paper: str = ""


#: The dashes in use.
Dash = Literal["-", "--", ":"]
#: The colours of what is measured on validation and on test molecules.
VALIDATION, TEST = "#0072B2", "#D55E00"
INK, FAINT = "#1F2328", "#D5D9DE"

#: Names come from users, so no text is read as mathematics; glyphs are drawn, so pictures look the same everywhere.
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.edgecolor": "#8B949E",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "text.parse_math": False,
    "axes.labelcolor": INK,
    "xtick.color": "#8B949E",
    "ytick.color": "#8B949E",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#E6E9EC",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "roftmol",
}


def look(method: str) -> Look:
    """Return the look that a method's record gives it; one without a record is grey and goes by its own name."""
    if method not in ALL_METHODS:
        return Look(method, "other", "A method that this version of the code does not have.", "#5E6670", "h")
    record = ALL_METHODS[method]
    return Look(record.title, record.mechanism, record.summary, record.colour, record.marker, record.paper)


def in_order(methods: Iterable[str]) -> list[str]:
    """Return distinct methods in the order of `roftmol.methods.ALL_METHODS`, those without a record last by name."""
    place = {name: number for number, name in enumerate(ALL_METHODS)}
    return sorted(set(methods), key=lambda name: (place.get(name, len(place)), name))


def axis_title(metric: str, better: int, between: str = " ") -> str:
    """Name a metric for an axis, with its unit and, after `between`, its direction."""
    unit = ", label units" if metric in METRICS and METRICS[metric].in_label_units else ""
    return f"{metric_title(metric)}{unit}{between}({'higher' if better > 0 else 'lower'} is better)"


def panel_title(axis: Axes, name: str, rest: str) -> None:
    """Title a panel with a dataset's name in bold and the rest of its condition below."""
    axis.set_title(name, pad=15)
    axis.annotate(rest, (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", fontsize=7.5)


#: The ends of the line that mixes weights.
ENDS = {0.0: "0\npretrained", 1.0: "1\nfull FT"}


def mixing_axis(axis: Axes, ticks: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)) -> None:
    """Tick a mixing coefficient's axis and name its ends."""
    axis.set_xticks(ticks, labels=[ENDS.get(tick, f"{tick:g}") for tick in ticks])


def edge_note(axis: Axes, value: float, at: tuple[float, float], beyond: str, colour: str) -> None:
    """Write a value at the edge of its panel that it lies beyond: "left", "right", "down" or "up"."""
    sign = {"left": "◂ {}", "right": "{} ▸", "down": "▾ {}", "up": "▴ {}"}[beyond]
    axis.annotate(
        sign.format(f"{value:.3g}"),
        at,
        {"left": (3, 0), "right": (-3, 0), "down": (0, 3), "up": (0, -3)}[beyond],
        textcoords="offset points",
        ha={"left": "left", "right": "right"}.get(beyond, "center"),
        va={"down": "bottom", "up": "top"}.get(beyond, "center"),
        fontsize=7,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        zorder=4,
        in_layout=False,
    )


def mean_marker(name: str) -> dict[str, Any]:
    """Return the line properties of a method's mean."""
    face = look(name)
    size = 9.5 if face.marker == "*" else 6.2
    return {
        "color": face.colour,
        "marker": face.marker,
        "markersize": size,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
        "linestyle": "none",
    }


def method_legend(figure: Figure, methods: Sequence[str], lines: bool = False, extra: Sequence[Artist] = ()) -> None:
    """Name the methods once, below all panels."""
    style = "-" if lines else "none"
    keys = [Line2D([], [], label=look(name).title, **{**mean_marker(name), "linestyle": style}) for name in methods]
    legend_below(figure, [*keys, *extra])


def legend_below(figure: Figure, handles: Sequence[Artist], rows: int = 3) -> None:
    """Put a legend below all panels; the figure has room for so many of its `rows` and grows by what more need."""
    columns = _legend_columns(figure, [str(handle.get_label()) for handle in handles])
    figure.set_figheight(figure.get_figheight() + 0.15 * max(0, math.ceil(len(handles) / columns) - rows))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handletextpad=0.4, columnspacing=1.4)


def _legend_columns(figure: Figure, titles: Sequence[str]) -> int:
    """Return how many columns of a legend fit below a figure; each is as wide as its longest title and a marker."""
    # A letter of the legend's size is about 0.065 inches wide.
    widths = [0.5 + 0.065 * len(title) for title in titles]
    for columns in range(len(widths), 1, -1):
        if sum(max(part) for part in np.array_split(widths, columns)) <= figure.get_figwidth():
            return columns
    return 1


def limits(values: np.ndarray) -> tuple[float, float]:
    """Return the limits of an axis for the bulk of the values; those six interquartile ranges away are left off."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, [25, 75])
    reach = 6 * (high - low) or math.inf
    inside = values[(values >= low - reach) & (values <= high + reach)]
    margin = 0.07 * (inside.max() - inside.min()) or 0.05 * abs(inside.max()) or 0.5
    return float(inside.min() - margin), float(inside.max() + margin)
