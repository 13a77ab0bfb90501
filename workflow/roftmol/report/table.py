"""What a table on the page is made of; `page.html.jinja` draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: What a row or a figure can be filtered by: the values of a facet, one or several.
Facets = Mapping[str, str | Sequence[str]]


class Cell(NamedTuple):
    """A table's cell: the text that is shown, the number or text that it sorts by, and the tone that colours it."""

    text: str
    sort: float | str
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """Columns (a "#" before the title makes it numeric), rows, and a caption.

    `facets` say by row what a reader can filter it by: {"dataset": "bbbp", ...}. A facet of several values is a list. A
    row without a facet stays, whatever is chosen of that facet. Without `facets`, all rows always stay.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    facets: Sequence[Facets] = ()


def word(text: object, tone: str = "") -> Cell:
    """Return a cell of text."""
    return Cell(str(text), str(text), tone)


def count(number: float) -> Cell:
    """Return a cell with a whole number, or an empty one for NaN."""
    return number_cell("" if math.isnan(number) else f"{number:,.0f}", number)


def number_cell(text: str, value: float, tone: str = "") -> Cell:
    """Return a cell that shows `text` and sorts by `value`; NaN sorts last."""
    return Cell(text, "" if math.isnan(value) else float(value), tone)


def decimals(scale: float) -> int:
    """Return how many decimals show a score of this size with about three digits after the leading one."""
    if not math.isfinite(scale) or scale == 0:
        return 3
    exponent = math.floor(math.log10(abs(scale)))
    return max(0, 3 - exponent if exponent >= 0 else 2 - exponent)


def fixed(value: float, places: int) -> str:
    """Write a number with a true minus sign, without one if it rounds to zero, or a dash if it is undefined."""
    return "–" if math.isnan(value) else f"{value:z.{places}f}".replace("-", "−")


def spread(mean: float, std: float, places: int) -> str:
    """Write mean ± standard deviation, or the mean alone if there is no spread."""
    return fixed(mean, places) if math.isnan(std) else f"{fixed(mean, places)} ± {fixed(std, places)}"


def signed(value: float, places: int) -> str:
    """Write a difference with its sign, without one if it rounds to zero."""
    return ("+" if round(value, places) > 0 else "") + fixed(value, places)


def share(value: float) -> str:
    """Write a share as a percentage of up to three digits."""
    return "–" if math.isnan(value) else f"{100 * value:.3g}%"


def duration(seconds: float) -> str:
    """Write a time in seconds, minutes or hours."""
    if math.isnan(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
