"""What a head is: fitted once on all labels in closed form or by growing trees, so that no label is left for stopping.

A head reads `Inputs`, has one part a label column, and can be taken apart into arrays that say all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from roftmol.features.inputs import Inputs, Rows
from roftmol.heads.standardiser import Array
from roftmol.tasks import TaskType

Arrays = Mapping[str, NDArray[Any]]
#: What a kind of head fits to one label column.
ColumnHead = TypeVar("ColumnHead")


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of m molecules and t label columns."""

    mean: Array  #: m x t, in label units, or probabilities
    deviation: Array  #: m x t, how unsure the head is by itself: in label units; of classes, in units of 0 and 1


class Head(Protocol):
    """A fitted head of t label columns."""

    @property
    def parameters(self) -> int:
        """The numbers that were fitted."""

    @property
    def note(self) -> str:
        """What to say of the fit; "" if nothing is."""

    def predict(self, molecules: Inputs) -> Predicted:
        """Return predictions of m molecules."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of a head of one label column.

        Raises `ValueError` for a head of several.
        """


@dataclass(frozen=True)
class HeadKind:
    """How a kind of head is fitted and read.

    `fit` takes the inputs of n molecules, their labels n x t with NaN where one is missing, the kind of task, and a
    seed; `read` the arrays of a head. Of labels that may be limits, a head learns the limits or leaves them out.
    """

    fit: Callable[[Inputs, NDArray[np.floating], TaskType, int], Head]
    read: Callable[[Arrays], Head]


def fitted(
    Y: NDArray[np.floating], task: TaskType, one: Callable[[int, Rows, Array], ColumnHead]
) -> tuple[ColumnHead | float, ...]:
    """Return a head for every label column of Y, n x t, with two different values; for others, what predicts them.

    `one` takes the column's number, the rows that have its label, and these labels. A column of limits alone is
    predicted by their mean.
    """
    columns: list[ColumnHead | float] = []
    for number, y in enumerate(Y.T.astype(np.float64)):
        rows = np.flatnonzero(~np.isnan(y))
        values = task.values(y[rows])
        values = values[~np.isnan(values)]
        if len(np.unique(values)) < 2:
            constant = values[0] if len(values) else y[rows].mean() if len(rows) else task.unknown
            columns.append(float(constant))
        else:
            columns.append(one(number, rows, y[rows]))
    return tuple(columns)


def predicted(
    columns: Sequence[ColumnHead | float], molecules: int, one: Callable[[ColumnHead], tuple[Array, Array]]
) -> Predicted:
    """Return predictions of so many molecules: by `one`, which gives a column's mean and deviation, or the number."""
    mean = np.empty((molecules, len(columns)))
    deviation = np.zeros_like(mean)
    for number, column in enumerate(columns):
        if isinstance(column, float):
            mean[:, number] = column
        else:
            mean[:, number], deviation[:, number] = one(column)
    return Predicted(mean, deviation)


def column_of(columns: Sequence[ColumnHead | float]) -> ColumnHead | float:
    """Return the one column of a head.

    Raises `ValueError` for a head of several.
    """
    if len(columns) != 1:
        raise ValueError(f"arrays are of a head of one label column, and this one has {len(columns)}")
    return columns[0]


def constant_note(columns: Sequence[object]) -> str:
    """Say how many label columns had no two different labels; "" if none."""
    constant = sum(isinstance(column, float) for column in columns)
    return f"{constant} of {len(columns)} tasks constant in training, predicted so" if constant else ""
