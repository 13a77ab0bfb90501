"""The learning curve of a fit, and which of its epochs is the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from roftmol.tasks import METRICS


@dataclass(frozen=True)
class Epoch:
    """One point of the learning curve."""

    stage: int
    epoch: int  #: 0 is what a stage starts from, or a head that was fitted in closed form
    train_loss: float
    valid_loss: float
    valid_metric: float


def selection_key(metric: str, value: float, loss: float) -> tuple[float, float]:
    """Return what to minimise over epochs: the worse metric first, then the higher loss; the latter alone if undefined.

    A metric of numbers is undefined in every epoch or in none: the validation labels alone decide that. Where
    predictions are no numbers, the loss is none either, and nothing is worse.
    """
    if not math.isfinite(loss):
        return math.inf, math.inf
    return (0.0 if math.isnan(value) else -METRICS[metric].sign * value, loss)


def best_epoch(curve: Sequence[Epoch], metric: str) -> Epoch:
    """Return the epoch of the last stage whose weights a fit keeps."""
    last = [point for point in curve if point.stage == curve[-1].stage]
    return min(last, key=lambda point: selection_key(metric, point.valid_metric, point.valid_loss))
