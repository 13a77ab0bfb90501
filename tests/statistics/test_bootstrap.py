"""Resampled molecules and intervals: against scikit-learn and scipy, and variances that are known, counted once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from made_up_effects import selected
from roftmol.scoring import metrics
from roftmol.statistics import bootstrap, resampled, stage
from roftmol.statistics.bootstrap import Pair


def test_weights_of_one_give_the_metric_itself():
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 3)) < 0.4).astype(float)
    labels[rng.random((60, 3)) < 0.2] = np.nan
    labels[:, 2] = np.where(np.isnan(labels[:, 2]), np.nan, 1.0)  # one class: undefined, and not counted
    predictions = np.round(rng.random((60, 3)), 1)  # with ties
    once = np.ones((1, 60), np.uint16)
    assert bootstrap.resampled("roc_auc", labels, predictions, once)[0] == pytest.approx(
        metrics.primary("roc_auc", labels, predictions)
    )
    values = rng.normal(size=(60, 3))
    assert bootstrap.resampled("rmse", values, predictions, once)[0] == pytest.approx(
        metrics.primary("rmse", values, predictions)
    )


def test_weights_are_repetitions():
    rng = np.random.default_rng(1)
    y, p = (rng.random(40) < 0.5).astype(float), np.round(rng.random(40), 1)
    weights = bootstrap.draw(rng, 40, 20)
    assert (weights.sum(1) == 40).all()
    found = bootstrap.resampled("roc_auc", y[:, None], p[:, None], weights)
    error = bootstrap.resampled("rmse", y[:, None], p[:, None], weights)
    for row, auc, rmse in zip(weights, found, error, strict=True):
        again = np.repeat(np.arange(40), row)
        assert auc == pytest.approx(roc_auc_score(y[again], p[again]))
        assert rmse == pytest.approx(np.sqrt(np.mean((y[again] - p[again]) ** 2)))


def test_a_replicate_with_one_class_is_undefined():
    y, p = np.array([[1.0], [0.0]]), np.array([[0.9], [0.1]])
    found = bootstrap.resampled("roc_auc", y, p, np.array([[2, 0], [1, 1]], np.uint16))
    assert np.isnan(found[0])
    assert found[1] == 1.0


def test_one_level_is_the_t_interval():
    rng = np.random.default_rng(2)
    values = rng.normal(0.02, 0.05, size=6)
    estimate = bootstrap.several(
        [Pair(str(n), np.array([0.7 + v]), np.array([0.7])) for n, v in enumerate(values)], False, rng, 40_000
    )
    expected = stats.ttest_1samp(values, 0.0)
    low, high = expected.confidence_interval()
    assert estimate.levels == ("datasets",)
    assert estimate.value == pytest.approx(values.mean())
    assert [estimate.low, estimate.high] == pytest.approx([low, high], abs=0.02 * (high - low))
    assert estimate.p == pytest.approx(expected.pvalue, abs=0.01)


def test_molecules_alone_have_the_standard_error_of_a_mean():
    """The squared RMSE is a mean, whose standard error is known; its logarithm's follows."""
    rng = np.random.default_rng(3)
    errors = rng.normal(size=400)
    weights = bootstrap.draw(rng, 400, 4000)
    moved = bootstrap.resampled("rmse", np.zeros((400, 1)), errors[:, None], weights)
    squares = errors**2
    expected = squares.std(ddof=1) / np.sqrt(400) / squares.mean() / 2
    assert np.log(moved).std() == pytest.approx(expected, rel=0.06)
    own = np.sqrt(squares.mean(keepdims=True))
    estimate = bootstrap.one(Pair("", own, np.ones(1), moved[:, None], np.ones((4000, 1))), True, rng, 4000)
    assert estimate.levels == ("molecules",)
    assert (estimate.high - estimate.low) / 2 == pytest.approx(1.96 * expected, rel=0.06)


@pytest.mark.parametrize("shared", [False, True])
def test_molecules_are_counted_once(shared: bool):
    """Seeds that differ only in the molecules they test: the variance is that of the molecules, not twice as much.

    Seeds that share their molecules do not average anything out; seeds with molecules of their own do.
    """
    rng = np.random.default_rng(4)
    seeds, tested = 20, 200
    part = [np.arange(tested) + (0 if shared else tested * seed) for seed in range(seeds)]
    pool = tested if shared else tested * seeds
    errors = rng.normal(size=(2, pool))
    weights = bootstrap.draw(rng, pool, 1000)
    once = np.ones((1, tested), np.uint16)
    scores = np.empty((2, seeds))
    moved = np.empty((2, 1000, seeds))
    for k in range(2):
        for seed, mine in enumerate(part):
            column, zero = errors[k, mine, None], np.zeros((tested, 1))
            scores[k, seed] = bootstrap.resampled("rmse", zero, column, once)[0]
            moved[k, :, seed] = bootstrap.resampled("rmse", zero, column, weights[:, mine])
    drawn = bootstrap.within(Pair("", *scores, *moved), True, rng, 1000)
    expected = np.sqrt(2 / (2 * pool))  # log RMSE of n normal errors has the variance 1 / 2n
    assert drawn.std() == pytest.approx(expected, rel=0.3)


