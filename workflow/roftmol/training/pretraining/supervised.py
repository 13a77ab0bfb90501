"""Supervised multi-task pretraining: predict a molecule's properties, in the spirit of Graphium (arXiv 2310.04292).

    L = mean over tasks t of  mean over molecules i with a label of  |y_it - (W h_i + b)_t|

h_i is the molecule's pooled vector, as a fine-tuned head will see it; y are the labels, each task standardised over the
corpora. Tasks of different corpora meet in one batch: a molecule without a task's label does not count in its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from roftmol.core.errors import UserError
from roftmol.encoders.base import Encoder
from roftmol.encoders.ops import Linear
from roftmol.features import featurize
from roftmol.features.graphs import Batch, Graphs
from roftmol.training.pretraining.loop import Labels, Level


@dataclass(frozen=True)
class Supervised:
    """The objective has no hyperparameters."""

    level: ClassVar[Level] = "molecule"
    merges: ClassVar[bool] = True

    def prepare(self, smiles: list[str], labels: Labels, processes: int) -> tuple[Graphs, Labels]:
        """Return the corpus as graphs, and the labels standardised task by task: molecules x tasks.

        Raises `UserError` if there are no labels, or a task has a single value.
        """
        if not labels.shape[1]:
            raise UserError("objective supervised: the corpora have no labels and none are `computed`")
        deviation = np.nanstd(labels, 0, dtype=np.float64)
        if not (deviation > 0).all():
            constant = np.flatnonzero(~(deviation > 0)).tolist()
            raise UserError(f"objective supervised: the tasks {constant} (from 0) have one value or none")
        standardised = (labels - np.nanmean(labels, 0, dtype=np.float64)) / deviation
        corpus = featurize.from_smiles(smiles, np.zeros((len(smiles), 0), np.float32), processes)
        return corpus, standardised.astype(np.float32)

    def decoder(self, width: int, tasks: int) -> nn.Module:
        """Return a linear map from a molecule's vector to its properties."""
        return Linear(width, tasks)

    def loss(
        self, encoder: Encoder, decoder: nn.Module, batch: Batch, targets: Tensor, _rng: np.random.Generator
    ) -> Tensor:
        """Return the objective on one batch; `targets` is molecules x tasks, NaN where missing."""
        return mean_absolute_error(decoder(encoder(batch)), targets)


def mean_absolute_error(predicted: Tensor, targets: Tensor) -> Tensor:
    """Return the mean, over the tasks with a label, of their mean absolute error."""
    labelled = ~targets.isnan()
    error = (predicted - torch.where(labelled, targets, predicted.detach())).abs()
    molecules = labelled.sum(0)
    return (error.sum(0) / molecules.clamp(min=1)).sum() / (molecules > 0).sum().clamp(min=1)
