"""What a kind of label is, as data and functions: how it is learnt, scored, dealt into strata and told.

Labels are numbers, NaN where one is missing; of n molecules and t label columns an n x t array. What a number means is
the task type's alone: everyone else hands labels to its functions.

Every start of Snakemake reads the task types and computes nothing, so torch, scipy and scikit-learn are imported within
the functions that need them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

#: Fields, by class, that no number of a fit depends on.
TOLD_TO_READERS = {
    "Metric": frozenset({"title", "range", "constant"}),
    "Primary": frozenset({"title", "range", "constant", "region"}),
    "TaskType": frozenset({"labels_are", "loss_title", "squared_error", "constant_title", "explained", "with_limits"}),
}

Array = NDArray[np.floating]
Doubles = NDArray[np.float64]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class Region:
    """A difference that makes no difference to who uses the model, and why; a ratio for metrics in label units."""

    size: float
    reason: str

    def contains(self, low: float, high: float, relative: bool) -> bool:
        """Whether an interval of effects lies within; the logarithm of a ratio is one for `relative`."""
        edge = np.log1p(self.size) if relative else self.size
        return bool(-edge <= low and high <= edge)


@dataclass(frozen=True, eq=False, kw_only=True)
class Metric:
    """A score of one label column's predictions, and all that is known of it."""

    name: str  #: in tables and settings
    title: str  #: on axes and in tables
    better: Literal["higher", "lower"]
    #: n labels and n predictions -> the score; NaN where it is undefined.
    score: Callable[[Array, Array], float]
    range: tuple[float, float] = (0.0, 1.0)
    #: Whether its unit is that of the labels: values on two datasets cannot be averaged then, but ratios can.
    in_label_units: bool = False
    constant: float | None = None  #: what predicting one number for all molecules gets, if that is always the same

    @property
    def sign(self) -> int:
        """+1 for a metric to maximise, -1 for one to minimise."""
        return 1 if self.better == "higher" else -1


@dataclass(frozen=True, eq=False, kw_only=True)
class Primary(Metric):
    """A metric that selects and ranks, so that statistics are made of it."""

    region: Region  #: of practical equivalence
    #: n labels, n predictions and B x n weights -> B scores, with molecule i counted weights[b, i] times.
    weighted: Callable[[Array, Array, Array], Array]
    #: n x t labels -> how many molecules an interval of the score goes by: those of the label column with most.
    counted: Callable[[Doubles], int]


class Strata(NamedTuple):
    """The stratum of each molecule, and whether these are classes, each of which a draw should represent."""

    of: Ints
    classes: bool


class Limits(NamedTuple):
    """How labels hold limits, beside values; -1, 0 and 1 say whether the value lies below, at or above a number."""

    encoded: Callable[[Doubles, Ints], Doubles]  #: numbers and sides -> labels
    sides: Callable[[Array], Ints]  #: of labels
    numbers: Callable[[Array], Doubles]


class SquaredError(NamedTuple):
    """What the mean of (prediction - label)^2 is called, or its root."""

    name: str  #: in tables
    title: str
    root: bool


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskType:
    """A kind of label."""

    name: str  #: in the configuration and in tables
    #: Whether labels are two classes, 0 and 1, and predictions probabilities of 1. Others are both values in one unit.
    classes: bool
    primary: Primary  #: what selects and ranks
    further: tuple[Metric, ...]
    #: What a label is written as -> its number; None for what is no label, `ValueError` for what is no number.
    read: Callable[[str | float], float | None]
    labels_are: str  #: what `read` takes, in words
    #: Labels and predictions of all labelled entries -> what validation compares where the metric is undefined or tied.
    loss: Callable[[Array, Array], float]
    loss_title: str  #: on axes
    #: The head's outputs for all labelled entries of a batch and their labels, standardised, -> what is descended; the
    #: third is whether the protocol takes the root of a squared error.
    training_loss: Callable[[Tensor, Tensor, bool], Tensor]
    #: Training labels (n x t) -> shift and scale of each column (t); None: labels are learnt as they are.
    scaling: Callable[[Doubles], tuple[Doubles, Doubles]] | None
    #: The head's outputs b x t, shift and scale -> predictions.
    predictions: Callable[[Tensor, Tensor, Tensor], Tensor]
    strata: Callable[[Doubles], Strata]  #: n x t labels, one at least in each row -> what a draw should keep even
    squared_error: SquaredError
    unknown: float  #: what is predicted without any label
    constant_title: str  #: what the constant predictor predicts, in words
    #: Labels -> those that are a value of their own, NaN elsewhere: what means, diagnostics of errors, and models
    #: without an encoder go by.
    values: Callable[[Doubles], Doubles] = lambda labels: labels
    #: Labels b x t, shift and scale -> labels as `training_loss` takes them.
    standardised: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda labels, shift, scale: (labels - shift) / scale
    explained: Metric | None = None  #: R2, which tables and sentences show beside the primary metric
    limits: Limits | None = None  #: for kinds whose labels may be limits
    with_limits: str = ""  #: the kind whose labels are the same values, and limits; "" where there is none

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Every metric, the primary one first."""
        return (self.primary, *self.further)


def tenths(values: Doubles) -> Ints:
    """Return which tenth of all values each lies in; one on an edge belongs below, so many equal ones make one."""
    edges = np.unique(np.quantile(values, np.arange(1, 10) / 10))
    return np.searchsorted(edges, values)
