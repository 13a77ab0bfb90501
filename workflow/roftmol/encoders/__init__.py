"""Molecular graph encoders and their published weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from roftmol.core.errors import UserError
from roftmol.core.records import build
from roftmol.encoders.aimnet2 import Aimnet2
from roftmol.encoders.base import Encoder, Norm, Spatial, State
from roftmol.encoders.dpa import Dpa, DpaArchitecture
from roftmol.encoders.gnn import CONVOLUTIONS, GNN, Architecture
from roftmol.encoders.minimol import MiniMol
from roftmol.encoders.own import Own, OwnArchitecture
from roftmol.encoders.so3lr import So3lr


def new_encoder(architecture: Mapping[str, Any], dropout: float = 0.5) -> Encoder:
    """An encoder of this architecture with weights drawn at random; `kind` decides what else is said.

    Raises `UserError` for an unknown kind, or keys that the kind does not have.
    """
    kind = architecture.get("kind")
    if kind in CONVOLUTIONS:
        return GNN(build(Architecture, architecture), dropout)
    if kind == "minimol":
        return MiniMol()  # with the published dropout
    if kind == "so3lr":
        return So3lr()
    if kind == "aimnet2":
        return Aimnet2()
    if kind == "dpa":
        return Dpa(build(DpaArchitecture, architecture))
    if kind == "own":
        return Own(build(OwnArchitecture, architecture))  # with the module's own dropout
    known = ", ".join([*CONVOLUTIONS, "minimol", "so3lr", "aimnet2", "dpa"])
    raise UserError(f"architecture: kind is {kind!r}; known are {known} and own")


__all__ = [
    "CONVOLUTIONS",
    "GNN",
    "Aimnet2",
    "Architecture",
    "Dpa",
    "Encoder",
    "MiniMol",
    "Norm",
    "Own",
    "So3lr",
    "Spatial",
    "State",
    "new_encoder",
]
