"""The types of values in a configuration that are more than a number or a text.

Each has the sentence that is said behind a wrong value, and the JSON schema by which editors check it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict

from roftmol.data.label_texts import LEFT_OUT
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry.splits import SPLITS
from roftmol.tasks import TASKS

T = TypeVar("T")
NAME = re.compile("[a-z0-9][a-z0-9_-]*")


def _check(holds: Callable[[Any], Any], sentence: str) -> Callable[[Any], Any]:
    """Return a validator that lets right values pass, and says the sentence of any other."""

    def check(value: Any) -> Any:
        if not holds(value):
            raise ValueError(sentence)
        return value

    return check


def _all_differ(values: Any) -> bool:
    return all(value not in values[:position] for position, value in enumerate(values))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _label_values(value: Any) -> Any:
    """Return labels and what they mean: a key that YAML reads as a number as text, a number that is text as number."""
    if not isinstance(value, dict) or not value:
        raise ValueError("is not of the form {active: 1, inactive: 0, -1: missing}")
    if any(isinstance(label, bool) or label is None for label in value):
        raise ValueError("has a key that YAML takes for true, false or null; put it in double quotes")
    return {str(label): _meaning(meaning) for label, meaning in value.items()}


def _meaning(value: Any) -> float | str:
    if value == LEFT_OUT:
        return LEFT_OUT
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"has the meaning {value!r}; a label can mean a number, or {LEFT_OUT}")
    return number


_unique = AfterValidator(_check(_all_differ, "has non-unique elements"))
_some = AfterValidator(_check(len, "should be non-empty"))
_name = AfterValidator(_check(NAME.fullmatch, "is not a name of lower-case letters, digits, _ and -"))

_SEVERAL: dict[str, Any] = {"uniqueItems": True, "minItems": 1}

#: A list in which nothing stands twice, and one that is not empty either.
Unique = Annotated[tuple[T, ...], Strict(False), _unique, Field(json_schema_extra={"uniqueItems": True})]
Several = Annotated[tuple[T, ...], Strict(False), _some, _unique, Field(json_schema_extra=_SEVERAL)]
#: A name for what is the user's own, which folders are called by, and entries by such names.
Name = Annotated[str, _name, Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})]
Named = Annotated[
    dict[Annotated[str, _name], T],
    Field(json_schema_extra={"propertyNames": {"pattern": f"^{NAME.pattern}$"}}),
]
#: One name, or a list of names.
Names = Annotated[
    tuple[str, ...],
    Strict(False),
    BeforeValidator(_check(_are_names, "is not a name or a list of names"), json_schema_input_type=str | list[str]),
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
]
TwoColumns = Annotated[
    tuple[str, ...],
    Strict(False),
    Field(min_length=2, max_length=2),
    BeforeValidator(
        _check(
            lambda value: _are_names(value) and len(value) == 2,
            "is not the names of two columns, of the elements and of the positions",
        )
    ),
]
#: Labels as they are written, and the number that each means, or that it is none.
LabelValues = Annotated[dict[str, float | Literal["missing"]], BeforeValidator(_label_values)]
#: Of a method, the values of its hyperparameters.
Grids = dict[str, dict[str, Annotated[list[Any], _some, _unique, Field(json_schema_extra=_SEVERAL)]]]

if TYPE_CHECKING:
    Protocol = str
    Split = str
    Task = str
else:
    Protocol = Literal[tuple(PROTOCOLS)]
    Split = Literal[tuple(SPLITS)]
    Task = Literal[tuple(TASKS)]
Budget = Annotated[
    Annotated[int, Field(ge=10)] | Literal["all"],
    BeforeValidator(
        _check(
            lambda value: value == "all" or (type(value) is int and value >= 10),
            "is not a whole number of molecules (10 or more), or all",
        )
    ),
]
Duplicates = Literal["keep", "drop", "average"]
Contamination = Literal["structures", "labels", "unknown"]
