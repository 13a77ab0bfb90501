"""How sure a prediction is, from predictions of ensembles for molecules that they were not fitted on.

Regression: normalised conformal prediction (Papadopoulos et al. 2008, Neural networks regression inductive conformal
predictor, doi 10.1109/ICTAI.2008.118). With a difficulty sigma(x) and scores s_i = |y_i - mu_i| / sigma(x_i) of n
molecules, the interval of a new one at a level is mu(x) +- q sigma(x), where q is the ceil((n + 1) level)-th smallest
score. The difficulty is linear in two quantities that need no label: the spread of the members' predictions, and the
distance to the nearest training molecule.

Classification: Platt's logistic regression of the label on the logit, whose slope is always positive: its logarithm
has a normal prior (:func:`platt`). So the order of the molecules stays the model's own, however few labels there are.

Both are a :class:`Certainty`, which makes a bundle's columns for either kind of task.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear, minimize
from scipy.special import expit

from roftmol.tables.predicted_columns import PROBABILITY, VALUE
from roftmol.tasks import TaskType

#: The prior of a difficulty: half is constant, a quarter each comes from spread and distance.
BEFORE = (0.5, 0.25, 0.25)
#: The prior weighs as much as this many molecules.
MOLECULES = 10
#: No coefficient falls below this share of the mean residual: more spread or distance never makes a prediction surer.
LEAST = 0.05
ROUNDING = 1e-9  # 10 * 0.9 is 9
EDGE = 1e-6  # probabilities stay this far from 0 and 1, so that their logits are finite

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OutOfSample:
    """Predictions, in r rows, for molecules that an ensemble had neither for training nor for early stopping.

    A molecule may have several rows, each from another ensemble.
    """

    molecule: npt.NDArray[np.int64]  #: which of the labelled molecules
    prediction: Array  #: the members' mean, or a head's
    spread: Array  #: the members' standard deviation, or that of a head's process
    part: npt.NDArray[np.int64]  #: rows of one ensemble have one number

    def of(self, rows: npt.NDArray[np.bool_]) -> OutOfSample:
        """Return these rows."""
        return OutOfSample(self.molecule[rows], self.prediction[rows], self.spread[rows], self.part[rows])


class Certainty(Protocol):
    """How a bundle's outputs become columns that say how sure they are, calibrated on so many molecules."""

    kind: ClassVar[str]  #: its name on the card
    columns: ClassVar[tuple[str, ...]]

    @classmethod
    def of(cls, predicted: OutOfSample, labels: Array, distance: Array, level: float) -> Self:
        """Calibrate by the rows of `predicted`, with the label and the distance of each."""

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_card` wrote."""

    def to_card(self) -> dict[str, Any]:
        """Return the calibration as JSON."""

    def values(self, mean: Array, spread: Array, distance: Array) -> dict[str, Array]:
        """Return the columns; `distance` is to the nearest training molecule."""

    def words(self) -> str:
        """Describe the calibration in words."""


@dataclass(frozen=True)
class Difficulty:
    """sigma(x) = constant + of_spread spread(x) + of_distance distance(x), in label units."""

    constant: float
    of_spread: float
    of_distance: float

    @classmethod
    def of(cls, residuals: Array, spread: Array, distance: Array) -> Difficulty:
        """Fit |residual| by least squares with positive coefficients, drawn towards `BEFORE`."""
        mean = max(float(np.abs(residuals).mean()), np.finfo(float).tiny)
        units = np.array([1.0, spread.mean() or 1.0, distance.mean() or 1.0])
        X = np.stack([np.ones(len(residuals)), spread, distance], 1) / units
        weight = math.sqrt(MOLECULES)
        A = np.concatenate([X, weight * np.eye(3)])
        b = np.concatenate([np.abs(residuals) / mean, weight * np.array(BEFORE)])
        return cls(*(mean * lsq_linear(A, b, (LEAST, np.inf)).x / units).tolist())

    def __call__(self, spread: Array, distance: Array) -> Array:
        """Return the difficulty of molecules, above 0."""
        return self.constant + self.of_spread * spread + self.of_distance * distance


@dataclass(frozen=True)
class Intervals:
    """Prediction +- quantile * difficulty holds the label of a share `level` of molecules like the training molecules.

    `half_widths` are the tenth, median and ninetieth percentile of half the intervals' widths.
    """

    kind: ClassVar[str] = "normalised conformal"
    columns: ClassVar[tuple[str, ...]] = VALUE

    level: float
    quantile: float
    difficulty: Difficulty
    molecules: int
    half_widths: tuple[float, float, float]
    note: str = ""

    @classmethod
    def of(cls, predicted: OutOfSample, labels: Array, distance: Array, level: float) -> Intervals:
        """Calibrate by the rows of `predicted`, with the label and the distance of each.

        A row's difficulty comes from the other parts' residuals. Several rows of one molecule count as one in the
        quantile's rank.
        """
        residuals = np.abs(labels - predicted.prediction)
        sigma = np.empty(len(residuals))
        for part in np.unique(predicted.part):
            here = predicted.part == part
            of_others = Difficulty.of(residuals[~here], predicted.spread[~here], distance[~here])
            sigma[here] = of_others(predicted.spread[here], distance[here])
        n = len(np.unique(predicted.molecule))
        quantile, enough = conformal_quantile(residuals / sigma, level, n)
        difficulty = Difficulty.of(residuals, predicted.spread, distance)
        widths = quantile * np.quantile(difficulty(predicted.spread, distance), [0.1, 0.5, 0.9])
        note = "" if enough else f"{n} molecules are too few for this level"
        return cls(level, quantile, difficulty, n, tuple(widths.tolist()), note)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Intervals:
        """Read what :meth:`to_card` wrote."""
        plain = {name: card[name] for name in ("level", "quantile", "molecules", "note")}
        return cls(**plain, difficulty=Difficulty(**card["difficulty"]), half_widths=tuple(card["half_widths"]))

    def to_card(self) -> dict[str, Any]:
        """Return the intervals as JSON."""
        return {"kind": self.kind, **asdict(self), "half_widths": list(self.half_widths)}

    def half(self, spread: Array, distance: Array) -> Array:
        """Return half the width of molecules' intervals."""
        return self.quantile * self.difficulty(spread, distance)

    def values(self, mean: Array, spread: Array, distance: Array) -> dict[str, Array]:
        """Return the prediction and the interval around it."""
        half = self.half(spread, distance)
        return {"prediction": mean, "low": mean - half, "high": mean + half}

    def words(self) -> str:
        """Describe the intervals by their level and widths."""
        low, middle, high = self.half_widths
        return (
            f"{self.level:.0%} intervals, a width for each molecule: prediction ± {middle:.3g} in the middle, "
            f"{low:.3g} to {high:.3g} for eight in ten, from {_molecules(self.molecules)}"
            + (f" ({self.note})" if self.note else "")
        )


class Bin(NamedTuple):
    """Some molecules whose probabilities are alike."""

    probability: float  #: the mean of the predicted ones
    share: float  #: how many of them are of class 1
    molecules: int


@dataclass(frozen=True)
class Probabilities:
    """Platt's calibration: the logit of the predicted probability times `slope`, plus `intercept`.

    `brier` is the mean squared error of probabilities that were calibrated without their part, `brier_constant` that
    of the share of class 1; `reliability` compares these probabilities with the classes. Files of version 3 lack them.
    """

    kind: ClassVar[str] = "Platt"
    columns: ClassVar[tuple[str, ...]] = PROBABILITY

    slope: float
    intercept: float
    molecules: int
    brier: float | None = None
    brier_constant: float | None = None
    reliability: tuple[Bin, ...] = ()

    @classmethod
    def of(cls, predicted: OutOfSample, labels: Array, _distance: Array, _level: float) -> Probabilities:
        """Calibrate by the rows of `predicted` and the label of each."""
        p, constant = np.empty(len(labels)), np.empty(len(labels))
        for part in np.unique(predicted.part):
            here = predicted.part == part
            if len(np.unique(labels[~here])) < 2:  # nothing can be calibrated without this part
                p[here] = constant[here] = labels[~here].mean()
                continue
            slope, intercept = platt(predicted.prediction[~here], labels[~here])
            p[here] = _probability(predicted.prediction[here], slope, intercept)
            constant[here] = labels[~here].mean()
        return cls(
            *platt(predicted.prediction, labels),
            len(np.unique(predicted.molecule)),
            float(np.mean((p - labels) ** 2)),
            float(np.mean((constant - labels) ** 2)),
            reliability(p, labels),
        )

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Probabilities:
        """Read what :meth:`to_card` wrote."""
        scores = (card.get("brier"), card.get("brier_constant"))
        bins = tuple(Bin(*entry) for entry in card.get("reliability", ()))
        return cls(card["slope"], card["intercept"], card["molecules"], *scores, bins)

    def to_card(self) -> dict[str, Any]:
        """Return Platt's calibration as JSON."""
        return {"kind": self.kind, **asdict(self), "reliability": [list(entry) for entry in self.reliability]}

    def values(self, mean: Array, _spread: Array, _distance: Array) -> dict[str, Array]:
        """Return the calibrated probability of class 1."""
        return {"probability": _probability(mean, self.slope, self.intercept)}

    def words(self) -> str:
        """Describe the calibration by its slope, its Brier score and its reliability."""
        text = f"probabilities calibrated by Platt's method, slope {self.slope:.3g}, on {_molecules(self.molecules)}"
        if self.brier is None:
            return text
        bins = ", ".join(f"{one.share:.2f} where {one.probability:.2f} was predicted" for one in self.reliability)
        return (
            f"{text}; Brier score {self.brier:.3f}, of the share of class 1 alone {self.brier_constant:.3f}; "
            f"share of class 1: {bins}"
        )


def _probability(probabilities: Array, slope: float, intercept: float) -> Array:
    return np.asarray(expit(slope * logits(probabilities) + intercept))


def reliability(probabilities: Array, labels: Array, bins: int = 5) -> tuple[Bin, ...]:
    """Return predicted probabilities beside the share of class 1, in bins of equally many molecules."""
    order = np.argsort(probabilities, kind="stable")
    return tuple(
        Bin(float(probabilities[rows].mean()), float(labels[rows].mean()), len(rows))
        for rows in np.array_split(order, bins)
        if len(rows)
    )


KINDS: dict[str, type[Certainty]] = {kind.kind: kind for kind in (Probabilities, Intervals)}


def certainty_of(task: TaskType) -> type[Certainty]:
    """Return the kind of calibration for a task type."""
    return Probabilities if task.classes else Intervals


def from_card(card: Mapping[str, Any]) -> Certainty:
    """Read the calibration of a bundle's card."""
    return KINDS[card["kind"]].from_card(card)


def _molecules(count: int) -> str:
    return f"{count} molecules that other ensembles predicted without having them"


def conformal_quantile(scores: Array, level: float, molecules: int) -> tuple[float, bool]:
    """Return the ceil((n + 1) level)-th smallest of n scores and True, or the largest and False if n is too small.

    If molecules have several scores, it is the quantile of all scores at the share ceil((n + 1) level) / n, where n
    is the number of molecules.
    """
    rank = math.ceil((molecules + 1) * level - ROUNDING)
    rank_of_scores = math.ceil(min(rank, molecules) * len(scores) / molecules - ROUNDING)
    return float(np.sort(scores)[rank_of_scores - 1]), rank <= molecules


def logits(probabilities: npt.NDArray[Any]) -> Array:
    """Return log p / (1 - p), finite at the ends."""
    p = np.clip(np.asarray(probabilities, np.float64), EDGE, 1 - EDGE)
    return np.log(p / (1 - p))


def platt(probabilities: Array, labels: npt.NDArray[Any]) -> tuple[float, float]:
    """Return slope, above 0, and intercept of the label's logit on the prediction's.

    They minimise  sum_i log(1 + exp(-s_i (a x_i + b))) + (ln a)^2 / 2,  where x_i is a prediction's logit and s_i is 1
    or -1 by the label: the logarithm of the slope a has a standard normal prior. Where little can be learnt, a free
    slope is often negative: a model that lacks a part of the labels predicts the mean of the others, and the more of
    class 1 are in that part, the lower that mean is. This says nothing against the order of the predictions.
    """
    x, sign = logits(probabilities), np.where(labels > 0.5, 1.0, -1.0)

    def loss(theta: Array) -> tuple[float, Array]:
        slope = math.exp(theta[0])
        margin = sign * (slope * x + theta[1])
        pull = -sign * expit(-margin)  # the derivative by a x_i + b
        value = np.logaddexp(0, -margin).sum() + theta[0] ** 2 / 2
        return float(value), np.array([slope * (pull @ x) + theta[0], pull.sum()])

    share = np.clip(labels.mean(), EDGE, 1 - EDGE)
    start = np.array([0.0, float(logits(share)) - x.mean()])
    fitted = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-8, 8), (None, None)]).x
    return math.exp(fitted[0]), float(fitted[1])
