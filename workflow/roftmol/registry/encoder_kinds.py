"""The kinds of encoders: where each one's code is, what else its architecture says, which featurizer it reads.

Adding an encoder is its file in `encoders/` and its line here. The registry, the checks of the configuration and the
digests of code read this and import no network; `encoders.kinds` imports the file of the kind that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roftmol.core.errors import UserError


@dataclass(frozen=True)
class EncoderKind:
    """One kind of architecture, the value of its key `kind`."""

    file: str  #: in `encoders/`; it defines `ENCODER`, and several kinds may share it
    keys: tuple[str, ...] = ("layers", "width")  #: what else an architecture of this kind says: all of it, nothing else
    featurizer: str = "hu"  #: the file in `features/featurizers/` that makes what it reads
    blocks: int | None = None  #: how many blocks all of this kind have; None where `layers` says it

    @property
    def module(self) -> str:
        """The module of its file."""
        return f"roftmol.encoders.{self.file}"

    @property
    def spatial(self) -> bool:
        """Whether it reads atoms in space, and has a force field."""
        return self.featurizer == "geometry"


ENCODER_KINDS: dict[str, EncoderKind] = {
    **dict.fromkeys(("gin", "gcn", "graphsage", "gat", "molclr_gcn"), EncoderKind("gnn")),
    "minimol": EncoderKind("minimol", featurizer="minimol"),
    "dmpnn": EncoderKind("dmpnn", ("depth", "width"), "chemprop", blocks=2),
    "so3lr": EncoderKind("so3lr", featurizer="geometry"),
    "aimnet2": EncoderKind("aimnet2", featurizer="geometry"),
    "dpa": EncoderKind("dpa", ("branch", "layers", "width"), "geometry"),
    "own": EncoderKind("own", ("code", "embed", "blocks", "readout", "pooling"), "own"),
}


def encoder_kind(name: object) -> EncoderKind:
    """Return the kind of this name.

    Raises `UserError` for an unknown one.
    """
    if not isinstance(name, str) or name not in ENCODER_KINDS:
        *others, last = ENCODER_KINDS
        raise UserError(f"architecture: kind is {name!r}; known are {', '.join(others)} and {last}")
    return ENCODER_KINDS[name]


def blocks_of(architecture: Mapping[str, Any]) -> int:
    """Return how many blocks an encoder of this architecture has; raise `UserError` for an unknown kind."""
    kind = encoder_kind(architecture.get("kind"))
    if "blocks" in kind.keys:
        return len(architecture["blocks"])
    return kind.blocks or int(architecture["layers"])
