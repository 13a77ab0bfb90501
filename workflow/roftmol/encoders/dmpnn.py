"""D-MPNN, chemprop's network of messages along directed bonds (Yang et al. 2019, arXiv 1904.01561), and CheMeleon's.

A bond between two atoms is two directed ones. That from v to w has a vector h_vw, and takes in what the bonds that end
in v have, but for the one that comes back from w:

    embed      g_vw = W_i [x_v, e_vw]
    blocks.0   h_vw = relu(g_vw), then T - 1 times  h_vw <- relu(g_vw + W_h sum_{u in N(v) without w} h_uv);
               m_v = sum_{u in N(v)} h_uv
    blocks.1   h_v = relu(W_o [x_v, m_v] + b)
    pool       mean_v h_v

with x_v an atom's features, e_vw a bond's and T the depth. There is no BatchNorm, and no dropout either, as CheMeleon
(Burns et al. 2025, arXiv 2506.15792) was trained.

**What a part is.** All T - 1 steps share one matrix W_h: no step can be frozen, trained or mixed apart from the others.
So the parts are the network's three maps, from the input to the output: the embedding W_i, the block of all steps W_h,
the readout W_o. What a method does layer by layer it does with these: surgical fine-tuning trains W_h or W_o,
layer-wise decay has three rates below the head's, DWiSE-FT three coefficients. Where W_i is frozen, or W_i and W_h,
what they give is computed once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol.core.errors import UserError
from roftmol.core.records import build
from roftmol.encoders.base import Encoder, EncoderFile, State
from roftmol.encoders.ops import Linear, rows, sum_by
from roftmol.features.featurizers.chemprop import ATOM_COLUMNS, BOND_COLUMNS
from roftmol.features.graphs import Batch


@dataclass(frozen=True)
class Architecture:
    """How often bonds are updated, the first time included (chemprop's `depth`), and how wide all vectors are."""

    depth: int
    width: int
    kind: str = "dmpnn"


class Embedding(nn.Module):
    """Features -> the directed bonds' vectors g, which all steps of the block above add."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = Linear(ATOM_COLUMNS + BOND_COLUMNS, width, bias=False)

    def forward(self, batch: Batch) -> State:
        """Return the atoms' features and the bonds' vectors: n x 72, m x d."""
        sender, _ = batch.edges
        return State(batch.atoms, self.linear(torch.cat([batch.atoms[sender], batch.bonds], 1)))


class Messages(nn.Module):
    """All steps along bonds, which share their weights, and what atoms receive at their end."""

    def __init__(self, width: int, depth: int):
        super().__init__()
        self.depth = depth
        self.linear = Linear(width, width, bias=False)

    def forward(self, state: State, batch: Batch) -> State:
        """Return the atoms' features and what they receive: n x 72, m x d -> n x (72 + d)."""
        g = state.bonds
        assert g is not None
        sender, receiver = batch.edges
        back = reverse(batch)
        h = F.relu(g)
        for _ in range(1, self.depth):
            message = rows(sum_by(h, receiver, len(batch.atoms)), sender) - rows(h, back)
            h = F.relu(g + self.linear(message))
        return State(torch.cat([state.atoms, sum_by(h, receiver, len(batch.atoms))], 1))


class Readout(nn.Module):
    """What atoms are and receive -> their vectors."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = Linear(ATOM_COLUMNS + width, width)

    def forward(self, state: State, _batch: Batch) -> State:
        """Return the atoms' vectors: n x (72 + d) -> n x d."""
        return State(self.linear(state.atoms, relu=True))


def reverse(batch: Batch) -> Tensor:
    """Return the position of every directed bond's reverse: m."""
    sender, receiver = batch.edges
    n = len(batch.atoms)
    # Bonds are sorted by receiver, then sender (`featurize`), and no two have the same ends.
    return torch.searchsorted(receiver * n + sender, sender * n + receiver)


class Dmpnn(Encoder):
    """The encoder, pooled by the mean over a molecule's atoms."""

    steady = True

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = architecture
        self.width = architecture.width
        self.embed = Embedding(architecture.width)
        self.blocks = nn.ModuleList([Messages(architecture.width, architecture.depth), Readout(architecture.width)])

    def pool(self, state: State, batch: Batch) -> Tensor:
        """Return the mean over each molecule's atoms: n x d -> b x d."""
        return sum_by(state.atoms, batch.graph, len(batch)) / batch.sizes.unsqueeze(1)

    def fresh(self) -> Dmpnn:
        """Return the same network with weights drawn anew."""
        return Dmpnn(self.architecture)


#: Patterns of chemprop's names, and ours.
PUBLISHED_NAMES = (
    (re.compile(r"^W_i\."), "embed.linear."),
    (re.compile(r"^W_h\."), "blocks.0.linear."),
    (re.compile(r"^W_o\."), "blocks.1.linear."),
)
#: What chemprop's settings must be, where a file says them, for its weights to be of this network. Biases and widths
#: are seen by the weights' names and shapes.
SETTINGS = {"activation": "relu", "undirected": False, "dropout": 0.0}


def read_published(path: Path, architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file such as CheMeleon's holds: `hyper_parameters`, its settings, and `state_dict`.

    Bare weights say nothing of their settings, and are taken as they are. Raises `UserError` if a setting is not that
    of the architecture, and whatever torch does if the file holds more than plain values.
    """
    contents: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    settings = contents.get("hyper_parameters", {}) if isinstance(contents, dict) else {}
    expected = {**SETTINGS, "depth": architecture["depth"], "d_h": architecture["width"]}
    for key, value in expected.items():
        if settings.get(key, value) != value:
            raise UserError(
                f"{path}: its {key} is {settings[key]!r}, and {value!r} is read here. Correct depth or width in the "
                "entry's architecture; networks of other settings are not known."
            )
    return contents


ENCODER = EncoderFile(
    new=lambda architecture, _dropout: Dmpnn(build(Architecture, architecture)),
    published_names=PUBLISHED_NAMES,
    read_published=read_published,
)
