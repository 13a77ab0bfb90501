"""Calibration of probabilities and of errors: by hand, against scikit-learn, and on ensembles that are calibrated."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve

from cell_entries import CELL, entries_of
from roftmol.evaluation.diagnostics import calibration
from roftmol.evaluation.diagnostics.cells import Entries


def test_ece_by_hand():
    # two bins of ten: 0.2 predicted and 5 of 10 observed, 0.8 predicted and 8 of 10 observed
    p = np.repeat([0.2, 0.8], 10)
    y = np.array([1] * 5 + [0] * 5 + [1] * 8 + [0] * 2, np.float64)
    curve = calibration.reliability(y, p, np.arange(20))
    assert curve.observed.tolist() == [0.5, 0.8]
    assert calibration.ece(curve) == pytest.approx(0.15)
    assert calibration.brier(y, p) == pytest.approx((10 * (0.25 + 0.09) + 10 * 0.16) / 20)
    # sqrt(2 p (1 - p) / (pi 10)) is the same in both
    assert calibration.ece_by_chance(p, curve) == pytest.approx(math.sqrt(2 * 0.16 / (10 * math.pi)))


def test_the_curve_is_scikit_learns():
    rng = np.random.default_rng(3)
    p = rng.beta(0.5, 0.7, 500)
    y = (rng.random(500) < p**2).astype(np.float64)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    curve = calibration.reliability(y, p, np.arange(500))
    assert curve.observed == pytest.approx(observed)
    assert curve.predicted == pytest.approx(predicted)
    assert curve.entries.tolist() == [50] * 10


def test_true_probabilities_have_the_ece_of_chance():
    rng = np.random.default_rng(0)
    found, chance = [], []
    for _ in range(300):
        p = rng.random(200)
        curve = calibration.reliability((rng.random(200) < p).astype(np.float64), p, np.arange(200))
        found.append(calibration.ece(curve))
        chance.append(calibration.ece_by_chance(p, curve))
    error = np.std(found) / math.sqrt(len(found))
    # within-bin scatter of p is left out of the formula, and normal stands for binomial
    assert abs(np.mean(found) - np.mean(chance)) < 3 * error + 0.03 * np.mean(chance)


def test_bins_weigh_as_many_entries_as_they_hold():
    # Thirty equal probabilities are one bin, ten others the second: 0.1 and 0.3 off.
    p = np.concatenate([np.full(30, 0.1), np.full(10, 0.7)])
    y = np.concatenate([np.repeat([1.0, 0.0], [6, 24]), np.repeat([1.0, 0.0], [4, 6])])
    curve = calibration.reliability(y, p, np.arange(40))
    assert curve.entries.tolist() == [30, 10]
    assert calibration.ece(curve) == pytest.approx((30 * 0.1 + 10 * 0.3) / 40)
    chance = (30 * math.sqrt(2 * 0.09 / (30 * math.pi)) + 10 * math.sqrt(2 * 0.21 / (10 * math.pi))) / 40
    assert calibration.ece_by_chance(p, curve) == pytest.approx(chance)


def test_wilsons_interval():
    low, high = calibration.wilson(np.array([0.3, 0.0]), np.array([10, 10]))
    expected = [stats.binomtest(k, 10).proportion_ci(method="wilson") for k in (3, 0)]
    assert low == pytest.approx([interval.low for interval in expected])
    assert high == pytest.approx([interval.high for interval in expected])


def test_what_seeds_repeat_is_one_label():
    rng = np.random.default_rng(1)
    y, p = (rng.random(100) < 0.5).astype(np.float64), rng.random(100)
    once = calibration.reliability(y, p, np.arange(100))
    thrice = calibration.reliability(np.tile(y, 3), np.tile(p, 3), np.tile(np.arange(100), 3))
    assert thrice.observed == pytest.approx(once.observed)
    assert thrice.low == pytest.approx(once.low)
    assert (thrice.molecules == once.molecules).all()
    assert calibration.ece_by_chance(np.tile(p, 3), thrice) == pytest.approx(calibration.ece_by_chance(p, once))
    assert thrice.entries.sum() == 300


def test_one_probability_for_all_is_one_bin():
    curve = calibration.reliability(np.array([0.0, 1] * 50), np.full(100, 0.5), np.arange(100))
    assert len(curve.observed) == 1
    assert calibration.ece(curve) == 0


def ensemble(seeds: int, molecules: int, noise: float = 1.0) -> Entries:
    """Predictions of seeds that scatter about the truth as much as (times 1 / noise) the label does."""
    rng = np.random.default_rng(5)
    truth, sigma = rng.normal(size=molecules), rng.uniform(0.5, 2, molecules)
    y = truth + noise * sigma * rng.normal(size=molecules)
    p = truth + sigma * rng.normal(size=(seeds, molecules))
    where = np.tile(np.arange(molecules), seeds)
    return entries_of(np.tile(y, seeds), p.ravel(), seeds=np.repeat(np.arange(seeds), molecules), molecules=where)


def values_of(found: Entries, kind: str = "regression") -> dict[str, float]:
    rows, _ = calibration.measure(CELL, found, kind)
    return {str(row["measure"]): float(row["value"]) for row in rows}


def test_a_calibrated_ensemble_covers_as_much_as_it_says():
    values = values_of(ensemble(300, 3000))
    for level in calibration.LEVELS:
        nominal = level / 100
        error = math.sqrt(nominal * (1 - nominal) / 3000)
        assert values[f"coverage_{level}"] == pytest.approx(nominal, abs=3 * error + 0.005)
    assert values["ence"] < 0.06
    assert values["sharpness"] == pytest.approx(values["rmse"], rel=0.05)


def test_an_ensemble_too_sure_of_itself_covers_less():
    values = values_of(ensemble(300, 3000, noise=2.0))
    z = stats.norm.ppf(0.95)
    assert values["coverage_90"] == pytest.approx(2 * stats.norm.cdf(z / 2) - 1, abs=0.03)
    assert values["ence"] == pytest.approx(1, abs=0.1)


def test_few_seeds_cover_less_than_they_say_and_by_how_much_is_known():
    """Labels are one more draw of each molecule's distribution, which no ensemble can know better than its seeds do."""
    values = values_of(ensemble(3, 20_000))
    for level in calibration.LEVELS:
        assert values[f"coverage_{level}"] == pytest.approx(values[f"coverage_{level}_by_few_seeds"], abs=0.012)
    assert values["coverage_90_by_few_seeds"] == pytest.approx(0.71, abs=0.005)
    assert calibration.coverage_by_few_seeds(np.array([10_000]), 0.9) == pytest.approx(0.9, abs=1e-3)


