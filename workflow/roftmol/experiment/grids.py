"""The hyperparameters that are tried for a method: its default grid, or what the configuration says instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from roftmol.core.errors import UserError
from roftmol.experiment.names import check_names
from roftmol.methods import Method


def grid(method: Method, layers: int, axes: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Return a method's grid: its default, or the product of `axes`; an axis that is not given keeps its default.

    Raises `UserError` for a key that the method does not have, a value of another type, or one that no setting has.
    """
    default = [asdict(settings) for settings in method.grid(layers)]
    if not axes:
        return default
    check_names(f"grids.{method.name}", axes, [field.name for field in fields(method.settings)])
    default_axes = {key: list(dict.fromkeys(settings[key] for settings in default)) for key in default[0]}
    hints = get_type_hints(method.settings)
    typed = {key: [_typed(f"grids.{method.name}.{key}", value, hints[key]) for value in axes[key]] for key in axes}
    chosen = method.grid_from(default_axes | typed)
    for key, values in typed.items():
        for value in values:
            if all(getattr(settings, key) != value for settings in chosen):
                raise UserError(
                    f"grids.{method.name}.{key}: {value!r} is in no setting of this grid, since it goes with "
                    "other values than the grid's. Leave it out, or add what it goes with (docs/methods.md)."
                )
    if method.stages:
        parts = ("embed", *(f"blocks.{layer}" for layer in range(layers)))
        for settings in chosen:
            method.stages(settings, parts)  # a part that the encoder does not have is named here, before any job
    return [asdict(settings) for settings in chosen]


def _typed(key: str, value: Any, hint: Any) -> Any:
    """Return the value as the field's type, so that 1 and 1.0 are one point of the grid."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UserError(f"{key}: {value!r} is not allowed. Allowed: {', '.join(map(repr, get_args(hint)))}")
        return value
    kind = next((part for part in get_args(hint) if part is not NoneType), hint)  # X | None -> X
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise UserError(f"{key}: {value!r} is not of type {kind.__name__}")
    return kind(value)
