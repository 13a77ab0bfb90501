"""What a table on the page is made of; `macros.html.jinja` draws it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

#: What a row or a figure can be filtered by: the values of a facet, one or several.
Facets = Mapping[str, str | Sequence[str]]


#: How a caption begins what it says of all rows; nothing follows that.
SAME = "In all rows:"
#: What ends a string of a style sheet, as the escape that stands for it.
QUOTED = {ord(sign): f"\\{ord(sign):x} " for sign in '\\"\n\r\f<'}


#: Columns whose values say what they are.
PLAIN_NAMES = frozenset({"Model", "Dataset", "Method", "Encoder"})
#: Where a cell must not break: before and after these, a number would be read without what belongs to it.
UNBROKEN = re.compile(r"(?<=±) | (?=[↑↓▲▼†‡])|(?<=\d) (?=(?:s|min|h)\b)")


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


class Lean(NamedTuple):
    """A table without its constant columns, and what these say: title to text, in the order of the columns."""

    table: Table
    same: dict[str, str]


def lean(table: Table) -> Lean:
    """Return a table without columns that say nothing: those that are empty, and those that are equal in all rows.

    What is equal in several rows is said once, in the caption.
    """
    kept, same = [], {}
    for place, title in enumerate(table.columns):
        texts = {row[place].text for row in table.rows}
        if texts == {""} and len(table.columns) > 1:
            continue
        if len(texts) == 1 and len(table.rows) > 1:
            same[title.removeprefix("#")] = texts.pop()
        else:
            kept.append(place)
    if len(kept) == len(table.columns) or not kept:
        return Lean(table, {})
    caption = table.caption
    if same:
        said = "; ".join(f"{title}: {text}" for title, text in same.items())
        caption = f"{caption[:-1]}; {said}." if SAME in caption else f"{caption} {SAME} {said}.".strip()
    columns = [table.columns[place] for place in kept]
    rows = [[row[place] for place in kept] for row in table.rows]
    return Lean(replace(table, caption=caption, columns=columns, rows=rows), same)


def labels(columns: Sequence[str]) -> str:
    """Return the columns' titles as variables of a style sheet, for windows too narrow for a row of titles."""
    titles = [title.removeprefix("#") for title in columns]
    quoted = ["" if title in PLAIN_NAMES else f"{title.translate(QUOTED)} " for title in titles]
    return ";".join(f'--c{number}:"{title}"' for number, title in enumerate(quoted, start=1))


def tight(text: str) -> str:
    """Return a cell's text with spaces that do not break between a number and its spread, unit, direction or mark."""
    return UNBROKEN.sub("\u00a0", text)


def word(text: object, tone: str = "") -> Cell:
    """Return a cell of text."""
    return Cell(str(text), str(text), tone)


def plain(name: str) -> str:
    """Return a name of ours, such as that of a reason or of a key, in plain words."""
    return name.replace("_", " ")


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
