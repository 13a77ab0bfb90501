"""Labels as they are written: which are missing, which are numbers, and which a user's `values` translate."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

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

Values = Mapping[str, float | str]


def number(text: str) -> float | None:
    """Return the number that a text is; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def is_missing(text: str) -> bool:
    """Return whether a cell says that nothing was measured."""
    return text.casefold() in MISSING


def translated(text: str, values: Values) -> str:
    """Return a cell by `values`, "" where they leave it out; any other cell as it is.

    A key is meant by a cell of the same letters, large or small, or of the same number.
    """
    if not values:
        return text
    meaning = values.get(text)
    if meaning is None:
        value, folded = number(text), text.casefold()
        same = (key for key in values if key.casefold() == folded or (value is not None and number(key) == value))
        meaning = next((values[key] for key in same), None)
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
