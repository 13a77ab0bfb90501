"""Bundles of several targets as one, in memory and as one file. See docs/bundle.md.

The file holds, target by target, the tensors that a bundle's own would hold, under the target's number and a point. A
tensor that is equal to one before it is not stored again: `same` in the metadata says under which name it is. So an
encoder that several targets share is stored once, and runs once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from roftmol.core import tensor_file
from roftmol.core.errors import UserError, printable
from roftmol.core.files import canonical_json
from roftmol.deploy.card import FORMAT, OF_TARGETS
from roftmol.deploy.fitted_models import Bundle, PanelBundle
from roftmol.deploy.stored_members import AGAIN, tensors_of
from roftmol.tables.predicted_columns import TARGETS, check_together

#: The keys of the metadata: the targets' cards in order, and which tensors are stored under another one's name.
CARDS, SAME = "cards", "same"


def write(bundles: Mapping[str, Bundle], path: Path) -> None:
    """Write bundles by target to one file, atomically, each card with the target's name here.

    Tensors that are equal in several bundles are stored once. Raises `UserError` for no target or too many, and for
    targets whose columns or names cannot be told apart.
    """
    _check(path, [(printable(target), bundle) for target, bundle in bundles.items()])
    stored: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    same: dict[str, str] = {}
    for number, bundle in enumerate(bundles.values()):
        for inner, tensor in tensors_of(bundle).items():
            name = f"{number}.{inner}"
            first = stored.setdefault(tensor_file.digest_of_tensor(tensor), name)
            if first == name:
                tensors[name] = tensor
            else:
                same[name] = first
    cards = [{**bundle.card, "target": target} for target, bundle in bundles.items()]
    metadata = {
        "format": FORMAT,
        "version": str(OF_TARGETS),
        CARDS: json.dumps(cards, sort_keys=True),
        SAME: canonical_json(same),
    }
    tensor_file.save(path, tensors, metadata)


def taken_apart(
    path: Path, cards: Any, same: Any, tensors: Mapping[str, Tensor]
) -> list[tuple[str, Any, dict[str, Tensor]]]:
    """Return, for each target of a file, where it stands (for messages), its card as it was read, and its tensors.

    Raises `UserError` if there are no cards or too many, or if a tensor is of no target or under no other's name.
    """
    if not isinstance(cards, list) or not 1 <= len(cards) <= TARGETS:
        raise UserError(f"{path}: its cards are no list of 1 to {TARGETS}. {AGAIN}")
    of_target: dict[str, dict[str, Tensor]] = {str(number): {} for number in range(len(cards))}
    try:
        for name, tensor in [*tensors.items(), *((name, tensors[first]) for name, first in same.items())]:
            number, inner = name.split(".", 1)
            if inner in of_target[number]:
                raise ValueError(f"{name} is there twice")
            of_target[number][inner] = tensor
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"[:300]
        raise UserError(f"{path}: its cards and its tensors do not fit together ({reason}). {AGAIN}") from error
    of = len(cards)
    return [(f"{path}, target {number + 1} of {of}", cards[number], of_target[str(number)]) for number in range(of)]


def together(path: Path, bundles: Sequence[Bundle]) -> PanelBundle:
    """Return the bundles of a file as one; raise `UserError` as :func:`write` does."""
    named = [(bundle.card["target"], bundle) for bundle in bundles]
    _check(path, named)
    return PanelBundle(dict(named))


def _check(path: Path, named: Sequence[tuple[str, Bundle]]) -> None:
    """Raise `UserError` unless one bundle can hold them."""
    check_together(path, ((target, [bundle.full_name(one) for one in bundle.columns]) for target, bundle in named))