def test_ence_by_hand():
    sigma = np.repeat([1.0, 2.0, 4.0], 10)
    assert calibration.ence(calibration.error_curve(sigma, sigma)) == 0
    assert calibration.ence(calibration.error_curve(sigma * 1.5, sigma)) == pytest.approx(0.5)
    assert np.isnan(calibration.ence(calibration.error_curve(sigma, np.repeat([0.0, 1.0, 1.0], 10))))


def test_the_interval_of_an_observed_error_holds_as_often_as_it_says():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(400):
        curve = calibration.error_curve(rng.normal(0, 1, 60), np.linspace(0.5, 1.5, 60))
        inside += int(((curve.low <= 1) & (curve.high >= 1)).sum())
    assert inside / 2400 == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("seeds", "molecules", "words"),
    [
        (2, 100, "2 seeds, 3 needed"),
        (3, 20, "20 test molecules in 3 seeds or more, 30 needed"),
    ],
)
def test_too_little_for_an_ensemble_is_said(seeds, molecules, words):
    rows, curve = calibration.measure(CELL, ensemble(seeds, molecules), "regression")
    assert curve == []
    assert all(np.isnan(row["value"]) and words in str(row["note"]) for row in rows)
    assert {row["measure"] for row in rows} == set(calibration.SPREAD)


def test_test_parts_that_differ_count_where_three_seeds_meet():
    three = ensemble(3, 60)
    elsewhere = three.of((three.molecules < 40) | (three.seeds != 2))  # 40 molecules in three seeds, 20 in two
    rows, _ = calibration.measure(CELL, elsewhere, "regression")
    assert rows[0]["molecules"] == 40
    assert rows[0]["note"] == ""


def test_seeds_that_agree_wholly_have_no_deviation():
    one = ensemble(1, 50)
    same = entries_of(
        np.tile(one.y, 3), np.tile(one.p, 3), seeds=np.repeat(np.arange(3), 50), molecules=np.tile(one.molecules, 3)
    )
    rows, curve = calibration.measure(CELL, same, "regression")
    assert curve == []
    assert "all seeds predict the same" in str(rows[0]["note"])
