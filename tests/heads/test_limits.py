"""Labels that are limits in heads in closed form: what is expected behind them, and what that recovers."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import truncnorm

from roftmol.features.inputs import Inputs
from roftmol.heads import forest, gaussian_process, kernel_head, linear_head
from roftmol.heads.gaussian_process import evidence, fit_limits, given
from roftmol.heads.kernel_head import Column
from roftmol.heads.kernels import Kernels
from roftmol.heads.limits import Limits, beyond
from roftmol.tasks import TASKS
from roftmol.tasks.censored_regression import encoded

CENSORED, REGRESSION = TASKS["censored_regression"], TASKS["regression"]


@pytest.mark.parametrize("a", [-30.0, -3.0, -0.5, 0.0, 0.5, 3.0, 7.0])
def test_what_is_expected_beyond_a_limit_is_a_truncated_normals(a: float):
    truth = truncnorm(a, np.inf, loc=2.0, scale=3.0)
    mean, variance = beyond(2.0, 3.0, 2.0 + 3.0 * a)
    assert mean == pytest.approx(truth.mean())
    assert variance == pytest.approx(truth.var(), rel=1e-4)


def test_far_beyond_a_limit_is_close_to_it():
    for a in (50.0, 99.0, 1e3, 1e6):
        mean, variance = beyond(0.0, 1.0, a)
        assert mean == pytest.approx(a + 1 / a)
        assert variance == pytest.approx(1 / a**2, rel=0.05)


def drawn(seed: int, molecules: int = 120) -> tuple[Inputs, np.ndarray, np.ndarray]:
    """Return vectors, values that are linear in them with noise, and the values without."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(molecules, 5)), rng.normal(size=5)
    truth = X @ w + 5
    return Inputs(molecules, vectors=X), truth + 0.5 * rng.normal(size=molecules), truth


