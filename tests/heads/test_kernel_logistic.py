"""Kernel logistic regression: against scikit-learn's logistic regression, whose penalty it has with a linear kernel."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from roftmol.heads.kernel_logistic import LAMBDAS, fit, sigmoid, solve


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, (X[:, 0] + 0.5 * rng.normal(size=n) > 0.3).astype(float)


@pytest.mark.parametrize("penalty", [0.1, 1.0, 10.0])
def test_with_a_linear_kernel_it_is_logistic_regression(penalty: float):
    X, y = drawn(40)
    a, b = solve(X @ X.T, y, penalty)
    theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(X, y)
    assert X.T @ a == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert b == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_classes_that_a_plane_parts_have_finite_probabilities():
    X = np.linspace(-1, 1, 20)[:, None]
    a, b = solve(X @ X.T, (X[:, 0] > 0).astype(float), min(LAMBDAS))
    p = sigmoid(X @ X.T @ a + b)
    assert np.isfinite(p).all()
    assert (p[10:] > 0.5).all()


def test_the_penalty_has_the_least_loss_out_of_fold():
    X, y = drawn(60)
    kernels, weights = np.stack([X @ X.T / 3, np.exp(-((X[:, None] - X) ** 2).sum(2) / 6)]), np.array([0.5, 0.5])
    folds = np.arange(60) % 5
    classifier, out_of_fold = fit(kernels, weights, y, folds)
    K = kernels.mean(0)
    losses = []
    for penalty in LAMBDAS:
        p = np.empty(60)
        for fold in range(5):
            held = folds == fold
            a, b = solve(K[np.ix_(~held, ~held)], y[~held], penalty)
            p[held] = sigmoid(K[np.ix_(held, ~held)] @ a + b)
        losses.append(-np.log(np.where(y == 1, p, 1 - p)).mean())
        if penalty == classifier.penalty:
            assert out_of_fold == pytest.approx(p)
    assert classifier.penalty == LAMBDAS[int(np.argmin(losses))]
    a, b = solve(K, y, classifier.penalty)
    assert classifier.predict(kernels) == pytest.approx(sigmoid(K @ a + b))


def test_shuffled_classes_are_predicted_by_their_share():
    """A strong penalty is taken, and what is left says little: in the mean of ten shuffles."""
    X, y = drawn(80)
    K = np.exp(-((X[:, None] - X) ** 2).sum(2) / 6)
    spread = []
    for seed in range(10):
        shuffled = np.random.default_rng(seed).permutation(y)
        classifier, _ = fit(K[None], np.ones(1), shuffled, np.arange(80) % 5)
        spread.append(np.ptp(classifier.predict(K[None])))
    classifier, _ = fit(K[None], np.ones(1), y, np.arange(80) % 5)
    assert np.mean(spread) < 0.3 < np.ptp(classifier.predict(K[None]))
