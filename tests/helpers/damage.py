"""Files that are not as they were written, and what a reader makes of them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from roftmol.core.errors import UserError

Read = TypeVar("Read")


def damaged(whole: bytes, rng: Random, kind: int, at: int | None = None) -> bytes:
    """Flip a bit (0), put some bytes in (1), or take some out (2), at a place or anywhere."""
    content = bytearray(whole)
    at = rng.randrange(len(whole)) if at is None else at
    match kind:
        case 0:
            content[at] ^= 1 << rng.randrange(8)
        case 1:
            content[at:at] = rng.randbytes(rng.randrange(1, 9))
        case _:
            del content[at : at + rng.randrange(1, 9)]
    return bytes(content)


def read_or_refused(read: Callable[[], Read]) -> tuple[Read | None, str]:
    """What is read and "", or None and the sentence of the refusal; any other error is the test's."""
    try:
        return read(), ""
    except UserError as error:
        return None, str(error)
