"""Numbers as people write them, read as Python does where their whole column leaves no doubt.

That is a printed minus sign, one unit in every cell, marks between thousands that nothing else can be, and decimal
commas. Whatever could be another number stays as it is, and is then no number: 1,234 may be 1234 or 1.234.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from roftmol.data.label_texts import UNITS, is_missing, number, unit

_SIGN = r"[<>=~≤≥≈]{0,2}\s*"
_EXPONENT = r"([eE][-+]?\d+)?"
#: Minus signs as printers and word processors set them: the sign itself, two hyphens, the figure and the en dash.
_PRINTED_MINUS = re.compile(rf"(^{_SIGN}|\d[eE])[\u2212\u2010\u2011\u2012\u2013](?=[.,]?\d)")
#: A number as tables have it: with a relation, and marks between its digits.
_NUMBER = rf"{_SIGN}[-+]?(?:\d+(?:(?:[.,]+|['\u2019\s])\d+)*[.,]*|\.\d+){_EXPONENT}"
_LIKE_A_NUMBER = re.compile(rf"{_NUMBER}(\s*(±|\+/-)\s*[\d.,]+)?\s*(%|[a-zA-Zµμ]{{1,3}}(/[a-zA-Z]{{1,3}})?)?")
_MEASURED = re.compile(rf"(?P<number>{_NUMBER})(?P<gap>\s*)(?P<unit>[%°(]\S*|[^\W\d_]\S*)")
_SHORT_UNIT = re.compile(r"[a-zA-Zµμ]{2,3}(/[a-zA-Zµμ]{1,3})?")
_DIGITS = re.compile(_NUMBER)
_COMMA = re.compile(rf"({_SIGN}[-+]?\d+),(\d+{_EXPONENT})")
_POINT = re.compile(r"\d\.|\.\d")
_THOUSANDS = re.compile(r"\D*[1-9]\d{0,2}(,\d{3})+")
#: What parts thousands, and what it is called. A comma or a point may part decimals as well, and a blank two numbers.
_MARKS = {",": "commas", ".": "points", "'": "apostrophes", "\u2019": "apostrophes"} | dict.fromkeys(
    " \u00a0\u2009\u202f", "blanks"
)
_DOUBTFUL = ",. "


class Written(NamedTuple):
    """Labels of a column: as Python writes numbers, how they are written instead, and the unit in all of them."""

    texts: list[str]
    ways: list[tuple[str, int]]  #: in words, each with the position of the first label that is written so
    unit: str = ""


def plain(texts: Sequence[str]) -> Written:
    """Return the labels of a column with the numbers written as Python does, where the column leaves no doubt."""
    if all(number(text) is not None or is_missing(text) for text in set(texts)):
        return Written(list(texts), [])
    ways = []
    dashed = [_PRINTED_MINUS.sub(r"\1-", text) for text in texts]
    if (first := _first_change(texts, dashed)) is not None:
        ways.append(("printed minus signs", first))
    bare, of_all = _without_unit(dashed)
    if (first := _first_change(dashed, bare)) is not None:
        ways.append((f"the unit {of_all!r} in every cell", first))
    joined, mark, first = _without_thousands(bare)
    if mark:
        ways.append((f"{_MARKS[mark]} between thousands", first))
    pointed = _with_points(joined)
    if (first := _first_change(joined, pointed)) is not None:
        ways.append(("decimal commas", first))
    return Written(pointed, ways, of_all)


def _first_change(before: Sequence[str], after: Sequence[str]) -> int | None:
    return next((row for row, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]), None)


def _without_unit(texts: Sequence[str]) -> tuple[list[str], str]:
    """Return labels without their unit, and that, if it is the same in all of them; else as they are, and "".

    A letter right behind a number is none: a well is written so too.
    """
    matches = {}
    written = ""
    for text in texts:
        if text in matches or is_missing(text):
            continue
        match = _MEASURED.fullmatch(text)
        if not match or not _is_unit(match["unit"], apart=bool(match["gap"])):
            return list(texts), ""
        written = written or match["unit"]
        if _letters(match["unit"]) != _letters(written):
            return list(texts), ""
        matches[text] = match["number"]
    return [matches.get(text, text) for text in texts], written


def _letters(written: str) -> str:
    """Return a unit with one sign for micro; capitals stay, for nm is not nM."""
    return re.sub(r"[µμ]", "u", written)


def _is_unit(written: str, apart: bool) -> bool:
    """Return whether a text behind a number, `apart` from it or not, is its unit."""
    if unit(written) in UNITS:
        return apart or len(written) > 1 or not written.isalpha()
    return apart and _SHORT_UNIT.fullmatch(written) is not None


def _without_thousands(texts: Sequence[str]) -> tuple[list[str], str, int]:
    """Return labels without marks between thousands, that mark, and the position of the first; "" and 0 where none is.

    A mark parts thousands if no number that has it can be read otherwise, for it has two of them or a decimal mark
    too, and no other number is so large that it should have one.
    """
    shaped = [text for text in set(texts) if _DIGITS.fullmatch(text)]
    for mark in _MARKS:
        if not any(mark in text for text in shaped):
            continue
        group = rf"{re.escape(mark)}\d{{3}}"
        several = "{2,}" if mark in _DOUBTFUL else "+"
        # By the usage of science, four digits are not parted by a blank.
        most = 4 if mark.isspace() else 3
        for decimal in {",": ".", ".": ","}.get(mark, ".,"):
            tail = rf"{re.escape(decimal)}\d+"
            grouped = re.compile(rf"{_SIGN}[-+]?[1-9]\d{{0,2}}(({group}){several}|({group})+{tail})")
            small = re.compile(rf"{_SIGN}[-+]?\d{{0,{most}}}({tail})?{_EXPONENT}")
            parted = {text for text in shaped if grouped.fullmatch(text)}
            if parted and all(text in parted or small.fullmatch(text) for text in shaped):
                joined = {text: text.replace(mark, "").replace(decimal, ".") for text in shaped}
                return [joined.get(text, text) for text in texts], mark, min(map(texts.index, parted))
    return list(texts), "", 0


def _with_points(texts: Sequence[str]) -> list[str]:
    """Return labels with decimal points in place of decimal commas, if that is how the column is written.

    It is if half of its labels have a comma that parts a number, none has a point, and some comma cannot part
    thousands: 5,3 and 0,530 can only be 5.3 and 0.53, while 5,300 may be 5300.
    """
    if not any("," in text for text in texts):
        return list(texts)
    given = [text for text in texts if not is_missing(text)]
    commas = [text for text in given if _COMMA.fullmatch(text)]
    whole = 2 * len(commas) < len(given) or any(map(_POINT.search, given))
    if whole or all(map(_THOUSANDS.fullmatch, commas)):
        return list(texts)
    return [_COMMA.sub(r"\1.\2", text) if _COMMA.fullmatch(text) else text for text in texts]


def is_like_a_number(text: str) -> bool:
    """Return whether a cell is a number as tables have it: with a relation, a decimal comma, an error, a unit."""
    if _LIKE_A_NUMBER.fullmatch(text):
        return True
    measured = _MEASURED.fullmatch(text)
    return measured is not None and unit(measured["unit"]) in UNITS


def mend(text: str) -> str:
    """Return how a cell that is like a number and none is written as one; "" for any other cell."""
    if number(text) is not None:
        return ""
    if _DIGITS.fullmatch(text):
        return "Write decimal points, and nothing between thousands"
    if is_like_a_number(text):
        return "Write numbers alone, of one unit, or the units into a column of their own"
    return ""
