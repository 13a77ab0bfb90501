"""Comparisons over resamples of one dataset: against scipy and statsmodels, and on data without a difference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM

from roftmol.core.errors import UserError
from roftmol.statistics.resampled import above_zero, compare, interval


def scores(seed: int, resamples: int = 10, candidates: int = 4, spread: float = 1.0) -> pd.DataFrame:
    """Candidates that are equally good; a resample is hard or easy for all of them."""
    rng = np.random.default_rng(seed)
    values = 3 * rng.normal(size=(resamples, 1)) + spread * rng.normal(size=(resamples, candidates))
    return pd.DataFrame(values, columns=[f"m{number}" for number in range(candidates)])


def test_two_candidates_are_the_paired_t_test():
    table = scores(0, candidates=2)
    (row,) = compare(table, 0.0).to_dict("records")
    expected = stats.ttest_rel(table["m0"], table["m1"])
    low, high = expected.confidence_interval()
    assert row["tukey_p"] == pytest.approx(expected.pvalue, rel=1e-6)
    assert row["corrected_p"] == pytest.approx(expected.pvalue, rel=1e-9)
    assert [row["tukey_low"], row["tukey_high"]] == pytest.approx([low, high], rel=1e-6)
    assert [row["corrected_low"], row["corrected_high"]] == pytest.approx([low, high], rel=1e-9)


def test_tukey_has_the_error_of_repeated_measures():
    table = scores(1)
    long = table.reset_index().melt("index", var_name="method", value_name="score")
    anova = AnovaRM(long, "score", "index", within=["method"]).fit().anova_table
    between = len(table) * ((table.mean() - table.to_numpy().mean()) ** 2).sum() / 3
    error = between / anova["F Value"].iloc[0]  # F is the mean square of the methods over that of the error
    first = compare(table, 0.25).iloc[0]
    half = stats.studentized_range.ppf(0.95, 4, 27) * np.sqrt(error * (1 / 10 + 0.25))
    assert first["tukey_high"] - first["difference"] == pytest.approx(half, rel=1e-6)
    assert first["difference"] == pytest.approx((table["m0"] - table["m1"]).mean())


def test_p_values_and_intervals_agree():
    rows = compare(scores(2, spread=0.3).assign(m0=lambda t: t["m0"] + 1), 0.25).to_dict("records")
    for kind in ("tukey", "corrected"):
        assert {row[f"{kind}_p"] < 0.05 for row in rows} == {True, False}
    for row in rows:
        assert (row["tukey_p"] < 0.05) == (row["tukey_low"] > 0 or row["tukey_high"] < 0)
        assert (row["corrected_p"] < 0.05) == (row["corrected_low"] > 0 or row["corrected_high"] < 0)
        assert row["corrected_p_holm"] >= row["corrected_p"]


def test_a_score_on_a_new_test_set_varies_more_than_the_mean():
    values = np.array([1.0, 2.0, 4.0, 5.0])
    low, high = interval(values, 0.25)
    lower, higher = interval(values, 0.25, new_test=True)
    s, t = values.std(ddof=1), stats.t.ppf(0.975, 3)
    assert (high - low) / 2 == pytest.approx(t * s * np.sqrt(0.5))
    assert (higher - lower) / 2 == pytest.approx(t * s * np.sqrt(1.5))
    assert np.isnan(interval(values[:1], 0.25)).all()


def test_equal_candidates_are_not_told_apart():
    tables = [compare(scores(seed), 0.0, tukey_p=False) for seed in range(400)]
    # Of 400 sets without a difference, Tukey may find one in 5%: 20, and 35 is beyond 3.4 standard deviations.
    assert 8 <= sum((table["tukey_low"] * table["tukey_high"] > 0).any() for table in tables) <= 35
    # Widened for overlapping training sets both find fewer, on independent ones.
    tables = [compare(scores(seed), 0.25, tukey_p=False) for seed in range(400)]
    assert sum((table["tukey_low"] * table["tukey_high"] > 0).any() for table in tables) <= 10
    assert sum((table["corrected_p_holm"] < 0.05).any() for table in tables) <= 10


def test_only_the_pairs_of_the_best_are_compared_and_corrected():
    table = scores(4, spread=0.3).assign(m2=lambda t: t["m2"] + 1)
    found, every = compare(table, 0.25, best="m2"), compare(table, 0.25)
    assert list(zip(found["a"], found["b"], strict=True)) == [("m0", "m2"), ("m1", "m2"), ("m2", "m3")]
    mine = every[(every["a"] == "m2") | (every["b"] == "m2")].reset_index(drop=True)
    columns = ["difference", "tukey_low", "tukey_p", "corrected_p"]
    pd.testing.assert_frame_equal(found[columns], mine[columns])  # Tukey corrects for all pairs all the same
    assert found["corrected_p_holm"].min() == pytest.approx(3 * found["corrected_p"].min())


def test_what_is_above_zero_is_a_one_sided_test_corrected_for_all():
    table = scores(5, candidates=3).add([1.0, 0.0, -1.0])
    found = above_zero(table, 0.0)
    expected = [stats.ttest_1samp(table[name], 0, alternative="greater").pvalue for name in table]
    assert found["m0"] == pytest.approx(min(1, 3 * expected[0]))
    assert found["m2"] == 1
    assert found["m0"] < above_zero(table, 0.25)["m0"]  # widened
    assert above_zero(table.head(1), 0.25).tolist() == [1, 1, 1]


def test_identical_candidates_have_no_difference():
    table = scores(3, candidates=2)
    row = compare(table.assign(m1=table["m0"]), 0.25).iloc[0]
    assert (row["difference"], row["tukey_p"], row["corrected_p"]) == (0, 1, 1)


def test_what_cannot_be_compared_is_refused():
    table = scores(0)
    table.loc[2, "m1"] = np.nan
    with pytest.raises(UserError, match="m1: no score in resample 2"):
        compare(table, 0.25)
    with pytest.raises(UserError, match="1 resamples"):
        compare(scores(0).head(1), 0.25)
