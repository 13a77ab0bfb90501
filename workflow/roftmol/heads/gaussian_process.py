"""Gaussian process regression on a sum of kernels, whose weights and noise are the most probable ones.

    y = f + e,   f ~ N(0, K),   K = sum_i w_i K_i + c 11^T,   e ~ N(0, s),   y standardised
    log p(y | w, s) = -1/2 y^T A^-1 y - 1/2 log |A| + const,   A = K + s I

(Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, eq. 2.30; the gradient 5.9, leave-one-out 5.12.)
With few labels the evidence alone is flat, so weights and noise have log-normal priors. The constant has a wide one of
its own: the labels' mean is known no better than the labels say.

Of labels that are limits, values are expected (`limits.py`): given all others, y_i has the mean y_i - [A^-1 y]_i /
[A^-1]_ii and the variance 1 / [A^-1]_ii (5.12). With the expectations y and their variances v the evidence loses
1/2 sum_i v_i [A^-1]_ii, as in expectation maximisation (Dempster, Laird and Rubin 1977, J. R. Stat. Soc. B 39, 1), and
what is predicted varies by the values that nobody knows: its variance gains sum_i v_i [K A^-1]_i^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.optimize import minimize

from roftmol.heads.limits import MOVED, ROUNDS, Limits
from roftmol.heads.standardiser import Array

#: log w_i ~ N(log of an equal share of the variance, 1); log s ~ N(log 0.3, 1).
WEIGHT_SD = 1.0
NOISE, NOISE_SD = 0.3, 1.0
#: The prior variance of the constant, in variances of the labels.
CONSTANT = 10.0
#: Weights and noise stay above this: A can be inverted.
LEAST = 1e-6
ITERATIONS = 100
#: Of more training molecules than this, so many say what the weights are.
EVIDENCE = 600


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process given n labels."""

    weights: Array  #: one a kernel
    noise: float
    mean: float  #: of the labels
    deviation: float
    alpha: Array  #: A^-1 y, n
    inverse: Array  #: A^-1, n x n
    variances: Array  #: of the labels, 0 of values; standardised

    def predict(self, between: Array, diagonal: Array) -> tuple[Array, Array]:
        """Return the mean and the standard deviation of m new labels.

        `between`: kernels x m x n; `diagonal`: kernels x m.
        """
        K = np.tensordot(self.weights, between, 1) + CONSTANT
        mean = K @ self.alpha
        variance = self.weights @ diagonal + CONSTANT + self.noise - np.einsum("mn,nk,mk->m", K, self.inverse, K)
        if self.variances.any():
            variance += (K @ self.inverse) ** 2 @ self.variances
        return self.mean + self.deviation * mean, self.deviation * np.sqrt(np.maximum(variance, self.noise))

    def left_out(self) -> tuple[Array, Array]:
        """Return each training label's mean and standard deviation given all others.

        mu_i = y_i - [A^-1 y]_i / [A^-1]_ii,  sd_i = [A^-1]_ii^-1/2;  weights, noise and standardisation as they are.
        """
        diagonal = self.inverse.diagonal()
        y = np.linalg.solve(self.inverse, self.alpha)
        return self.mean + self.deviation * (y - self.alpha / diagonal), self.deviation / np.sqrt(diagonal)


def evidence(theta: Array, kernels: Array, y: Array, v: Array | None = None) -> tuple[float, Array]:
    """Return minus the log posterior of the weights and the noise, up to a constant, and its gradient.

    `theta`: log weights, then the log noise; `kernels`: k x n x n; `y`: n labels, standardised, and `v` the variances
    of those that are expectations.
    """
    k, n = len(kernels), len(y)
    values = np.exp(theta)
    A = np.tensordot(values[:k], kernels, 1) + CONSTANT
    A[np.diag_indices(n)] += values[k]
    factor = cho_factor(A, lower=True)
    alpha = cho_solve(factor, y)
    inverse = inverted(factor)
    inner = np.outer(alpha, alpha) - inverse
    unsure = 0.0
    if v is not None:
        inner += inverse * v @ inverse
        unsure = float(v @ inverse.diagonal())
    slopes = np.empty(k + 1)
    slopes[:k] = np.tensordot(kernels, inner, 2)
    slopes[k] = np.trace(inner)
    centre = np.full(k + 1, math.log(1 / max(k, 1)))
    centre[k] = math.log(NOISE)
    width = np.full(k + 1, WEIGHT_SD)
    width[k] = NOISE_SD
    off = (theta - centre) / width
    value = 0.5 * (y @ alpha + unsure) + np.log(np.diag(factor[0])).sum() + 0.5 * off @ off
    return float(value), -0.5 * values * slopes + off / width


