"""The kinds of encoders: where each one's code is, what else its architecture says, which featurizer it reads.

Adding an encoder is its file in `encoders/` and its line here. The registry, the checks of the configuration and the
digests of code read this and import no network; `encoders.kinds` imports the file of the kind that is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from roftmol.core.errors import UserError


@dataclass(frozen=True)
class EncoderKind:
    """One kind of architecture, the value of its key `kind`."""

    module: str  #: the file, which defines `ENCODER`; several kinds may share one
    keys: tuple[str, ...] = ("layers", "width")  #: what else an architecture of this kind says: all of it, nothing else
    featurizer: str = "hu"  #: the graphs that it reads: a name in `features.featurizers`, "geometry", or a user's own


ENCODER_KINDS: dict[str, EncoderKind] = {
    **dict.fromkeys(("gin", "gcn", "graphsage", "gat", "molclr_gcn"), EncoderKind("roftmol.encoders.gnn")),
    "minimol": EncoderKind("roftmol.encoders.minimol", featurizer="minimol"),
    "so3lr": EncoderKind("roftmol.encoders.so3lr", featurizer="geometry"),
    "aimnet2": EncoderKind("roftmol.encoders.aimnet2", featurizer="geometry"),
    "dpa": EncoderKind("roftmol.encoders.dpa", ("branch", "layers", "width"), "geometry"),
    "own": EncoderKind("roftmol.encoders.own", ("code", "embed", "blocks", "readout", "pooling"), "own"),
}


def encoder_kind(name: object) -> EncoderKind:
    """Return the kind of this name.

    Raises `UserError` for an unknown one.
    """
    if not isinstance(name, str) or name not in ENCODER_KINDS:
        *others, last = ENCODER_KINDS
        raise UserError(f"architecture: kind is {name!r}; known are {', '.join(others)} and {last}")
    return ENCODER_KINDS[name]
