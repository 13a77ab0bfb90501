"""What the training loop knows of a second task."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from roftmol.encoders import Encoder


class Branch(Protocol):
    """The second task of one fit, on the encoder that is being trained."""

    @property
    def clip(self) -> float:
        """The largest norm of a step's gradient."""

    @property
    def extra(self) -> list[Tensor]:
        """What trains with it and is no part of the model."""

    def train(self) -> None:
        """Let what belongs to the task take gradients; called when a stage has said what trains."""

    def loss(self, progress: float, rng: np.random.Generator, /) -> Tensor:
        """The loss on one batch; `progress` rises from 0 to 1 over the epochs that are allowed."""


class Auxiliary(Protocol):
    """A second task with its data, for all fits of a job."""

    def branch(self, encoder: Encoder, /) -> Branch:
        """The task on this encoder, from the same start for every fit."""
