"""Which encoders are at hand: MiniMol, where its archive can be had, before the one that comes with the package.

MiniMol's archive (19 MB) is brought by pip, once: into the folder of archives, where `fetch-checkpoint` looks first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from roftmol.core.errors import UserError
from roftmol.data.download import Patience, bring_archive, is_there
from roftmol.registry import catalog
from roftmol.registry.catalog import BEST, EMBEDDED

#: Set to anything, this variable keeps from the network.
OFFLINE = "ROFTMOL_OFFLINE"
#: Who waits for a first answer does not wait long for a network.
PATIENCE = Patience(tries=2, connect_seconds=5)


class AtHand(NamedTuple):
    """The encoders, the best first, and why these, in a sentence."""

    models: tuple[str, ...]
    why: str


def encoders_at_hand(archives: Path, *, bring: bool = True) -> AtHand:
    """Return the encoders at hand; `bring` MiniMol's archive into the folder `archives`, unless it is there."""
    archive = next(source.archive for source in catalog.checkpoints()[BEST].sources if source.archive)
    if is_there(archive, archives):
        return AtHand((BEST, EMBEDDED), "The encoder is MiniMol.")
    otherwise = f"The encoder is {EMBEDDED}, which comes with the package; MiniMol, which is better, "
    if os.environ.get(OFFLINE):
        return AtHand((EMBEDDED,), f"{otherwise}is left out, for {OFFLINE} is set.")
    if not bring:
        return AtHand((EMBEDDED,), f"{otherwise}is brought by a run, where it can be had.")
    try:
        bring_archive(archive, archives, PATIENCE)
    except UserError as error:
        last = str(error).strip().splitlines()[-1]
        return AtHand((EMBEDDED,), f"{otherwise}cannot be had: {last}")
    return AtHand((BEST, EMBEDDED), "The encoder is MiniMol.")
