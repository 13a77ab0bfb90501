"""GraphMAE (Hou et al. 2022, arXiv 2205.10803): rebuild hidden atoms from vectors that were hidden a second time.

Elements of some atoms are masked; the encoder's vectors of those atoms are set to zero before a one-layer GIN decodes
them (re-masking), so that the encoder cannot leave the work to the decoder. The loss is the scaled cosine error

    L = mean over masked atoms of (1 - cos(x_i, y_i))^gamma

between the one-hot element x_i and the decoder's output y_i; gamma > 1 weighs down what is easy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol.encoders.base import Encoder
from roftmol.encoders.gnn import GIN
from roftmol.encoders.ops import Linear
from roftmol.features import featurize
from roftmol.features.graphs import Batch, Graphs
from roftmol.features.vocabulary import ELEMENTS, MASKED_ELEMENT
from roftmol.training.pretraining.loop import Labels, Level


class Decoder(nn.Module):
    """A linear map, re-masking, a GIN layer over the bonds, and a linear map to the elements."""

    def __init__(self, width: int):
        super().__init__()
        self.activation = nn.PReLU()
        self.enter = Linear(width, width, bias=False)
        self.layer = GIN(width)
        self.leave = Linear(width, ELEMENTS)

    def forward(self, Z: Tensor, masked: Tensor, batch: Batch) -> Tensor:
        """Return the masked atoms' outputs, m x elements, from the atoms' vectors `Z`, n x d."""
        hidden = self.enter(self.activation(Z)).index_fill(0, masked, 0.0)
        return self.leave(self.layer(hidden, batch.hop, batch)[masked])


@dataclass(frozen=True)
class GraphMAE:
    """The objective's hyperparameters: the share of atoms masked, and the exponent of the error."""

    masked: float = 0.25
    gamma: float = 2.0

    level: ClassVar[Level] = "atom"
    merges: ClassVar[bool] = False

    def prepare(self, smiles: list[str], _labels: Labels, processes: int) -> tuple[Graphs, npt.NDArray[np.int64]]:
        """Return the corpus as graphs, and its atoms' elements, one number an atom."""
        corpus = featurize.from_smiles(smiles, np.zeros((len(smiles), 0), np.float32), processes)
        return corpus, corpus.atoms[:, 0].astype(np.int64)

    def decoder(self, width: int, _tasks: int) -> nn.Module:
        """Return what rebuilds the atoms."""
        return Decoder(width)

    def loss(
        self, encoder: Encoder, decoder: nn.Module, batch: Batch, targets: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """Return the objective on one batch; `targets` are the atoms' elements."""
        n = len(batch.atoms)
        chosen = rng.choice(n, max(1, round(self.masked * n)), replace=False)
        masked = torch.from_numpy(chosen).to(batch.atoms.device)
        atoms = batch.atoms.index_copy(
            0, masked, torch.tensor([[MASKED_ELEMENT, 0]], device=masked.device).expand(len(masked), 2)
        )
        Z = encoder.nodes(replace(batch, atoms=atoms))
        return scaled_cosine_error(F.one_hot(targets[masked], ELEMENTS).float(), decoder(Z, masked, batch), self.gamma)


def scaled_cosine_error(x: Tensor, y: Tensor, gamma: float) -> Tensor:
    """Return the mean over rows of (1 - cos(x_i, y_i))^gamma."""
    return (1 - F.cosine_similarity(x, y, dim=-1)).pow(gamma).mean()
