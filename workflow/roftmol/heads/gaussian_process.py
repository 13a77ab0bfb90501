"""Gaussian process regression on a sum of kernels, whose weights and noise are the most probable ones.

    y = f + e,   f ~ N(0, K),   K = sum_i w_i K_i + c 11^T,   e ~ N(0, s),   y standardised
    log p(y | w, s) = -1/2 y^T A^-1 y - 1/2 log |A| + const,   A = K + s I

(Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, eq. 2.30; the gradient 5.9, leave-one-out 5.12.)
With few labels the evidence alone is flat, so weights and noise have log-normal priors. The constant has a wide one of
its own: the labels' mean is known no better than the labels say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, lapack
from scipy.optimize import minimize

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

    def predict(self, between: Array, diagonal: Array) -> tuple[Array, Array]:
        """Return the mean and the standard deviation of m new labels.

        `between`: kernels x m x n; `diagonal`: kernels x m.
        """
        K = np.tensordot(self.weights, between, 1) + CONSTANT
        mean = K @ self.alpha
        variance = self.weights @ diagonal + CONSTANT + self.noise - np.einsum("mn,nk,mk->m", K, self.inverse, K)
        return self.mean + self.deviation * mean, self.deviation * np.sqrt(np.maximum(variance, self.noise))

    def left_out(self) -> tuple[Array, Array]:
        """Return each training label's mean and standard deviation given all others.

        mu_i = y_i - [A^-1 y]_i / [A^-1]_ii,  sd_i = [A^-1]_ii^-1/2;  weights, noise and standardisation as they are.
        """
        diagonal = self.inverse.diagonal()
        y = np.linalg.solve(self.inverse, self.alpha)
        return self.mean + self.deviation * (y - self.alpha / diagonal), self.deviation / np.sqrt(diagonal)


def evidence(theta: Array, kernels: Array, y: Array) -> tuple[float, Array]:
    """Return minus the log posterior of the weights and the noise, up to a constant, and its gradient.

    `theta`: log weights, then the log noise; `kernels`: k x n x n; `y`: n labels, standardised.
    """
    k, n = len(kernels), len(y)
    values = np.exp(theta)
    A = np.tensordot(values[:k], kernels, 1) + CONSTANT
    A[np.diag_indices(n)] += values[k]
    factor = cho_factor(A, lower=True)
    alpha = cho_solve(factor, y)
    inverse = inverted(factor)
    inner = np.outer(alpha, alpha) - inverse
    slopes = np.empty(k + 1)
    slopes[:k] = np.tensordot(kernels, inner, 2)
    slopes[k] = np.trace(inner)
    centre = np.full(k + 1, math.log(1 / max(k, 1)))
    centre[k] = math.log(NOISE)
    width = np.full(k + 1, WEIGHT_SD)
    width[k] = NOISE_SD
    off = (theta - centre) / width
    value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * off @ off
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
    chosen = np.arange(len(y))
    if len(y) > EVIDENCE:
        chosen = np.sort(rng.choice(len(y), EVIDENCE, replace=False))
    theta = most_probable(kernels[:, chosen[:, None], chosen], y[chosen])
    return given(kernels, labels, np.exp(theta[:-1]), float(np.exp(theta[-1])))


def given(kernels: Array, labels: Array, weights: Array, noise: float) -> Process:
    """Return the process given n labels, with these weights and this noise."""
    y, mean, deviation = standardised(labels)
    A = np.tensordot(weights, kernels, 1) + CONSTANT
    A[np.diag_indices(len(y))] += noise
    factor = cho_factor(A, lower=True)
    return Process(weights, noise, mean, deviation, cho_solve(factor, y), inverted(factor))


def standardised(labels: Array) -> tuple[Array, float, float]:
    """Return labels of mean 0 and deviation 1, and what these were; equal labels have a deviation of 1."""
    mean = float(labels.mean())
    deviation = float(labels.std()) or 1.0
    return (labels - mean) / deviation, mean, deviation


def most_probable(kernels: Array, y: Array) -> Array:
    """Return the log weights and the log noise that are most probable given standardised labels."""
    k = len(kernels)
    start = np.full(k + 1, math.log(1 / max(k, 1)))
    start[k] = math.log(NOISE)
    bounds = [(math.log(LEAST), math.log(1 / LEAST))] * (k + 1)
    options = {"maxiter": ITERATIONS}
    return minimize(evidence, start, (kernels, y), "L-BFGS-B", jac=True, bounds=bounds, options=options).x
