"""Masking of atoms, as in pretraining, as the second task of an encoder of molecular graphs.

The analogue of MFT for 2D: the objective (`pretraining/attribute_masking.py` or `pretraining/graphmae.py`) goes on, on
molecules of a pretraining corpus that are in no dataset of the experiment. What decodes the atoms is not part of
published weights: it is drawn anew and first fitted to the pretrained encoder, which stays as it is meanwhile; every
fit starts from that.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from roftmol.core.errors import UserError
from roftmol.core.seeds import generator, seed_of
from roftmol.encoders.base import Encoder
from roftmol.features.graphs import Graphs, ranges
from roftmol.training.forward import Adam
from roftmol.training.pretraining import AttributeMasking, GraphMAE, Objective

#: The objectives that need no labels, by name.
OBJECTIVES: dict[str, Callable[[], Objective]] = {"attribute_masking": AttributeMasking, "graphmae": GraphMAE}
#: The decoder is fitted first, for so many steps.
STEPS = 200
#: Molecules a step of that.
BATCH = 128
#: The learning rate of that.
RATE = 1e-3


@dataclass(frozen=True, eq=False)
class Pretraining:
    """The task on a corpus, in batches of `batch_size` molecules."""

    objective: Objective
    corpus: Graphs
    targets: npt.NDArray[np.generic]  #: a row an atom
    decoder: nn.Module
    batch_size: int
    encoder: Encoder | None = None  #: that a fit trains
    clip: float = math.inf

    @classmethod
    def prepared(cls, objective: Objective, smiles: list[str], encoder: Encoder, batch_size: int) -> Pretraining:
        """Return the task with a decoder that was fitted to the encoder as it is.

        Raises `UserError` if the encoder has no mask, which those of Hu et al.'s vocabulary alone do.
        """
        if not encoder.masks_atoms:
            raise UserError("masking of atoms needs an encoder with Hu et al.'s vocabulary, which has a mask")
        corpus, targets = objective.prepare(smiles, np.empty((len(smiles), 0), np.float32), 1)
        device = next(encoder.parameters()).device
        torch.manual_seed(seed_of("auxiliary decoder"))
        task = cls(objective, corpus, targets, objective.decoder(encoder.width, 0).to(device), batch_size)
        still = copy.deepcopy(encoder).eval().requires_grad_(False)
        optimizer = Adam(task.decoder.parameters(), RATE)
        rng = generator("auxiliary decoder")
        for _ in range(STEPS):
            loss = task.loss_of(still, BATCH, rng)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return task

    def on(self, encoder: Encoder) -> Pretraining:
        """Return the task on this encoder, with the decoder that was fitted first."""
        return replace(self, encoder=encoder, decoder=copy.deepcopy(self.decoder))

    @property
    def extra(self) -> list[Tensor]:
        """The decoder's weights."""
        return list(self.decoder.parameters())

    def train(self) -> None:
        """Do nothing: the decoder takes gradients as it is."""

    def loss(self, _progress: float, rng: np.random.Generator) -> Tensor:
        """Return the objective on one batch."""
        assert self.encoder
        return self.loss_of(self.encoder, self.batch_size, rng)

    def loss_of(self, encoder: Encoder, size: int, rng: np.random.Generator) -> Tensor:
        """Return the objective of an encoder on `size` molecules drawn at random."""
        chosen = rng.choice(len(self.corpus), min(size, len(self.corpus)), replace=False)
        batch = self.corpus.batch(chosen)
        first = self.corpus.offsets[chosen]
        targets = torch.from_numpy(self.targets[ranges(first, self.corpus.offsets[chosen + 1] - first)])
        device = next(encoder.parameters()).device
        return self.objective.loss(encoder, self.decoder, batch.to(device), targets.to(device), rng)
