"""Messages about unknown names, with what may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from roftmol.core.errors import UserError


def check_names(key: str, names: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise `UserError` if names of `key` are not allowed; list these, each with what may have been meant."""
    allowed = list(allowed)
    problems = [f"{key}: {name!r} is not known{hint(name, allowed)}" for name in names if name not in allowed]
    if problems:
        raise UserError("\n".join(problems))


def hint(name: Any, allowed: Iterable[str]) -> str:
    """Return the end of a sentence about a wrong name: what may have been meant, and all that is allowed."""
    allowed = list(allowed)
    near = get_close_matches(str(name), allowed, n=1)
    return (f"; did you mean {near[0]!r}?" if near else ".") + f" Allowed: {', '.join(allowed) or 'none'}"
