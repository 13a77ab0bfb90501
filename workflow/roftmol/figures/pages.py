"""The pages of a figure: what is drawn on each, and its picture and words.

A figure's file says in groups what it shows (conditions, or families of the statistics), how many of them a page holds,
and how a page is drawn. All that figures have in common is here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from roftmol.figures.cells import Condition, Results, facets_of

#: What a page shows several of.
Item = TypeVar("Item")

PANELS_A_PAGE = 12
#: Inches of a figure for a window as narrow as a hand: at 420 pixels, text of 7 points is 9 pixels high.
NARROW = 3.9


@dataclass(frozen=True)
class Page(Generic[Item]):
    """What one page shows."""

    protocol: str
    model: str
    items: Sequence[Item]
    group: Sequence[Item]  #: the items of all pages of this protocol and model
    narrow: bool = False  #: whether it is drawn for a narrow window, one panel below the other

    def columns(self, wide: int) -> int:
        """Return how many panels stand side by side, if a wide window has room for so many."""
        return 1 if self.narrow else wide


class Sheet(NamedTuple):
    """A page drawn, with its words; `paged` adds what the marks in it say of pretraining."""

    figure: Figure
    caption: str
    alt: str


@dataclass(frozen=True)
class Drawing:
    """A figure with its words; `page` is "" if there is only one, `model` if it shows all of them.

    The report filters figures by the `conditions` that they show. `narrow` draws the same for a narrow window.
    """

    kind: str
    subject: str
    protocol: str
    model: str
    page: str
    caption: str
    alt: str
    figure: Figure
    narrow: Callable[[], Figure]
    conditions: Sequence[Condition] = ()

    @property
    def facets(self) -> dict[str, list[str]]:
        """The protocols, models, datasets, splits and budgets shown, as far as they are known."""
        if self.conditions:
            return facets_of(self.conditions)
        of_all_pages = {"protocol": self.protocol, "model": self.model}
        return {name: [value] for name, value in of_all_pages.items() if value}

    @property
    def title(self) -> str:
        """The title for readers."""
        where = ", ".join(filter(None, [self.model, f"{self.protocol} protocol"]))
        return f"{self.subject}: {where}" + (f" ({self.page})" if self.page else "")

    @property
    def name(self) -> str:
        """The file's name without suffix: deterministic, and of characters that every file system allows."""
        parts = [self.kind, self.protocol, self.model, self.page.replace(" ", "")]
        return "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", part) for part in parts if part)


def paged(
    results: Results,
    kind: str,
    subject: str,
    groups: Iterable[tuple[str, str, Sequence[Item]]],
    draw: Callable[[Results, Page[Item]], Sheet],
    size: int = PANELS_A_PAGE,
    conditions: Callable[[Any], list[Condition]] = list,
    part: str = "",
) -> Iterator[Drawing]:
    """Draw the `groups`, each a protocol, a model and items, on pages of at most `size` items.

    `conditions` returns the conditions of some items. `part` tells pages apart that would otherwise have the same name.
    """
    for protocol, model, group in groups:
        for number, items in cut(group, size):
            page = Page(protocol, model, items, group)
            sheet = draw(results, page)
            shown = conditions(items)
            yield Drawing(
                kind=kind,
                subject=subject,
                protocol=protocol,
                model=model,
                page=f"{part} {number}".strip(),
                caption=sheet.caption + results.mark_lines(shown),
                alt=sheet.alt,
                figure=sheet.figure,
                narrow=partial(_narrow, draw, results, page),
                conditions=shown,
            )


def _narrow(draw: Callable[[Results, Page[Item]], Sheet], results: Results, page: Page[Item]) -> Figure:
    return draw(results, replace(page, narrow=True)).figure


def cut(items: Sequence[Item], size: int) -> Iterator[tuple[str, Sequence[Item]]]:
    """Cut `items` into pages; the first value is the page's suffix, "" if there is only one."""
    count = math.ceil(len(items) / size)
    for page in range(count):
        yield (f"{page + 1} of {count}" if count > 1 else ""), items[page * size : (page + 1) * size]


def panels(
    page: Page[Item], columns: int, height: float, draw: Callable[[Axes, Item], None], share_y: bool = False
) -> tuple[Figure, list[Axes]]:
    """Draw each item of a page in its own panel; a vertical axis that all share runs downwards, as rows are read."""
    figure, axes = grid(page, len(page.items), columns, height, share_y)
    for axis, item in zip(axes, page.items, strict=True):
        draw(axis, item)
    if share_y:
        axes[0].invert_yaxis()  # once: the axis is shared
    return figure, axes


def grid(page: Page[Any], count: int, columns: int, height: float, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` axes in rows of `columns`, each `height` inches tall."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    width = NARROW if page.narrow else {1: 4.6, 2: 6.4}.get(columns, 7.6)
    engine = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06)
    figure = Figure(figsize=(width, rows * height + 0.55), layout=engine)
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def columns_for(budgets: int) -> int:
    """Return how many panels to draw side by side: a column a budget if they fit."""
    return budgets if budgets in (2, 3, 4) else 3


def label_below(axes: Sequence[Axes], columns: int, label: str) -> None:
    """Name the horizontal axis that all panels share, once a column."""
    for axis in axes[-columns:]:
        axis.set_xlabel(label)
