"""The linear head: ridge regression, or logistic regression, on an encoder's standardised vectors.

    ridge      min_w,b  ||y - Z w - b||^2 + alpha ||w||^2    alpha has the least squared error of leave-one-out, exactly
    logistic   min_w,b  sum log loss + alpha / 2 ||w||^2     alpha has the least log loss of a cross-validation of five

It is linear probing without an epoch to choose: no molecule is left for validation.

Of labels that are limits, values are expected (`limits.py`). With H = 11^T / n + Z (Z^T Z + alpha)^-1 Z^T, Z centred,
and the residuals r = (1 - H) y, label i has given all others the mean y_i - r_i / (1 - h_ii) and the variance
s^2 / (1 - h_ii), where s^2 = (y^T r + sum_i v_i (1 - h_ii)) / (n - 1) and v are the variances of what is expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roftmol.core.seeds import generator
from roftmol.features.inputs import Inputs, Rows
from roftmol.heads import kernel_logistic
from roftmol.heads.base import Arrays, HeadKind, Predicted, column_of, constant_note, fitted, predicted
from roftmol.heads.kernels import linear
from roftmol.heads.limits import MOVED, ROUNDS, Limits
from roftmol.heads.standardiser import Array, Standardiser
from roftmol.tasks import TaskType

#: Penalties that are tried, in units of a standardised vector's squared length.
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)
#: A class that was never seen has this probability, where a logit is asked for.
SUREST = 0.01
#: A label's own share of its prediction is below 1 by so much.
LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Column:
    """The head of one label column."""

    w: Array  #: d
    b: float

    def predict(self, Z: Array, classes: bool) -> Array:
        """Return values or probabilities of m molecules, Z m x d."""
        f = Z @ self.w + self.b
        return kernel_logistic.sigmoid(f) if classes else f


@dataclass(frozen=True, eq=False)
class LinearHead:
    """A linear map for every label column that had two different labels, and what the others are predicted by."""

    standardiser: Standardiser
    columns: tuple[Column | float, ...]
    classes: bool

    @property
    def parameters(self) -> int:
        """The numbers that were fitted."""
        return sum(len(column.w) + 1 for column in self.columns if isinstance(column, Column))

    @property
    def note(self) -> str:
        """What to say of the fit; "" if nothing is."""
        return constant_note(self.columns)

    def predict(self, molecules: Inputs) -> Predicted:
        """Return predictions of m molecules; a linear map is as sure of one as of another."""
        assert molecules.vectors is not None
        Z = self.standardiser(molecules.vectors)
        sure = np.zeros(len(molecules))
        return predicted(self.columns, len(molecules), lambda column: (column.predict(Z, self.classes), sure))

    def on_vectors(self, width: int) -> tuple[Array, Array]:
        """Return the same map of vectors as they are: t x d weights and t intercepts of values or logits.

        It knows no bounds: where a standardised number lies beyond them, it differs from :meth:`predict`.
        """
        W = np.zeros((len(self.columns), width))
        b = np.zeros(len(self.columns))
        for number, column in enumerate(self.columns):
            if isinstance(column, Column):
                w = column.w / self.standardiser.deviation
                W[number, self.standardiser.columns] = w
                b[number] = column.b - w @ self.standardiser.mean
            elif self.classes:
                p = min(max(column, SUREST), 1 - SUREST)
                b[number] = np.log(p / (1 - p))
            else:
                b[number] = column
        return W, b

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of a head of one label column.

        Raises `ValueError` for a head of several.
        """
        column = column_of(self.columns)
        if not isinstance(column, Column):
            return {"constant": np.array([column])}
        standardiser = {name: getattr(self.standardiser, name) for name in ("columns", "mean", "deviation")}
        return {"w": column.w, "b": np.array([column.b]), "classes": np.array([int(self.classes)]), **standardiser}


def fit(train: Inputs, Y: NDArray[np.floating], task: TaskType, seed: int) -> LinearHead:
    """Return the head of n molecules with labels n x t, NaN where one is missing."""
    assert train.vectors is not None
    standardiser = Standardiser.of(train.vectors)
    Z = standardiser(train.vectors)

    def one(number: int, rows: Rows, y: Array) -> Column:
        if task.classes:
            return _logistic(Z[rows], y, generator("ridge", seed, number))
        limits = Limits.of(y, task)
        return _ridge(Z[rows], limits) if limits else _column(_least_squares(Z[rows], task.values(y)))

    return LinearHead(standardiser, fitted(Y, task, one), task.classes)


def _least_squares(Z: Array, y: Array) -> Any:
    """Return scikit-learn's ridge regression with the best of the penalties."""
    from sklearn.linear_model import RidgeCV

    return RidgeCV(np.array(PENALTIES) * Z.shape[1]).fit(Z, y)


def _column(ridge: Any) -> Column:
    return Column(ridge.coef_, float(ridge.intercept_))


def _ridge(Z: Array, limits: Limits) -> Column:
    """Return the ridge regression of n labels, some of which are limits: fitted as often as their values move.

    It begins with what the values alone teach.
    """
    known = limits.sides == 0
    y, v = limits.numbers.copy(), np.zeros(len(limits.numbers))
    ridge = _least_squares(Z[known], y[known])
    y[~known] = np.where(limits.sides * (ridge.predict(Z) - y) > 0, ridge.predict(Z), y)[~known]
    for _ in range(ROUNDS):
        before = y.copy()
        _expect(Z - Z.mean(0), limits, float(ridge.alpha_), y, v)
        ridge = _least_squares(Z, y)
        if np.abs(y - before).max() < MOVED * y.std():
            break
    return _column(ridge)


def _expect(Z: Array, limits: Limits, alpha: float, y: Array, v: Array) -> None:
    """Put into y and v what ridge regression of this penalty expects behind limits, and how that varies; Z centred."""
    # G y are the weights, and h says how much of a prediction its label makes.
    G = np.linalg.solve(Z.T @ Z + alpha * np.eye(Z.shape[1]), Z.T)
    left = np.maximum(1 - 1 / len(y) - np.einsum("nd,dn->n", Z, G), LEAST)
    w, mean = G @ y, y.mean()
    s2 = float((y @ (y - mean - Z @ w) + v @ left) / (len(y) - 1))

    def conditional(row: int) -> tuple[float, float]:
        return float(y[row] - (y[row] - mean - Z[row] @ w) / left[row]), float(s2 / left[row])

    def moved(row: int, step: float) -> None:
        nonlocal w, mean
        w = w + step * G[:, row]
        mean += step / len(y)

    limits.settle(y, v, conditional, moved)


def _logistic(Z: Array, y: Array, rng: np.random.Generator) -> Column:
    # By its dual, w = Z^T a / d: n numbers to find, and not as many as a vector is wide.
    dual, _ = kernel_logistic.fit(linear(Z, Z)[None], np.ones(1), y, kernel_logistic.dealt(y, rng))
    return Column(Z.T @ dual.a / Z.shape[1], dual.b)


def read(arrays: Arrays) -> LinearHead:
    """Return the head that :meth:`LinearHead.arrays` took apart."""
    if "constant" in arrays:
        nothing = Standardiser(np.empty(0, np.int64), np.empty(0), np.empty(0))
        return LinearHead(nothing, (float(arrays["constant"][0]),), False)
    standardiser = Standardiser(arrays["columns"], arrays["mean"], arrays["deviation"])
    return LinearHead(standardiser, (Column(arrays["w"], float(arrays["b"][0])),), bool(arrays["classes"][0]))


KIND = HeadKind(fit, read)
