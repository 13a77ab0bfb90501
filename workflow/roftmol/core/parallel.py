"""A function over a list, by processes that import everything anew: a fork of a process with threads can hang."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from roftmol.core.errors import UserError

Item = TypeVar("Item")
Made = TypeVar("Made")


def each(function: Callable[[Item], Made], items: Sequence[Item], processes: int) -> Iterator[Made]:
    """Yield what `function` makes of each item, in order, on at most so many processes.

    This process works alone where others would have nothing to do.
    """
    if processes == 1 or len(items) < 2:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(min(processes, len(items)), get_context("spawn"), initializer=leave_to_parent) as pool:
        yield from pool.map(function, items)


def by_chunk(
    function: Callable[[Sequence[Item]], Made], items: Sequence[Item], size: int, processes: int
) -> Iterator[Made]:
    """Yield what `function` makes of each chunk of `size` items, in order.

    It is for items that take less time than their way to another process.
    """
    return each(function, [items[start : start + size] for start in range(0, len(items), size)], processes)


def leave_to_parent() -> None:
    """Let a worker process leave Ctrl-C to the process that started it, which says one line in place of a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def threads(otherwise: int) -> int:
    """Return the number of threads that OMP_NUM_THREADS asks for; its first, where it has one for each level.

    Raises `UserError` if it is no number above 0.
    """
    said = os.environ.get("OMP_NUM_THREADS", "").strip()
    if not said:
        return otherwise
    first = said.split(",")[0].strip()
    if not first.isascii() or not first.isdecimal() or not 0 < int(first) < 1 << 16:
        raise UserError(f"OMP_NUM_THREADS is {said!r}, which is no number of threads. Set it to 1, or unset it.")
    return int(first)
