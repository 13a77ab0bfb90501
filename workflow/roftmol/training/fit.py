"""What a fit is made of: a method and its hyperparameters, molecules, a task, and how it is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from roftmol.methods.base import Method, Settings
from roftmol.methods.protocols import Protocol
from roftmol.tasks import TASKS, TaskType

if TYPE_CHECKING:
    from roftmol.features.graphs import Graphs
    from roftmol.training.auxiliary.base import AuxiliaryTask


class DivergedError(Exception):
    """The loss stopped being a number."""


@dataclass(frozen=True)
class TrainSettings:
    """Adam, batches of `batch_size`, the best of `epochs` by validation; dropout in the encoder's blocks.

    `steps`, if not 0, counts in place of `epochs`: as many epochs as hold that many batches.
    """

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    patience: int = 20  #: epochs without improvement before stopping, where the protocol allows
    dropout: float = 0.5
    steps: int = 0

    def epochs_of(self, molecules: int) -> int:
        """Return the most epochs for so many training molecules."""
        return math.ceil(self.steps / math.ceil(molecules / self.batch_size)) if self.steps else self.epochs


@dataclass(frozen=True)
class Task:
    """What is predicted: the kind of loss, the metric that selects, and whether a label grows with the molecule."""

    kind: str  #: a name in `tasks.TASKS`
    metric: str
    extensive: bool = False  #: read by heads that pool atoms' outputs themselves: they sum them

    @property
    def type(self) -> TaskType:
        """What is known of this kind of label."""
        return TASKS[self.kind]


@dataclass(frozen=True, eq=False)
class Fold:
    """Which molecules train, validate and test one fit."""

    train: npt.NDArray[np.int64]
    valid: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    #: In distribution, beside a test out of it.
    test_id: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def held_out(self) -> npt.NDArray[np.int64]:
        """Validation, test, and the test in distribution where there is one."""
        return np.concatenate([self.valid, self.test, self.test_id])


@dataclass(frozen=True, eq=False)
class Fit:
    """One fit: everything that its result depends on, but for the encoder that it starts from."""

    method: Method
    hyperparameters: Settings
    graphs: Graphs
    fold: Fold
    task: Task
    protocol: Protocol
    training: TrainSettings = field(default_factory=TrainSettings)  #: mixing reads none of it
    seed: int = 0
    auxiliary: AuxiliaryTask | None = None  #: for methods with a second task
