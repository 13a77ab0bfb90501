"""What the training loop knows of a second task."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from torch import Tensor

from roftmol.encoders.base import Encoder


class AuxiliaryTask(Protocol):
    """A second task with its data, for all fits of a job; :meth:`on` gives it for one of them.

    When its turn is, the method says (`methods.base.Alternation`).
    """

    def on(self, encoder: Encoder, /) -> Self:
        """Return the task on the encoder that a fit trains, from the same start for every fit."""

    @property
    def clip(self) -> float:
        """The largest norm of a step's gradient."""

    @property
    def extra(self) -> list[Tensor]:
        """What trains with it and is no part of the model."""

    def train(self) -> None:
        """Let what belongs to the task take gradients; called when a stage has said what trains."""

    def loss(self, progress: float, rng: np.random.Generator, /) -> Tensor:
        """Return the loss on one batch; `progress` rises from 0 to 1 over the epochs that are allowed."""
