"""From an architecture to its encoder, by the file of its kind (`registry.encoder_kinds`), which is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from roftmol.encoders.base import Encoder, EncoderFile
from roftmol.registry.encoder_kinds import encoder_kind


def encoder_file(kind: object) -> EncoderFile:
    """Return what the file of this kind offers.

    Raises `UserError` for an unknown kind.
    """
    file: EncoderFile = import_module(f"roftmol.encoders.{encoder_kind(kind).file}").ENCODER
    return file


def new_encoder(architecture: Mapping[str, Any], dropout: float = 0.5) -> Encoder:
    """Return an encoder of this architecture with weights drawn at random; `kind` decides what else is said.

    Raises `UserError` for an unknown kind, or keys that the kind does not have.
    """
    return encoder_file(architecture.get("kind")).new(architecture, dropout)
