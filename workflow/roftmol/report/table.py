"""What a table on the page is made of; `page.html.jinja` draws it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: What a row or a figure can be filtered by: the values of a facet, one or several.
Facets = Mapping[str, str | Sequence[str]]


class Cell(NamedTuple):
    """A table's cell: what is read, and the number or text that sorting goes by. `tone` colours it."""

    text: str
    sort: float | str
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """Columns (a "#" before the title makes it numeric), rows, and a caption.

    `facets` say by row what a reader can filter it by, {"dataset": "bbbp", ...}; a facet of several values is a list,
    and a row stays whatever is chosen of a facet that it does not have. Without `facets`, all rows always stay.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    facets: Sequence[Facets] = ()


def word(text: object, tone: str = "") -> Cell:
    """A cell of text."""
    return Cell(str(text), str(text), tone)


def count(number: float) -> Cell:
    """A cell with a whole number; unknown ones are empty."""
    return number_cell("" if math.isnan(number) else f"{number:,.0f}", number)


def number_cell(text: str, value: float, tone: str = "") -> Cell:
    """A cell that shows `text` and sorts by `value`; NaN sorts last."""
    return Cell(text, "" if math.isnan(value) else float(value), tone)


def decimals(scale: float) -> int:
    """How many decimals show a score of this size to about three digits after the leading one."""
    if not math.isfinite(scale) or scale == 0:
        return 3
    exponent = math.floor(math.log10(abs(scale)))
    return max(0, 3 - exponent if exponent >= 0 else 2 - exponent)


def fixed(value: float, places: int) -> str:
    """A number with a true minus sign, none where it is shown as zero, or a dash where it is undefined."""
    return "–" if math.isnan(value) else f"{value:z.{places}f}".replace("-", "−")


def spread(mean: float, std: float, places: int) -> str:
    """Mean ± standard deviation; the mean alone where there is no spread."""
    return fixed(mean, places) if math.isnan(std) else f"{fixed(mean, places)} ± {fixed(std, places)}"


def signed(value: float, places: int) -> str:
    """A difference with its sign; none where it is shown as zero."""
    return ("+" if round(value, places) > 0 else "") + fixed(value, places)


def share(value: float) -> str:
    """A share as a percentage of up to three digits."""
    return "–" if math.isnan(value) else f"{100 * value:.3g}%"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if math.isnan(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"
