"""Settings to and from JSON: the frozen dataclass itself is the description of what may be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from roftmol.core.errors import UserError

Settings = TypeVar("Settings")


def build(kind: type[Settings], value: Any) -> Settings:
    """Return what JSON gives as the dataclass `kind`, nested dataclasses and tuples included.

    Raises `UserError` if the value is no object, or names the unknown and the missing keys.
    """
    assert is_dataclass(kind)
    if not isinstance(value, Mapping):
        raise UserError(f"{kind.__name__}: expected an object with keys, found {value!r}")
    names = {field.name for field in fields(kind)}
    required = {field.name for field in fields(kind) if field.default is field.default_factory is MISSING}
    unknown = sorted(value.keys() - names)
    missing = sorted(required - value.keys())
    if unknown or missing:
        raise UserError(f"{kind.__name__}: unknown keys {unknown}, missing keys {missing}. Known: {sorted(names)}")
    hints = get_type_hints(kind)
    return kind(**{key: _convert(hints[key], entry) for key, entry in value.items()})


def _convert(hint: Any, value: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value)
    if get_origin(hint) is tuple:
        return tuple(_convert(get_args(hint)[0], entry) for entry in value)
    return value


def without_defaults(value: Any) -> Any:
    """Return a value as JSON has it, leaving out the fields of dataclasses that equal their default.

    What identifies a result is a digest of this: a field that is added with a default changes no identity of what does
    not use it. Where a default itself is changed, the digest of the code tells old results from new ones.
    """
    if is_dataclass(value) and not isinstance(value, type):
        changed = [field.name for field in fields(value) if not _is_default(field, value)]
        return without_defaults({name: getattr(value, name) for name in changed})
    if isinstance(value, Mapping):
        return {key: without_defaults(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [without_defaults(entry) for entry in value]
    return value


def _is_default(field: Field[Any], record: Any) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(getattr(record, field.name) == default)
