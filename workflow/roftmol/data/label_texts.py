"""Labels as they are written: missing, numbers, limits; what `values` translate, and what a column beside them says.

A label `>10000` is censored: all that is known is on which side of 10000 the value lies. Tables of assays also write
the sign into a column of its own, and the unit into another; a model that reads the number alone learns what nobody
has measured.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
#: What a label is translated to that is none.
LEFT_OUT = "missing"
#: What YAML takes for something else than a word, and what needs no quotes there.
YAML_WORDS = frozenset(["yes", "no", "true", "false", "on", "off", "y", "n", "null", "~"])
YAML_PLAIN = re.compile(r"[A-Za-z][\w ./+-]*|-?\d+(\.\d+)?")
#: Words that are rather class 1 than class 0.
POSITIVE = frozenset(
    [
        "active",
        "yes",
        "true",
        "positive",
        "pos",
        "toxic",
        "high",
        "y",
        "t",
        "hit",
        "binder",
        "soluble",
        "permeable",
        "+",
    ]
)

#: The signs of a relation; those of `EQUAL` say that the number is the value.
EQUAL = frozenset({"=", "==", "~", "≈"})
BELOW = frozenset({"<", "<=", "<<", "≤"})
BEYOND = BELOW | {">", ">=", ">>", "≥"}
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

Values = Mapping[str, float | str]


class Limit(NamedTuple):
    """A censored label as it is written: its sign, and the text of the number."""

    sign: str
    number: str


def number(text: str) -> float | None:
    """Return the number that a text is; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def is_missing(text: str) -> bool:
    """Return whether a cell says that nothing was measured."""
    return text.casefold() in MISSING


def unmatched(cells: Iterable[str], values: Values) -> list[str]:
    """Return the keys of `values` that no cell is meant by."""
    there = set(cells)
    return [key for key in values if not any(_means(key, text) for text in there)]


def _means(key: str, text: str) -> bool:
    """Return whether a key of `values` means a cell: the same letters, or the same number."""
    value = number(text)
    return key.casefold() == text.casefold() or (value is not None and number(key) == value)


def translated(text: str, values: Values) -> str:
    """Return a cell by `values`, "" where they leave it out; any other cell as it is.

    A key is meant by a cell of the same letters, large or small, or of the same number.
    """
    if not values:
        return text
    meaning = values.get(text)
    if meaning is None:
        meaning = next((values[key] for key in values if _means(key, text)), None)
    if meaning is None:
        return text
    return "" if meaning == LEFT_OUT else f"{float(meaning):.17g}"


def class_names(values: Values) -> tuple[str, str] | None:
    """Return what the classes 0 and 1 are called by `values`; None where they are called 0 and 1."""
    names = [
        " or ".join(key for key, value in values.items() if value == code and number(key) != code) or str(code)
        for code in (0, 1)
    ]
    return None if names == ["0", "1"] else (names[0], names[1])


def proposed(classes: Iterable[str], left_out: Iterable[str] = ()) -> str:
    """Return two classes as the key `values` may be given on the command line; the likelier word is class 1."""
    one, *others = sorted(classes, key=lambda text: (text.casefold() not in POSITIVE, -(number(text) or 0), text))
    pairs = [(one, "1"), *((text, "0") for text in others), *((text, LEFT_OUT) for text in left_out)]
    return "values='{" + ", ".join(f"{yaml_key(text)}: {value}" for text, value in pairs) + "}'"


def yaml_key(text: str) -> str:
    """Return a text as a key of YAML."""
    plain = YAML_PLAIN.fullmatch(text) and text.casefold() not in YAML_WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)


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