def inverted(factor: tuple[Array, bool]) -> Array:
    """Return the inverse of a matrix whose lower Cholesky factor is given."""
    inverse, failed = lapack.dpotri(factor[0], lower=True)
    assert not failed
    return np.asarray(np.tril(inverse) + np.tril(inverse, -1).T)


def fit(kernels: Array, labels: Array, rng: np.random.Generator) -> Process:
    """Return the process given n labels; `kernels`: k x n x n between their molecules.

    With more than `EVIDENCE` labels, so many that `rng` draws say what the weights are.
    """
    y, _, _ = standardised(labels)
    chosen = _teaching(len(y), rng)
    theta = most_probable(kernels[:, chosen[:, None], chosen], y[chosen])
    return given(kernels, labels, np.exp(theta[:-1]), float(np.exp(theta[-1])))


def fit_limits(kernels: Array, limits: Limits, rng: np.random.Generator) -> tuple[Process, Array, Array]:
    """Return the process given n labels, some of which are limits; the values that it expects, and their variances.

    It is fitted to the values alone, and then again to all labels, as often as that moves what is expected.
    """
    known = np.flatnonzero(limits.sides == 0)
    process = fit(kernels[:, known[:, None], known], limits.numbers[known], rng)
    chosen = _teaching(len(limits.sides), rng)
    few = kernels[:, chosen[:, None], chosen]
    labels, variances = limits.numbers.copy(), np.zeros(len(limits.sides))
    theta = np.log([*process.weights, process.noise])
    unit = process.deviation
    for _ in range(ROUNDS):
        before = labels.copy()
        process = _expected(kernels, limits, theta, unit, labels, variances)
        if np.abs(labels - before).max() < MOVED * unit:
            break
        y, _, unit = standardised(labels)
        theta = most_probable(few, y[chosen], variances[chosen] / unit**2, theta)
    return process, labels, variances


def _expected(kernels: Array, limits: Limits, theta: Array, unit: float, labels: Array, variances: Array) -> Process:
    """Put what is expected by these weights into `labels` and `variances`, and return the process given them.

    `unit` is the deviation of the labels that the weights were fitted to.
    """
    weights, noise = np.exp(theta[:-1]), float(np.exp(theta[-1]))
    precision = given(kernels, labels, weights, noise).inverse / unit**2
    mean = labels.mean()
    alpha = precision @ (labels - mean)

    def conditional(row: int) -> tuple[float, float]:
        return float(labels[row] - alpha[row] / precision[row, row]), float(1 / precision[row, row])

    def moved(row: int, step: float) -> None:
        nonlocal alpha
        alpha += step * precision[row]

    limits.settle(labels, variances, conditional, moved)
    return given(kernels, labels, weights, noise, variances)


def _teaching(labels: int, rng: np.random.Generator) -> NDArray[np.integer]:
    """Return which of so many labels say what the weights are."""
    return np.sort(rng.choice(labels, EVIDENCE, replace=False)) if labels > EVIDENCE else np.arange(labels)


def given(kernels: Array, labels: Array, weights: Array, noise: float, variances: Array | None = None) -> Process:
    """Return the process given n labels, with these weights and this noise; `variances` are those of the labels."""
    y, mean, deviation = standardised(labels)
    A = np.tensordot(weights, kernels, 1) + CONSTANT
    A[np.diag_indices(len(y))] += noise
    factor = cho_factor(A, lower=True)
    v = np.zeros(len(y)) if variances is None else variances / deviation**2
    return Process(weights, noise, mean, deviation, cho_solve(factor, y), inverted(factor), v)


def standardised(labels: Array) -> tuple[Array, float, float]:
    """Return labels of mean 0 and deviation 1, and what these were; equal labels have a deviation of 1."""
    mean = float(labels.mean())
    deviation = float(labels.std()) or 1.0
    return (labels - mean) / deviation, mean, deviation


def most_probable(kernels: Array, y: Array, v: Array | None = None, start: Array | None = None) -> Array:
    """Return the log weights and the log noise that are most probable given standardised labels.

    `v` are the variances of labels that are expectations; the search begins at `start`.
    """
    k = len(kernels)
    if start is None:
        start = np.full(k + 1, math.log(1 / max(k, 1)))
        start[k] = math.log(NOISE)
    bounds = [(math.log(LEAST), math.log(1 / LEAST))] * (k + 1)
    options = {"maxiter": ITERATIONS}
    given = (kernels, y) if v is None else (kernels, y, v)
    return minimize(evidence, start, given, "L-BFGS-B", jac=True, bounds=bounds, options=options).x
