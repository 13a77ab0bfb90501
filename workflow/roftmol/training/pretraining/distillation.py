"""Distillation: predict a larger encoder's vectors, RDKit's descriptors and Morgan counts, all at once.

    L = mean over blocks b of  mean over molecules i and columns j in b, where y_ij is defined, of  huber(y_ij - p_ij)
    p_i = W [mean_a z_a, sum_a z_a / s] + c

z_a are the student's vectors of the molecule's atoms, s a constant; y is standardised and kept within `CLIP`
deviations. The blocks are the teacher's pooled vector, the sum of its atoms' vectors (`training/vectors.py`), the
descriptors and the counts (`targets.py`); each weighs alike, however wide it is. The map is linear, since heads that
are fitted in closed form read the vectors as they are, pooled and summed. Huber's error is x^2 / 2 up to |x| = 1 and
|x| - 1/2 beyond.

The teacher's vectors as targets: Romero et al. 2015 (FitNets, arXiv 1412.6550). Descriptors as targets: CheMeleon
(arXiv 2506.15792).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from roftmol.core.errors import UserError
from roftmol.encoders.base import Encoder
from roftmol.encoders.ops import Linear, sum_by
from roftmol.features import featurize
from roftmol.features.graphs import Batch, Graphs
from roftmol.training.pretraining.loop import Labels, Level

#: Standardised targets are kept within so many standard deviations.
CLIP = 5.0
#: Atoms of a usual molecule: sums are divided by it, so that both halves of what is read are of one size.
USUAL_ATOMS = 25.0
#: Columns that are standardised at a time: a corpus' targets are gigabytes.
COLUMNS = 128


@dataclass(frozen=True)
class Distillation:
    """What the objective is told: how many columns of the targets each block has; nothing: all are one block."""

    blocks: tuple[int, ...] = ()

    level: ClassVar[Level] = "molecule"
    merges: ClassVar[bool] = True

    def prepare(self, smiles: list[str], labels: Labels, processes: int) -> tuple[Graphs, npt.NDArray[np.float16]]:
        """Return the corpus as graphs, and the targets standardised column by column: molecules x columns.

        Raises `UserError` if the targets are not as wide as the blocks.
        """
        if not labels.shape[1]:
            raise UserError("objective distillation: there are no targets; name the recipe's `teacher`")
        if self.blocks and labels.shape[1] != sum(self.blocks):
            raise UserError(
                f"objective distillation: the targets have {labels.shape[1]} columns and the blocks "
                f"{' + '.join(map(str, self.blocks))}; give `blocks` of {labels.shape[1]} in all"
            )
        corpus = featurize.from_smiles(smiles, np.zeros((len(smiles), 0), np.float32), processes)
        return corpus, standardised(labels)

    def decoder(self, width: int, tasks: int) -> nn.Module:
        """Return a linear map from a molecule's vectors, pooled and summed, to its targets."""
        return Linear(2 * width, tasks)

    def loss(
        self, encoder: Encoder, decoder: nn.Module, batch: Batch, targets: Tensor, _rng: np.random.Generator
    ) -> Tensor:
        """Return the objective on one batch; `targets` is molecules x columns, NaN where undefined."""
        state = encoder.state(batch)
        total = sum_by(state.atoms, batch.graph, len(batch)) / USUAL_ATOMS
        predicted = decoder(torch.cat([encoder.pool(state, batch), total], 1))
        return mean_over_blocks(predicted, targets.float(), self.blocks or (targets.shape[1],))


def standardised(labels: npt.NDArray[np.floating]) -> npt.NDArray[np.float16]:
    """Return the columns with mean 0 and deviation 1, within +-CLIP; NaN where undefined, and in constant columns."""
    out = np.empty(labels.shape, np.float16)
    for first in range(0, labels.shape[1], COLUMNS):
        values = labels[:, first : first + COLUMNS].astype(np.float32)
        defined = np.isfinite(values)
        numbers = np.maximum(defined.sum(0), 1)
        mean = np.where(defined, values, 0.0).sum(0, dtype=np.float64) / numbers
        deviation = np.sqrt((np.where(defined, values - mean, 0.0) ** 2).sum(0) / numbers)
        deviation[deviation <= 1e-9 * np.maximum(np.abs(mean), 1.0)] = np.nan
        out[:, first : first + COLUMNS] = np.clip(np.where(defined, (values - mean) / deviation, np.nan), -CLIP, CLIP)
    return out


def mean_over_blocks(predicted: Tensor, targets: Tensor, blocks: tuple[int, ...]) -> Tensor:
    """Return the mean over blocks of columns of Huber's error, averaged over what is defined; both are b x columns."""
    defined = ~targets.isnan()
    error = F.smooth_l1_loss(predicted, torch.where(defined, targets, predicted.detach()), reduction="none")
    means = [
        part.sum() / count.sum().clamp(min=1)
        for part, count in zip(error.split(blocks, 1), defined.split(blocks, 1), strict=True)
    ]
    return torch.stack(means).mean()