def test_what_molecules_explain_of_the_seeds_spread_is_not_resampled_again():
    """Two seeds differ by 1, an unbiased variance of 1/2; resampled molecules move them apart by a variance of 0.72.

    So the seeds' own variance is 0, and replicates are what the molecules make of the mean: here, nothing. A smaller
    share leaves the rest to the seeds.
    """
    own, other = np.array([0.5, 1.5]), np.zeros(2)
    for move, resampled_too in ((0.6, False), (0.3, True)):
        sign = np.where(np.arange(400) % 2, 1, -1)[:, None]
        moved = own + move * sign * np.array([1, -1])
        drawn = bootstrap.within(Pair("", own, other, moved, np.zeros((400, 2))), False, np.random.default_rng(0), 400)
        assert (np.ptp(drawn) > 1e-9) == resampled_too
        assert drawn.mean() == pytest.approx(1, abs=0.1)
    # of 1/2, twice 0.09 are the molecules': the mean of two seeds has the variance (0.5 - 0.18) / 2
    assert drawn.var() == pytest.approx(0.16, rel=0.15)


def test_what_seeds_explain_of_the_data_sets_spread_is_not_resampled_again():
    """Datasets whose effects differ by chance of their seeds alone: the mean's variance is that chance's, once."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(60):
        pairs = [Pair(str(n), rng.normal(size=8), np.zeros(8)) for n in range(12)]
        estimate = bootstrap.several(pairs, False, rng, 400)
        found.append((estimate.high - estimate.low) / 2 / stats.t.ppf(0.975, 11))
    # By the truth 1 / (8 * 12). What is left of the spread is cut off at 0, and so a little too large on the mean.
    assert np.mean(np.square(found)) == pytest.approx(1 / 96, rel=0.35)


def test_methods_that_are_one_have_no_width():
    same = Pair("", np.array([0.7, 0.8]), np.array([0.7, 0.8]))
    estimate = bootstrap.one(same, False, np.random.default_rng(0), 50)
    assert (estimate.low, estimate.high, estimate.p) == (0.0, 0.0, 1.0)


def test_nothing_resampled_has_no_interval():
    estimate = bootstrap.one(Pair("", np.array([0.7]), np.array([0.8])), False, np.random.default_rng(0), 50)
    assert estimate.levels == ()
    assert np.isnan([estimate.low, estimate.high, estimate.p]).all()


def test_what_these_fits_predict_is_asked_of_molecules_alone():
    """Whether labels can be predicted at all: fits that differ from seed to seed by luck do not hide it."""
    rng = np.random.default_rng(5)
    own, other = np.array([0.62, 0.8]), np.array([0.5, 0.5])
    moved = own + 0.02 * rng.normal(size=(4000, 1)), np.full((4000, 2), 0.5)
    pair = Pair("", own, other, *moved, molecules=40)
    found = bootstrap.of_these_fits(pair, False)
    assert found
    assert found.levels == ("molecules",)
    assert found.value == pytest.approx(0.21)
    assert (found.high - found.low) / 2 == pytest.approx(stats.t.ppf(0.975, 39) * 0.02, rel=0.05)
    assert found.p < 1e-6 < bootstrap.one(pair, False, rng, 4000).p
    assert bootstrap.of_these_fits(Pair("", own, other), False) is None
    # one molecule of the rarer class says nothing
    alone = bootstrap.of_these_fits(Pair("", own, other, *moved, molecules=1), False)
    assert alone
    assert np.isnan(alone.p)


def test_a_cross_validation_is_widened_for_the_overlap_of_its_training_parts():
    rng = np.random.default_rng(3)
    own, other = rng.normal(0.8, 0.05, 10), rng.normal(0.7, 0.05, 10)
    found = bootstrap.one(Pair("", own, other, overlap=0.25), False, rng, 40_000)
    assert (found.low, found.high) == pytest.approx(resampled.interval(own - other, 0.25), abs=2e-3)
    # the same where molecules are resampled too
    moved = [(side[None, :] + rng.normal(0, 0.02, (4000, 1))) for side in (own, other)]
    narrow, wide = (
        bootstrap.one(Pair("", own, other, *moved, overlap=overlap), False, np.random.default_rng(4), 4000)
        for overlap in (0.0, 0.25)
    )
    assert (wide.high - wide.low) / (narrow.high - narrow.low) == pytest.approx(np.sqrt(3.5))
    tables = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2}, 2, split="cv"), replicates=50)["comparisons"]
    plain = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2}, 2, split="random"), replicates=50)["comparisons"]
    assert (tables["high"] - tables["low"] > plain["high"] - plain["low"]).all()
