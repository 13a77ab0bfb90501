"""The one error that a user is meant to read, and texts of others that can be printed."""

from __future__ import annotations

import unicodedata


class UserError(Exception):
    """Bad input, named so that it can be mended: the file, the row, the value, and what to do.

    The command line prints it as one line without a traceback and exits with status 2.
    """


def printable(text: str, keep: str = "") -> str:
    """Return a text with its control characters and escapes written out, but for those in `keep`.

    A terminal obeys them: a text of somebody else's could hide lines, or write over them.
    """
    if text.isprintable():
        return text
    return "".join(one if one in keep or not _commands(one) else repr(one)[1:-1] for one in text)


def _commands(one: str) -> bool:
    """Whether a terminal, or what encodes the text, would take a character for something else than a sign."""
    return unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")
