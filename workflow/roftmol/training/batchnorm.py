"""BatchNorm's statistics are those of a model's own training molecules under its own weights.

Running averages move by a tenth a step, and with few molecules the weights move faster: 40 molecules make two steps an
epoch. A model that is validated with them is judged by weights that it has not. So the statistics are estimated anew
wherever weights have changed (Izmailov et al. 2018, arXiv 1803.05407, section 3.2): the training molecules pass once
without dropout, and every BatchNorm takes the mean and the variance of what reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

from roftmol.core.seeds import generator
from roftmol.encoders.base import Encoder, Norm, norms
from roftmol.features.graphs import Batch, Indices

AnyBatch = TypeVar("AnyBatch")

#: At most so many training molecules pass: they have some ten thousand atoms, and more would cost and tell little.
SAMPLE = 512


def sample(train: Indices, seed: int) -> npt.NDArray[np.int64]:
    """Return the training molecules whose statistics are taken, in an order drawn by the seed."""
    return generator("norm sample", seed).permutation(train)[:SAMPLE]


@torch.no_grad()
def estimate(layers: Sequence[Norm], batches: Iterable[AnyBatch], forward: Callable[[AnyBatch], object]) -> None:
    """Give the BatchNorm `layers` the mean over `batches` of the statistics of what reaches them in `forward`.

    All modules that `forward` runs have to be in eval mode; the layers are left in it.
    """
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
        layer.train()
    for batch in batches:
        forward(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        layer.eval()


def estimate_all(encoder: Encoder, batches: Iterable[Batch]) -> None:
    """Estimate the statistics of every BatchNorm of the encoder on these batches; it is left in eval mode."""
    encoder.eval()
    estimate(norms(encoder), batches, encoder)
