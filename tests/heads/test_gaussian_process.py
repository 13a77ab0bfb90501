"""The Gaussian process: evidence and predictions against scikit-learn's, leave-one-out against leaving one out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel

from roftmol.features.inputs import Inputs
from roftmol.heads import gaussian_process
from roftmol.heads.gaussian_process import CONSTANT, NOISE, NOISE_SD, WEIGHT_SD, Process, evidence, fit
from roftmol.heads.kernels import Kernels

D = 4


def drawn(n: int, seed: int = 0, noise: float = 0.3) -> tuple[Inputs, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, D))
    return Inputs(n, vectors=X), 5 + 2 * X[:, 0] + np.sin(2 * X[:, 1]) + rng.normal(scale=noise, size=n)


def test_the_evidence_is_a_normal_density_and_its_gradient_right():
    inputs, y = drawn(12)
    kernels, y = Kernels.of(inputs).between(), (y - y.mean()) / y.std()
    theta = np.log([0.4, 0.7, 0.2])
    A = 0.4 * kernels[0] + 0.7 * kernels[1] + CONSTANT + 0.2 * np.eye(12)
    prior = ((theta[:2] - np.log(0.5)) / WEIGHT_SD) @ ((theta[:2] - np.log(0.5)) / WEIGHT_SD) / 2
    prior += ((theta[2] - np.log(NOISE)) / NOISE_SD) ** 2 / 2
    expected = prior - multivariate_normal.logpdf(y, cov=A) - 12 / 2 * np.log(2 * np.pi)
    value, slope = evidence(theta, kernels, y)
    assert value == pytest.approx(expected)
    assert slope == pytest.approx(approx_fprime(theta, lambda x: evidence(x, kernels, y)[0], 1e-6), abs=1e-4)


def test_predictions_are_scikit_learns():
    """The same kernel, weights and noise."""
    train, y = drawn(30)
    new, _ = drawn(8, seed=1)
    kernels = Kernels.of(train)
    process = fit(kernels.between(), y, np.random.default_rng(0))
    mean, deviation = process.predict(kernels.between(new), kernels.diagonal(new))

    a, b = process.weights
    kernel = ConstantKernel(a / D) * DotProduct(1e-9) + ConstantKernel(b) * RBF(np.sqrt(D)) + ConstantKernel(CONSTANT)
    theirs = GaussianProcessRegressor(kernel + WhiteKernel(process.noise), alpha=0, optimizer=None)
    (vectors,) = kernels.numbers
    theirs.fit(vectors.train, (y - y.mean()) / y.std())
    expected, spread = theirs.predict(vectors.read(new), return_std=True)
    assert mean == pytest.approx(y.mean() + y.std() * expected, rel=1e-6)
    assert deviation == pytest.approx(y.std() * spread, rel=1e-6)


def test_weights_and_noise_are_the_most_probable():
    inputs, y = drawn(40)
    kernels = Kernels.of(inputs).between()
    process = fit(kernels, y, np.random.default_rng(0))
    best = np.log([*process.weights, process.noise])
    lowest = evidence(best, kernels, (y - y.mean()) / y.std())[0]
    for step in np.vstack([0.05 * np.eye(3), -0.05 * np.eye(3)]):
        assert evidence(best + step, kernels, (y - y.mean()) / y.std())[0] > lowest


def test_left_out_is_what_leaving_out_gives():
    """With weights, noise and standardisation as they were."""
    inputs, y = drawn(15)
    kernels = Kernels.of(inputs).between()
    process = fit(kernels, y, np.random.default_rng(0))
    mean, deviation = process.left_out()
    z = (y - process.mean) / process.deviation
    for i in range(15):
        rest = np.delete(np.arange(15), i)
        A = np.tensordot(process.weights, kernels[:, rest[:, None], rest], 1) + CONSTANT + process.noise * np.eye(14)
        inverse = np.linalg.inv(A)
        without = replace(process, alpha=inverse @ z[rest], inverse=inverse)
        one, spread = without.predict(kernels[:, [i]][:, :, rest], kernels[:, i, i][:, None])
        assert one[0] == pytest.approx(mean[i])
        assert spread[0] == pytest.approx(deviation[i])


def test_intervals_of_its_own_labels_hold_what_they_say():
    """Of 20 draws of 50 labels, nine in ten new labels lie within 1.645 deviations."""
    held = []
    for seed in range(20):
        train, y = drawn(50, seed, noise=0.5)
        new, truth = drawn(200, 1000 + seed, noise=0.5)
        kernels = Kernels.of(train)
        mean, deviation = fit(kernels.between(), y, np.random.default_rng(0)).predict(
            kernels.between(new), kernels.diagonal(new)
        )
        held.append((np.abs(truth - mean) <= 1.645 * deviation).mean())
    assert 0.87 < np.mean(held) < 0.94


def test_shifted_and_scaled_labels_shift_and_scale_all():
    train, y = drawn(25)
    new, _ = drawn(5, seed=1)
    kernels = Kernels.of(train)
    asked = kernels.between(new), kernels.diagonal(new)
    one, two = (fit(kernels.between(), values, np.random.default_rng(0)) for values in (y, 1000 - 7 * y))
    mean, deviation = one.predict(*asked)
    assert two.predict(*asked)[0] == pytest.approx(1000 - 7 * mean, rel=1e-4)
    assert two.predict(*asked)[1] == pytest.approx(7 * deviation, rel=1e-3)


def test_equal_labels_are_predicted_so():
    train, _ = drawn(10)
    kernels = Kernels.of(train)
    process = fit(kernels.between(), np.full(10, 4.2), np.random.default_rng(0))
    assert process.predict(kernels.between(), kernels.diagonal(train))[0] == pytest.approx(np.full(10, 4.2))


def test_of_many_labels_some_say_what_the_weights_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gaussian_process, "EVIDENCE", 20)
    train, y = drawn(60)
    kernels = Kernels.of(train)
    asked = []
    evidence_of = gaussian_process.evidence

    def counted(theta, kernels, y):
        asked.append(len(y))
        return evidence_of(theta, kernels, y)

    monkeypatch.setattr(gaussian_process, "evidence", counted)
    process: Process = fit(kernels.between(), y, np.random.default_rng(0))
    assert set(asked) == {20}
    assert len(process.alpha) == 60
