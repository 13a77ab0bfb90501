"""Labels that are values or limits: what a label's bits say, the loss, and scores of what is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from roftmol.tasks import METRICS, PRIMARY, TASKS, censored_regression
from roftmol.tasks.censored_regression import TASK, concordance, encoded, gaps, numbers, sides, standardised, values

REGRESSION = TASKS["regression"]
RANGES = [1e-30, 1e-6, 1.0, 1e4, 1e9, 1e30]


def labels(numbers: list[float], side: list[int]) -> np.ndarray:
    return encoded(np.array(numbers), np.array(side))


@pytest.mark.parametrize("size", RANGES)
@pytest.mark.parametrize("side", [-1, 0, 1])
def test_a_label_is_what_was_put_in_whatever_its_size(size: float, side: int):
    rng = np.random.default_rng(0)
    given = size * np.concatenate([rng.normal(size=1000), 2.0 ** np.arange(-3, 4), [1 - 2.0**-24]])
    made = encoded(given, np.full(len(given), side))
    for stored in (made, made.astype(np.float32), made.astype(np.float32).astype(np.float64)):
        assert (sides(stored) == side).all()
        assert numbers(stored) == pytest.approx(given, rel=3e-7, abs=0)
    assert np.array_equal(made, made.astype(np.float32))
    assert made == pytest.approx(given, rel=2.0**-20)  # who does not ask reads the number
    known = values(made)
    assert np.array_equal(known, numbers(made)) if side == 0 else np.isnan(known).all()


def test_zero_missing_and_too_large():
    side = np.array([-1, 0, 1])
    assert (numbers(encoded(np.zeros(3), side)) == 0).all()
    assert sides(encoded(np.zeros(3), side)).tolist() == [-1, 0, 1]
    normal = np.abs(encoded(np.zeros(3), side))[side != 0]
    assert (normal >= np.finfo(np.float32).tiny).all()  # a processor that takes smaller ones for 0 loses no limit
    missing = encoded(np.full(3, np.nan), side)
    for function in (numbers, values):
        assert np.isnan(function(missing)).all()
    assert sides(missing).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="single precision"):
        encoded(np.array([1e39]), np.array([1]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_labels_are_standardised_on_their_sides(dtype: torch.dtype):
    rng = np.random.default_rng(0)
    given, side = 1e4 * rng.normal(size=(50, 2)), rng.integers(-1, 2, (50, 2))
    given[0], given[1] = np.nan, [3000.0, -70.0]  # what becomes 0
    shift, scale = torch.tensor([3000.0, -70.0], dtype=dtype), torch.tensor([800.0, 5.0], dtype=dtype)
    made = standardised(torch.from_numpy(encoded(given, side)).to(dtype), shift, scale)
    assert made.dtype == dtype
    told = ~np.isnan(given)
    assert (sides(made.numpy())[told] == side[told]).all()
    expected = (given - shift.numpy()) / scale.numpy()
    assert numbers(made.numpy()) == pytest.approx(expected, rel=1e-5, abs=2e-5, nan_ok=True)


def test_a_prediction_on_the_right_side_of_a_limit_costs_nothing():
    y = labels([2.0, 2.0, 2.0, 2.0, 2.0, 2.0], [0, 0, 1, 1, -1, -1])
    p = np.array([1.0, 5.0, 1.0, 5.0, 1.0, 5.0])
    assert gaps(y, p).tolist() == [-1, 3, -1, 0, 0, 3]
    output = torch.from_numpy(p).requires_grad_()
    loss = TASK.training_loss(output, torch.from_numpy(y), False)
    loss.backward()
    assert loss.item() == pytest.approx(20 / 6)
    assert loss.item() == pytest.approx(TASK.loss(y, p))
    assert output.grad is not None
    assert output.grad.numpy() * 3 == pytest.approx([-1, 3, -1, 0, 0, 3])
    assert TASK.training_loss(output, torch.from_numpy(y), True).item() == pytest.approx((20 / 6) ** 0.5)


def test_a_batch_that_costs_nothing_has_a_gradient_of_zero():
    """The root of 0 has none; the protocol `paper` takes the root."""
    output = torch.tensor([3.0, 4.0], requires_grad=True)
    TASK.training_loss(output, torch.from_numpy(labels([2.0, 2.0], [1, 1])).float(), True).backward()
    assert output.grad is not None
    assert output.grad.tolist() == [0.0, 0.0]


def test_of_values_alone_all_is_as_in_a_regression():
    rng = np.random.default_rng(0)
    y = encoded(rng.normal(size=40), np.zeros(40, np.int64))
    p = y + rng.normal(size=40)
    weights = rng.integers(0, 3, (5, 40)).astype(float)
    for ours, plain in zip(TASK.metrics, REGRESSION.metrics, strict=False):
        assert ours.score(y, p) == plain.score(y, p)
        assert (ours.better, ours.range, ours.in_label_units) == (plain.better, plain.range, plain.in_label_units)
    assert TASK.primary.weighted(y, p, weights).tolist() == REGRESSION.primary.weighted(y, p, weights).tolist()
    assert TASK.loss(y, p) == REGRESSION.loss(y, p)
    output, truth = torch.from_numpy(p), torch.from_numpy(y)
    assert TASK.training_loss(output, truth, False) == REGRESSION.training_loss(output, truth, False)


def test_errors_are_of_values_and_undefined_without_any():
    y = labels([1.0, 2.0, 9.0, 4.0], [0, 0, 1, -1])
    p = np.array([2.0, 4.0, 100.0, -100.0])
    primary = PRIMARY["rmse_of_values"]
    assert primary is TASK.primary
    assert primary.score(y, p) == pytest.approx(2.5**0.5)
    assert METRICS["mae_of_values"].score(y, p) == 1.5
    weights = np.array([[1.0, 3.0, 5.0, 7.0], [0.0, 0.0, 1.0, 1.0]])
    one, none = primary.weighted(y, p, weights)
    assert one == pytest.approx((13 / 4) ** 0.5)
    assert np.isnan(none)
    assert primary.counted(np.stack([y, np.full(4, np.nan)], 1)) == 2
    for metric in TASK.metrics[:-1]:
        assert np.isnan(metric.score(y[2:], p[2:]))


def compared(y: np.ndarray, p: np.ndarray) -> float:
    """Concordance, pair after pair."""
    pairs = right = 0.0
    for i in range(len(y)):
        for j in range(len(y)):
            most = np.inf if sides(y)[i] > 0 else numbers(y)[i]
            least = -np.inf if sides(y)[j] < 0 else numbers(y)[j]
            if most < least:
                pairs += 1
                right += 1.0 if p[i] < p[j] else 0.5 if p[i] == p[j] else 0.0
    return right / pairs if pairs else np.nan


@pytest.mark.parametrize("seed", range(6))
def test_concordance_is_that_of_all_pairs_whose_order_is_sure(seed: int, monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(seed)
    y = encoded(np.round(rng.normal(size=30), 1), rng.integers(-1, 2, 30))
    p = np.round(rng.normal(size=30) + (seed % 2) * numbers(y), 1)
    assert concordance(y, p) == pytest.approx(compared(y, p))
    monkeypatch.setattr(censored_regression, "CHUNK", 70)
    assert concordance(y, p) == pytest.approx(compared(y, p))


def test_concordance_of_values_is_the_share_of_pairs_in_order():
    y = labels([1.0, 2.0, 3.0], [0, 0, 0])
    assert concordance(y, np.array([1.0, 2.0, 3.0])) == 1
    assert concordance(y, np.array([1.0, 3.0, 2.0])) == pytest.approx(2 / 3)
    assert concordance(y, np.zeros(3)) == 0.5
    assert np.isnan(concordance(labels([1.0, 2.0], [1, 1]), np.zeros(2)))
    # The value 1 lies below a limit of 2 from above, and nobody knows whether 3 does.
    assert concordance(labels([1.0, 3.0, 2.0], [0, 0, 1]), np.array([0.0, 2.0, 1.0])) == 1


def taught(kind: str, seed: int) -> np.ndarray:
    """Return how far a linear network lies from what made its labels, of which 30% are censored: weights, mean."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(400, 4)), np.array([1.0, -2.0, 0.5, 0.0])
    y = X @ w + 5 + rng.normal(size=400)
    limit = np.quantile(y, 0.7)
    side = (y > limit).astype(np.int64) if kind == "one_sided" else np.zeros(400, np.int64)
    kept = y <= limit if kind == "drop" else np.ones(400, np.bool_)
    truth = torch.from_numpy(encoded(np.minimum(y, limit), side)[kept]).float()
    weights = torch.zeros(5, requires_grad=True)
    inputs = torch.from_numpy(np.column_stack([X, np.ones(400)])[kept]).float()
    descent = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        descent.zero_grad()
        value = TASK.training_loss(inputs @ weights, truth, False)
        value.backward()
        return value

    descent.step(loss)  # type: ignore[arg-type]
    return np.abs(weights.detach().numpy() - [*w, 5.0])


@pytest.mark.parametrize("seed", range(3))
def test_a_network_recovers_more_of_what_was_censored(seed: int):
    """The labels without the limits, and the limits taken for values, have other slopes and another mean."""
    one_sided, drop, limit = (taught(kind, seed) for kind in ("one_sided", "drop", "limit"))
    for error in (lambda off: off[:4].max(), lambda off: off[4]):
        assert error(one_sided) < 0.8 * error(drop)
        assert error(drop) < error(limit)


def test_a_kind_with_limits_is_named_by_that_without():
    assert TASKS[REGRESSION.with_limits] is TASK
    assert TASK.explained is METRICS["r2_of_values"]
