"""Masking of atoms, as in pretraining, as the second task of an encoder of molecular graphs.

The analogue of MFT for 2D: the objective (`pretrain/attribute_masking.py` or `pretrain/graphmae.py`) goes on, on
molecules of a pretraining corpus that are in no data set of the experiment. What decodes the atoms is not part of
published weights: it is drawn anew and first fitted to the pretrained encoder, which stays as it is meanwhile; every
fit starts from that.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from roftmol.core.errors import UserError
from roftmol.core.seeds import generator, seed_of
from roftmol.encoders import GNN, Encoder
from roftmol.features.graphs import Graphs, ranges
from roftmol.training.forward import Adam
from roftmol.training.pretraining import AttributeMasking, GraphMAE, Objective

#: The objectives that need no labels, by name.
OBJECTIVES: dict[str, Callable[[], Objective]] = {"attribute_masking": AttributeMasking, "graphmae": GraphMAE}
#: How the decoder is fitted first: steps, molecules a step, learning rate.
STEPS, BATCH, RATE = 200, 128, 1e-3


@dataclass(frozen=True, eq=False)
class Pretraining:
    """The task on a corpus, in batches of so many molecules."""

    objective: Objective
    corpus: Graphs
    targets: npt.NDArray[np.generic]  #: a row an atom
    decoder: nn.Module
    batch_size: int

    @classmethod
    def prepared(cls, objective: Objective, smiles: list[str], encoder: Encoder, batch_size: int) -> Pretraining:
        """The task with a decoder that was fitted to the encoder as it is.

        Raises `UserError` if the encoder has no mask, which those of Hu et al.'s vocabulary alone do.
        """
        if not isinstance(encoder, GNN):
            raise UserError("masking of atoms needs an encoder with Hu et al.'s vocabulary, which has a mask")
        corpus, targets = objective.prepare(smiles, np.empty((len(smiles), 0), np.float32), 1)
        device = next(encoder.parameters()).device
        torch.manual_seed(seed_of("auxiliary decoder"))
        task = cls(objective, corpus, targets, objective.decoder(encoder.width, 0).to(device), batch_size)
        still = copy.deepcopy(encoder).eval().requires_grad_(False)
        optimizer, rng = Adam(task.decoder.parameters(), RATE), generator("auxiliary decoder")
        for _ in range(STEPS):
            loss = task.loss(still, task.decoder, BATCH, rng)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return task

    def loss(self, encoder: Encoder, decoder: nn.Module, size: int, rng: np.random.Generator) -> Tensor:
        """The objective on `size` molecules drawn at random."""
        chosen = rng.choice(len(self.corpus), min(size, len(self.corpus)), replace=False)
        batch = self.corpus.batch(chosen)
        first = self.corpus.offsets[chosen]
        targets = torch.from_numpy(self.targets[ranges(first, self.corpus.offsets[chosen + 1] - first)])
        device = next(encoder.parameters()).device
        return self.objective.loss(encoder, decoder, batch.to(device), targets.to(device), rng)

    def branch(self, encoder: Encoder) -> PretrainingBranch:
        """The task on this encoder, with the decoder that was fitted first."""
        return PretrainingBranch(self, encoder)


class PretrainingBranch:
    """The task of one fit."""

    clip = math.inf

    def __init__(self, task: Pretraining, encoder: Encoder):
        self.task = task
        self.encoder = encoder
        self.decoder = copy.deepcopy(task.decoder)

    @property
    def extra(self) -> list[Tensor]:
        """The decoder's weights."""
        return list(self.decoder.parameters())

    def train(self) -> None:
        """The decoder takes gradients as it is."""

    def loss(self, _progress: float, rng: np.random.Generator) -> Tensor:
        """The objective on one batch."""
        return self.task.loss(self.encoder, self.decoder, self.task.batch_size, rng)