def censored(y: np.ndarray, share: float = 0.3, side: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels whose values beyond a limit are limits, the numbers, and which are limits."""
    limit = np.quantile(side * y, 1 - share)
    hidden = side * y > limit
    numbers = np.where(hidden, side * limit, y)
    return encoded(numbers, side * hidden.astype(np.int64)), numbers, hidden


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("head", [linear_head, kernel_head])
def test_a_head_recovers_what_was_censored(head: ModuleType, side: int):
    """Better than without the limits, and far better than with limits for values; nearly as from all values."""
    errors: dict[str, list[float]] = {}
    means: dict[str, list[float]] = {}
    for seed in range(4):
        inputs, y, truth = drawn(seed, 320)
        train, test = np.arange(120), np.arange(120, 320)
        labels, numbers, hidden = censored(y, side=side)
        learnt = {
            "all": (REGRESSION, y),
            "drop": (REGRESSION, np.where(hidden, np.nan, y)),
            "limit": (REGRESSION, numbers),
            "one_sided": (CENSORED, labels),
        }
        for name, (task, of) in learnt.items():
            p = head.fit(inputs[train], of[train, None].astype(np.float32), task, 0).predict(inputs[test]).mean[:, 0]
            errors.setdefault(name, []).append(float(np.sqrt(np.mean((p - truth[test]) ** 2))))
            means.setdefault(name, []).append(float(np.mean(p - truth[test])))
    error, mean = ({name: np.mean(several) for name, several in of.items()} for of in (errors, means))
    assert error["one_sided"] < 1.3 * error["all"]
    assert error["one_sided"] < 0.8 * error["drop"]
    assert error["drop"] < error["limit"]
    assert abs(mean["one_sided"]) < 0.5 * abs(mean["drop"])
    assert abs(mean["drop"]) < abs(mean["limit"])


def test_expectations_stand_where_each_follows_from_the_others():
    """The means of the truncated distributions that the process gives each label by all others' means."""
    inputs, y, _ = drawn(0, 40)
    labels, numbers, hidden = censored(y)
    limits = Limits.of(labels, CENSORED)
    assert limits is not None
    kernels = Kernels.of(inputs).between()
    process, expected, variances = fit_limits(kernels, limits, np.random.default_rng(0))
    assert expected[~hidden] == pytest.approx(numbers[~hidden])
    assert (expected[hidden] > numbers[hidden]).all()
    assert (variances[~hidden] == 0).all()
    mean, deviation = process.left_out()
    for row in np.flatnonzero(hidden):
        value, variance = beyond(mean[row], deviation[row], numbers[row])
        assert expected[row] == pytest.approx(value, abs=0.02 * y.std())
        assert variances[row] == pytest.approx(variance, rel=0.1)


def test_the_evidence_of_expectations_has_its_gradient():
    inputs, y, _ = drawn(1, 25)
    kernels = Kernels.of(inputs).between()
    v = np.where(np.arange(25) % 3 == 0, 0.4, 0.0)
    theta = np.log([0.5, 0.4, 0.3])
    z = (y - y.mean()) / y.std()
    value, slope = evidence(theta, kernels, z, v)
    assert slope == pytest.approx(approx_fprime(theta, lambda at: evidence(at, kernels, z, v)[0], 1e-6), rel=1e-3)
    A = np.tensordot(np.exp(theta[:2]), kernels, 1) + gaussian_process.CONSTANT + 0.3 * np.eye(25)
    assert value - evidence(theta, kernels, z)[0] == pytest.approx(0.5 * v @ np.linalg.inv(A).diagonal())


def test_what_is_predicted_varies_by_what_nobody_knows():
    """The variance of the predictions over values drawn by their variances comes on top."""
    inputs, y, _ = drawn(2, 30)
    new = drawn(3, 10)[0]
    kernels = Kernels.of(inputs)
    square, asked = kernels.between(), (kernels.between(new), kernels.diagonal(new))
    v = np.where(np.arange(30) % 2 == 0, 0.5, 0.0)
    unsure = given(square, y, np.array([0.5, 0.5]), 0.2, v)
    sure = given(square, y, np.array([0.5, 0.5]), 0.2)
    rng = np.random.default_rng(0)
    K = np.tensordot(sure.weights, asked[0], 1) + gaussian_process.CONSTANT
    means = [K @ sure.inverse @ (rng.normal(size=30) * np.sqrt(v)) for _ in range(20000)]
    mean, deviation = unsure.predict(*asked)
    assert mean == pytest.approx(sure.predict(*asked)[0])
    assert deviation**2 - sure.predict(*asked)[1] ** 2 == pytest.approx(np.var(means, axis=0), rel=0.06)


@pytest.mark.parametrize("head", [linear_head, kernel_head, forest])
def test_what_is_read_back_predicts_the_same(head: ModuleType):
    inputs, y, _ = drawn(0, 60)
    counts = np.abs(np.round(inputs.vectors)).astype(np.float32)
    whole = Inputs(60, vectors=inputs.vectors, descriptors=counts)
    if head is forest:
        from scipy.sparse import csr_matrix

        whole = Inputs(60, counts=csr_matrix(counts), descriptors=counts)
    labels, _, _ = censored(y)
    fitted = head.fit(whole, labels[:, None].astype(np.float32), CENSORED, 0)
    again = head.read({name: np.array(array) for name, array in fitted.arrays().items()})
    one, two = fitted.predict(whole), again.predict(whole)
    assert two.mean == pytest.approx(one.mean, rel=1e-9)
    assert two.deviation == pytest.approx(one.deviation, rel=1e-9)
    if head is kernel_head:
        (column,) = fitted.columns
        assert isinstance(column, Column)
        assert column.variances is not None
        assert (column.variances > 0).sum() == 18


@pytest.mark.parametrize("head", [linear_head, kernel_head])
def test_of_values_alone_it_is_a_regression(head: ModuleType):
    inputs, y, _ = drawn(0, 40)
    labels = encoded(y, np.zeros(40, np.int64))[:, None]
    one, two = (head.fit(inputs, labels, task, 0).predict(inputs) for task in (REGRESSION, CENSORED))
    assert np.array_equal(one.mean, two.mean)
    assert np.array_equal(one.deviation, two.deviation)


@pytest.mark.parametrize("head", [linear_head, kernel_head])
def test_limits_without_two_values_are_predicted_by_a_constant(head: ModuleType):
    inputs, _, _ = drawn(0, 6)
    Y = encoded(np.full((6, 2), [[4.0, 5.0]]), np.array([[1, 1]] * 5 + [[1, 0]]))
    assert head.fit(inputs, Y, CENSORED, 0).predict(inputs).mean[0] == pytest.approx([4.0, 5.0])


def test_what_lies_beyond_a_limit_is_beyond_it_however_far_that_is():
    for limit in np.linspace(-300, 10_000, 60_001):
        value, variance = beyond(0.0, 1.0, float(limit))
        assert value >= limit
        assert 0 <= variance <= 1
