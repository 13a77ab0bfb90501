"""A function over a list, by processes that import everything anew: a fork of a process with threads can hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")


def each(function: Callable[[Item], Made], items: Sequence[Item], processes: int) -> Iterator[Made]:
    """Yield what `function` makes of each item, in order, on at most so many processes.

    This process works alone where others would have nothing to do.
    """
    if processes == 1 or len(items) < 2:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(min(processes, len(items)), mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, items)


def by_chunk(
    function: Callable[[Sequence[Item]], Made], items: Sequence[Item], size: int, processes: int
) -> Iterator[Made]:
    """Yield what `function` makes of each chunk of `size` items, in order.

    It is for items that take less time than their way to another process.
    """
    return each(function, [items[start : start + size] for start in range(0, len(items), size)], processes)
