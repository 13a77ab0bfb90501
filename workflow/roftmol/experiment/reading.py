"""Read a configuration from plain values: convert text, fill in defaults, name every mistake of form.

Pydantic finds the mistakes; this module puts them into words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import reduce
from operator import getitem
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from roftmol.core.errors import UserError
from roftmol.experiment.keys import Config
from roftmol.experiment.names import hint

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

Json = dict[str, Any]

#: A number as text.
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
#: Other values as text, in YAML's spelling.
WORDS = {"true": True, "false": False, "null": None}
#: The sentence for each kind of mistake, by pydantic's name for it.
SENTENCES = {
    "greater_than": "is less than or equal to the minimum of {gt:g}",
    "greater_than_equal": "is less than the minimum of {ge:g}",
    "less_than": "is greater than or equal to the maximum of {lt:g}",
    "less_than_equal": "is greater than the maximum of {le:g}",
    "finite_number": "is no finite number",
    "invalid_key": "is not a key: keys are text",
    "value_error": "{error}",
}
#: The most values that a configuration may hold, each counted as often as it is named.
MOST_VALUES = 100_000
#: How pydantic ends the path of a key that is wrong itself.
KEY = "[key]"


def read(given: Mapping[str, Any]) -> Config:
    """Return the configuration, with defaults for the keys that are not given.

    Snakemake's `--config` gives `false` and numbers in lists as text; text is converted wherever text is not allowed.
    What grids hold is left to the methods. Raises `UserError` that names each wrong key, its value, and what is
    allowed, and for one that is too large to be read: a few lines of YAML that name each other can stand for more
    values than a memory holds.
    """
    _check_size(given)
    try:
        return Config.model_validate(_with_values(given))
    except ValidationError as error:
        raise UserError("\n".join(dict.fromkeys(_problems(error)))) from None


def _check_size(given: Mapping[str, Any]) -> None:
    waiting: list[Any] = [given]
    for _ in range(MOST_VALUES):
        if not waiting:
            return
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
    raise UserError(f"the configuration has more than {MOST_VALUES:,} values. Write out what anchors repeat.")


def _with_values(given: Mapping[str, Any]) -> Json:
    """Return the configuration with text converted to values, wherever text is a mistake."""
    values: Any = deepcopy(dict(given))
    recommend = values.get("recommend")
    for section in (values, recommend if isinstance(recommend, dict) else {}):
        if "grids" in section:
            section["grids"] = _value(section["grids"])
    try:
        Config.model_validate(values)
    except ValidationError as error:
        for mistake in error.errors():
            if isinstance(mistake["input"], str) and mistake["loc"][-1] != KEY:
                *above, last = mistake["loc"]
                reduce(getitem, above, values)[last] = _value(mistake["input"])
    return values


def _value(value: Any) -> Any:
    """Convert text that says a number, truth value or null, at every depth; leave anything else as it is."""
    if isinstance(value, dict):
        return {key: _value(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_value(entry) for entry in value]
    if not isinstance(value, str):
        return value
    if not NUMBER.fullmatch(value):
        return WORDS.get(value, value)
    return int(value) if value.lstrip("-").isdigit() else float(value)


def _problems(error: ValidationError) -> Iterator[str]:
    """Yield a line for each mistake: the key, its value, and what is allowed there."""
    schema = Config.model_json_schema()
    mistakes = error.errors()
    missing: dict[tuple[int | str, ...], list[str]] = {}
    for mistake in mistakes:
        if mistake["type"] == "missing":
            missing.setdefault(mistake["loc"][:-1], []).append(str(mistake["loc"][-1]))
    for mistake in mistakes:
        *above, last = path = mistake["loc"]
        if mistake["type"] == "missing":
            yield f"{_joined(above)}: missing {', '.join(missing[path[:-1]])}"
        elif mistake["type"] == "extra_forbidden":
            yield f"{_joined(path)}: unknown key{hint(last, _about(schema, above)['properties'])}"
        else:
            yield f"{_joined(path)}: {mistake['input']!r} {_sentence(mistake, _about(schema, path))}"


def _sentence(mistake: ErrorDetails, about: Json) -> str:
    """Say what is wrong with a value, from the part of the JSON schema that is about it."""
    kind = mistake["type"]
    options = about.get("anyOf", [about])
    if kind.endswith("_type"):
        types = [option.get("type", "string") for option in options]  # no part is about a key, which is text
        return f"is not of type {', '.join(map(repr, types))}"
    if kind == "literal_error":
        values = [value for option in options for value in option.get("enum", [])]
        return f"is not allowed{hint(mistake['input'], ['null' if value is None else value for value in values])}"
    return SENTENCES[kind].format(**mistake.get("ctx", {})) if kind in SENTENCES else mistake["msg"]


def _joined(path: Sequence[int | str]) -> str:
    """Return a path as a user writes it; a key is named by what holds it."""
    return ".".join(map(str, path[:-2] if path[-1] == KEY else path))


def _about(schema: Json, path: Iterable[int | str]) -> Json:
    """Return the part of the JSON schema that is about a key."""
    part = schema
    for key in path:
        part = part.get("properties", {}).get(key) or part.get("additionalProperties") or part.get("items", {})
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    return part
