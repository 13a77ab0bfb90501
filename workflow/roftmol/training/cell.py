"""The settings of the stages that fit in a cell of the benchmark: what is fitted, on which folds. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from roftmol.core.errors import UserError
from roftmol.methods import METHODS
from roftmol.tables import schemas
from roftmol.training.fit import Fold, Task, TrainSettings

#: What chooses a method, an encoder and a task type: of the code behind it, the chosen one counts alone.
CHOICES = ("roftmol.methods", "roftmol.encoders.kinds", "roftmol.registry.encoder_kinds", "roftmol.tasks")


@dataclass(frozen=True)
class FitConfiguration:
    """How the fits of a cell are made, beside what its columns say; column `configuration` is the digest of this."""

    task: str
    metric: str
    training: TrainSettings = field(default_factory=TrainSettings)
    extensive: bool = False
    auxiliary: str = ""
    together: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunSettings:
    """A cell, its seeds and grid, and how to train; the settings of the stages `finetune` and `interpolate`."""

    protocol: str
    model: str
    dataset: str
    split: str
    budget: str
    method: str
    task: str
    metric: str
    seeds: tuple[int, ...]
    grid: tuple[dict[str, Any], ...]
    training: TrainSettings = field(default_factory=TrainSettings)
    device: str = "auto"
    extensive: bool = False  #: whether the label grows with the molecule, for a head that can sum
    auxiliary: str = ""  #: what a method with a second task learns there: a name in `auxiliary.tasks.SOURCES`
    pictures: bool = False  #: whether a fit keeps atoms' vectors, before and after
    own_code: str = ""  #: the file of a user's own module, the only one that is run
    keep_weights: bool = False  #: whether heads are to read the encoders; what is mixed is kept in any case
    panel: str = ""  #: of a joint method, and of one that goes on from its weights: the panel that the dataset is in
    together: tuple[str, ...] = ()  #: and the panel's datasets

    @property
    def cell(self) -> dict[str, str]:
        """The columns that identify the cell."""
        return {column: getattr(self, column) for column in schemas.CELL}

    @property
    def second_task(self) -> str:
        """What a second task learns; "" where the method has none."""
        return self.auxiliary if METHODS[self.method].alternation else ""

    @property
    def configuration(self) -> FitConfiguration:
        """How the fits are made, beside what the columns say that identify them."""
        return FitConfiguration(self.task, self.metric, self.training, self.extensive, self.second_task, self.together)

    @property
    def predicted(self) -> Task:
        """What is predicted."""
        return Task(self.task, self.metric, self.extensive)

    def pictured(self, seed: int, fold: int) -> bool:
        """Return whether the fits of a seed and fold keep atoms' vectors: those of the first seed and fold do."""
        return self.pictures and seed == self.seeds[0] and fold == 0


def folds(assigned: pd.DataFrame, seed: int) -> Iterator[tuple[int, Fold]]:
    """Yield the folds of a seed in the table `splits`, with their numbers.

    Raises `UserError` if the seed is not in it or a role is empty.
    """
    of_seed = assigned[assigned["seed"] == seed]
    if of_seed.empty:
        raise UserError(f"the split has no seed {seed}; it has {sorted(assigned['seed'].unique())}")
    for number, rows in of_seed.groupby("fold"):
        molecules = {str(role): part.to_numpy(np.int64) for role, part in rows.groupby("role")["molecule"]}
        for role in ("train", "valid", "test"):
            if role not in molecules:
                raise UserError(
                    f"split seed {seed}, fold {number}: no {role} molecules; enlarge the budget or the data"
                )
        yield int(str(number)), Fold(**molecules)
