"""What stands in a label's cell, and beside it: numbers, limits of measurement, relations, units.

A label `>10000` is censored: all that is known is on which side of 10000 the value lies. Tables of assays also write
the sign into a column of its own, and the unit into another; a model that reads the number alone learns what nobody
has measured.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: The signs of a relation; those of `EQUAL` say that the number is the value.
EQUAL = frozenset({"=", "==", "~", "≈"})
BEYOND = frozenset({">", ">=", ">>", "≥", "<", "<=", "<<", "≤"})
#: Units of concentrations, doses, affinities, rates and shares, in lower case, with u for micro and no blanks.
UNITS = frozenset(
    {f"{size}{unit}" for size in ("", "f", "p", "n", "u", "m") for unit in ("m", "mol/l", "mol.l-1", "mol", "molar")}
    | {f"{size}g/{of}" for size in ("", "p", "n", "u", "m", "k") for of in ("l", "ml", "dl", "kg", "g", "m3", "m^3")}
    | {f"{size}g{of}" for size in ("p", "n", "u", "m") for of in (".ml-1", "ml-1", ".l-1", ".kg-1")}
    | {"log(m)", "-log(m)", "log10(m)", "-log10(m)", "log(mol/l)", "log(mg/l)", "kcal/mol", "kj/mol", "ev", "hartree"}
    | {"%", "percent", "fraction", "ratio", "ppm", "ppb", "ul/min/mg", "ml/min/kg", "ml/min/g", "ul/min/10^6cells"}
    | {"s", "min", "h", "hr", "hours", "days", "c", "°c", "k", "°f"}
)
_LIMIT = re.compile(r"(>=|>>|>|≥|<=|<<|<|≤)\s*(\S.*)")


class Limit(NamedTuple):
    """A censored label as it is written: its sign, and the text of the number."""

    sign: str
    number: str


def limit(text: str) -> Limit | None:
    """Return the sign and number of a label such as `>10000` or `<= 0.5`; None for one without a sign."""
    match = _LIMIT.fullmatch(text)
    return Limit(*match.groups()) if match else None


def relation(cell: str) -> str:
    """Return a relation without quotes, as databases write it ('=')."""
    return cell.strip("'\" ")


def is_relation(cell: str) -> bool:
    """Return whether a cell holds the sign of a relation."""
    return relation(cell) in EQUAL | BEYOND


def holds_relations(cells: Sequence[str]) -> bool:
    """Return whether a column holds nothing but relations, some beside `=`; empty cells count as nothing."""
    signs = {relation(cell) for cell in cells} - {""}
    return signs <= EQUAL | BEYOND and bool(signs & BEYOND)


def holds_units(cells: Sequence[str]) -> bool:
    """Return whether a column holds nothing but units, of more than one kind; empty cells count as nothing."""
    units = {unit(cell) for cell in cells} - {""}
    return len(units) > 1 and units <= UNITS


def unit(cell: str) -> str:
    """Return a unit in the one way that `UNITS` has it."""
    return re.sub(r"[µμ]", "u", cell.casefold().replace(" ", ""))


def factor(cell: str, units: Mapping[str, float]) -> float | None:
    """Return what a label in this unit is multiplied by; None for a unit that is not named."""
    return {unit(name): value for name, value in units.items()}.get(unit(cell))


def counted(texts: Sequence[str]) -> str:
    """Write how often each text is there, the most frequent first: "35 'nM', 5 'uM'"."""
    return ", ".join(f"{count} {text!r}" for text, count in Counter(texts).most_common())
