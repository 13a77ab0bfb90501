"""Kernel logistic regression: probabilities from a sum of kernels.

    minimise over a, b:   sum_i log(1 + exp(-s_i f_i)) + lambda / 2 a^T K a,   f = K a + b,   s = +-1

(Zhu and Hastie 2005, Kernel logistic regression and the import vector machine, doi 10.1198/106186005X25619.) Newton's
step is a weighted kernel ridge regression with a free intercept; it is repeated until f stands still. K's weights are
a Gaussian process' given the classes as numbers; lambda has the least log loss out of fold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from roftmol.features.inputs import Rows
from roftmol.heads.standardiser import Array

LAMBDAS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FOLDS = 5
STEPS, STILL = 50, 1e-6
#: A molecule's weight p (1 - p) in a step is no smaller.
LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Classifier:
    """Kernel logistic regression, fitted on n molecules."""

    weights: Array  #: one a kernel
    a: Array  #: n
    b: float
    penalty: float

    def predict(self, between: Array) -> Array:
        """Return probabilities of class 1 of m molecules; `between`: kernels x m x n."""
        return sigmoid(np.tensordot(self.weights, between, 1) @ self.a + self.b)


def sigmoid(f: Array) -> Array:
    """Return 1 / (1 + exp(-f)) without overflow."""
    return 0.5 * (1 + np.tanh(f / 2))


def solve(K: Array, y: Array, penalty: float) -> tuple[Array, float]:
    """Return a and b for classes 0 and 1 of n molecules, K n x n."""
    a, b, f = np.zeros(len(y)), 0.0, np.zeros(len(y))
    for _ in range(STEPS):
        p = sigmoid(f)
        weight = np.maximum(p * (1 - p), LEAST)
        A = K.copy()
        A[np.diag_indices(len(y))] += penalty / weight
        factor = cho_factor(A, lower=True)
        target = f + (y - p) / weight
        against, ones = cho_solve(factor, np.stack([target, np.ones(len(y))], 1)).T
        b = float(against.sum() / ones.sum())
        a = against - b * ones
        moved = K @ a + b
        if np.abs(moved - f).max() < STILL:
            break
        f = moved
    return a, b


def fit(kernels: Array, weights: Array, classes: Array, folds: NDArray[np.integer]) -> tuple[Classifier, Array]:
    """Return the classifier, and each molecule's probability by one that did not have its fold.

    `kernels`: k x n x n; `folds`: the fold of each molecule.
    """
    K = np.tensordot(weights, kernels, 1)
    out_of_fold = np.empty((len(LAMBDAS), len(classes)))
    for fold in np.unique(folds):
        held = folds == fold
        for number, penalty in enumerate(LAMBDAS):
            a, b = solve(K[np.ix_(~held, ~held)], classes[~held], penalty)
            out_of_fold[number, held] = sigmoid(K[np.ix_(held, ~held)] @ a + b)
    p = np.clip(out_of_fold, 1e-7, 1 - 1e-7)
    losses = -(classes * np.log(p) + (1 - classes) * np.log(1 - p)).mean(1)
    best = int(losses.argmin())
    a, b = solve(K, classes, LAMBDAS[best])
    return Classifier(weights, a, b, LAMBDAS[best]), out_of_fold[best]


def dealt(classes: Array, rng: np.random.Generator, substances: Rows | None = None) -> NDArray[np.integer]:
    """Return a fold for each molecule, both classes dealt evenly; forms of a substance have that of its first one.

    They do not where no fold but one would then have a class.
    """
    folds = np.empty(len(classes), np.int64)
    first = 0
    for value in (0.0, 1.0):
        members = rng.permutation(np.flatnonzero(classes == value))
        folds[members] = (first + np.arange(len(members))) % FOLDS
        first += len(members)  # so that the folds are of one size
    if substances is None:
        return folds
    _, firsts, of = np.unique(substances, return_index=True, return_inverse=True)
    together = folds[firsts][of]
    learnable = all(len(np.unique(classes[together != fold])) == 2 for fold in np.unique(together))
    return together if learnable else folds
