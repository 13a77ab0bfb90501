"""The members of a bundle as tensors, and tensors as members: what a file holds beside its cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json
from roftmol.deploy import card as cards
from roftmol.deploy.card import MEMBERS
from roftmol.deploy.ensemble import Reference
from roftmol.deploy.fitted_models import Bundle
from roftmol.deploy.head_model import HeadModel
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import check_size
from roftmol.encoders.kinds import new_encoder
from roftmol.features import graphs
from roftmol.features.fingerprints import BITS, pack, unpack
from roftmol.methods import METHODS
from roftmol.tasks import TASKS
from roftmol.training.fit import Task
from roftmol.training.model import Model

#: What helps where a file cannot be read.
AGAIN = "Copy it again, or make it again by `snakemake recommend`."
#: A molecule that every bundle can predict, so that tensors that do not fit together are found when the file is read.
PROBE = "CCO"


def tensors_of(bundle: Bundle) -> dict[str, Tensor]:
    """Return all that a file holds of a bundle beside its card; what is equal in all members is there once."""
    states = [_state(member) for member in bundle.members]

    def equal(tensor: Tensor, other: Tensor) -> bool:
        return tensor.shape == other.shape and tensor.equal(other)

    shared = [name for name, one in states[0].items() if all(equal(one, state[name]) for state in states[1:])]
    tensors = {f"shared.{name}": states[0][name] for name in shared}
    for number, state in enumerate(states):
        tensors |= {f"member.{number}.{name}": tensor for name, tensor in state.items() if name not in shared}
    tensors["training_bits"] = torch.from_numpy(pack(bundle.training))
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


class Encoders:
    """The encoders of a file: where all tensors are the same ones, it is one encoder, which then runs once."""

    def __init__(self, stored: int):
        """Take how many numbers the file holds."""
        self._read: dict[Any, Encoder] = {}
        # A file can say of many encoders that they are the same tensors but for one.
        self._left = MEMBERS * stored

    def of(self, architecture: Mapping[str, Any], state: Mapping[str, Tensor]) -> Encoder:
        """Return the encoder of a member; raise `ValueError` where a file would become far more than it holds."""
        tensors = {name.removeprefix("encoder."): one for name, one in state.items() if name.startswith("encoder.")}
        key = (canonical_json(dict(architecture)), *sorted((name, id(one)) for name, one in tensors.items()))
        if key not in self._read:
            self._left -= sum(one.numel() for one in tensors.values())
            if self._left < 0:
                raise ValueError(f"its encoders are more than {MEMBERS} times what the file holds")
            encoder = new_encoder(architecture)
            encoder.load_state_dict(tensors)
            self._read[key] = encoder.eval()
        return self._read[key]


def bundle_of(where: str, card: Any, tensors: dict[str, Tensor], encoders: Encoders) -> Bundle:
    """Return the bundle of a card and the tensors that :func:`tensors_of` gave.

    Raises `UserError`, which begins with `where` they were read, for a card that cannot be read or is of other tensors.
    """
    card = cards.check(card, where)
    if card["featurizer_format"] != graphs.FORMAT:
        raise UserError(
            f"{where}: it was made for molecules as {card['featurizer_format']}, and this program makes "
            f"{graphs.FORMAT}. Make the bundle again."
        )
    try:
        return _of_tensors(where, card, tensors, encoders)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # A card that passes its checks may still be of other tensors.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(f"{where}: its card and its tensors do not fit together ({reason}). {AGAIN}") from error


def _of_tensors(where: str, card: Mapping[str, Any], tensors: dict[str, Tensor], encoders: Encoders) -> Bundle:
    """Return the bundle of a card and tensors; raise whatever they make it raise where they do not fit together."""
    # Of what a head reads, some is undefined.
    of_head = "head." if METHODS[card["method"]].head else " "
    for name, tensor in tensors.items():
        if of_head not in name and tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} is not finite")
    bits = tensors.pop("training_bits")
    if bits.dtype != torch.uint8 or bits.shape[1:] != (BITS // 8,) or not len(bits):
        raise ValueError(f"training_bits is {bits.dtype} {tuple(bits.shape)}")
    states: list[dict[str, Tensor]] = [{} for _ in range(card["members"])]
    for name, tensor in tensors.items():
        if name.startswith("shared."):
            owners, inner = states, name.removeprefix("shared.")
        else:
            _, number, inner = name.split(".", 2)
            owners = [states[int(number)]]
        for state in owners:
            state[inner] = tensor
    if card["architecture"]:
        check_size(where, card["architecture"], states[-1])
    members = [_member(card, state, encoders) for state in states]
    read = Bundle(card, members, unpack(bits.numpy()))  # type: ignore[arg-type]
    if not np.isfinite(read.predict([PROBE])[read.columns[0]].to_numpy()).all():
        raise ValueError(f"what it predicts for {PROBE} is no number")
    return read


def _state(member: Model | Reference | HeadModel) -> dict[str, Tensor]:
    if isinstance(member, HeadModel):
        return member.tensors()
    if isinstance(member, Reference):
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in member.arrays.items()}
    return dict(member.state_dict())


def _member(card: Mapping[str, Any], state: Mapping[str, Tensor], encoders: Encoders) -> Model | Reference | HeadModel:
    encoder = encoders.of(card["architecture"], state) if card["architecture"] else None
    if METHODS[card["method"]].head:
        return HeadModel.of(card, state, encoder)
    if encoder is None:
        return Reference({name: tensor.numpy() for name, tensor in state.items()})
    task = Task(card["task"], TASKS[card["task"]].primary.name)
    model = Model(encoder, 1, task)
    model.load_state_dict(dict(state))
    return model.eval()
