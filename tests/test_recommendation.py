"""From scores over resamples to a verdict: what is told apart, what is taken, and what is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from roftmol import schemas
from roftmol.errors import UserError
from roftmol.recommendation import VerdictSettings, after_choosing, judge
from roftmol.statistics.resampled import compare, interval

SETTINGS = VerdictSettings("mine", "logS", "regression", "rmse", "cv")
COST = {"fingerprint": 0.1, "linear_probing": 0.5, "full_ft": 4.0, "wise_ft": 1.0, "l2_sp": 8.0}


def tables(means: dict[str, float], spread: float = 0.05, metric: str = "rmse", resamples: int = 10):
    """The tables of methods with these true scores; a resample is hard or easy for all of them."""
    rng = np.random.default_rng(len(means))
    hard = 0.2 * rng.normal(size=resamples)
    selected, timings = [], []
    for method, mean in means.items():
        cell = {"model": "morgan" if method == "fingerprint" else "gin", "method": method}
        noise = spread * rng.normal(size=resamples)
        selected += [
            {**cell, "seed": seed, "metric": metric, "test_value": mean + hard[seed] + noise[seed] - noise.mean()}
            for seed in range(resamples)
        ]
        timings += [{**cell, "seed": seed, "cpu_seconds": COST[method]} for seed in range(resamples)]
    return pd.DataFrame(selected), pd.DataFrame(timings)


def row(ranking: pd.DataFrame, method: str) -> pd.Series:
    return ranking[ranking["method"] == method].iloc[0]


def test_a_clear_winner_is_taken():
    ranking, verdict = judge(*tables({"fingerprint": 1.5, "linear_probing": 1.6, "full_ft": 1.0}), SETTINGS)
    schemas.table("ranking", ranking)
    assert verdict["choice"] == {"model": "gin", "method": "full_ft"}
    assert verdict["not_behind"] == [verdict["choice"]]
    assert ranking["behind"].tolist() == [False, True, True]
    assert verdict["sentences"][0] == "Full FT is better than every other method. Take it."
    assert "better than the fingerprint baseline" in verdict["sentences"][1]


def test_the_cheapest_of_equals_is_taken_unless_the_best_is_asked_for():
    given = tables({"linear_probing": 1.01, "full_ft": 1.0, "l2_sp": 0.99})
    assert judge(*given, SETTINGS)[1]["choice"]["method"] == "linear_probing"
    best = judge(*given, VerdictSettings("mine", "logS", "regression", "rmse", "cv", "best"))[1]
    assert best["choice"] == best["best"] == {"model": "gin", "method": "l2_sp"}


def test_the_fingerprint_can_be_as_good():
    _, verdict = judge(*tables({"fingerprint": 1.01, "full_ft": 1.0, "linear_probing": 1.8}), SETTINGS)
    assert verdict["choice"]["method"] == "fingerprint"
    assert "the fingerprint baseline is as good as far as these labels can tell" in verdict["sentences"][0]


def test_higher_is_better_for_roc_auc():
    given = tables({"fingerprint": 0.6, "full_ft": 0.9}, metric="roc_auc", spread=0.01)
    ranking, verdict = judge(*given, VerdictSettings("mine", "active", "classification", "roc_auc", "cv"))
    assert verdict["choice"]["method"] == "full_ft"
    assert row(ranking, "full_ft")["vs_fingerprint"] == pytest.approx(0.3)


def test_numbers_are_those_of_the_statistics():
    selected, timings = tables({"fingerprint": 1.2, "full_ft": 1.0, "wise_ft": 1.1})
    ranking, verdict = judge(selected, timings, SETTINGS)
    scores = selected.pivot(index="seed", columns="method", values="test_value")
    full, wise = row(ranking, "full_ft"), row(ranking, "wise_ft")
    assert (full["mean"], full["std"]) == pytest.approx((scores["full_ft"].mean(), scores["full_ft"].std()))
    assert (full["low"], full["high"]) == pytest.approx(interval(scores["full_ft"].to_numpy(), 0.25))
    assert verdict["expected"]["new_low"] < full["low"] < full["mean"] < full["high"] < verdict["expected"]["new_high"]
    assert wise["vs_full_ft"] == pytest.approx((scores["wise_ft"] - scores["full_ft"]).mean())
    expected = compare(-scores[["full_ft", "wise_ft", "fingerprint"]], 0.25).iloc[0]
    assert (wise["tukey_p"], wise["corrected_p"]) == pytest.approx((expected["tukey_p"], expected["corrected_p"]))
    assert wise["cpu_seconds"] == pytest.approx(COST["wise_ft"] + COST["full_ft"])  # it mixes full FT's weights


def test_a_method_without_all_scores_is_left_out_and_said_so():
    selected, timings = tables({"fingerprint": 1.2, "full_ft": 1.0, "l2_sp": 0.5})
    selected.loc[(selected["method"] == "l2_sp") & (selected["seed"] == 3), "test_value"] = np.nan
    ranking, verdict = judge(selected, timings, SETTINGS)
    schemas.table("ranking", ranking)
    assert verdict["candidates"] == 2
    assert row(ranking, "l2_sp")[["place", "resamples", "note"]].tolist() == [0, 9, "no score in 1 resamples"]
    selected["test_value"] = np.nan
    with pytest.raises(UserError, match="no method has a score in every resample"):
        judge(selected, timings, SETTINGS)


def test_one_candidate_is_taken():
    ranking, verdict = judge(*tables({"full_ft": 1.0}), SETTINGS)
    assert verdict["choice"]["method"] == "full_ft"
    assert np.isnan(row(ranking, "full_ft")["vs_fingerprint"])


def test_the_luck_of_the_best_is_told():
    # Equal candidates: the best mean is lucky, and on a resample that had no part in the choice it is as the others.
    rng = np.random.default_rng(0)
    best, elsewhere = [], []
    for _ in range(300):
        gains = pd.DataFrame(rng.normal(size=(10, 5)))
        best.append(gains.mean().max())
        elsewhere.append(after_choosing(gains))
    assert np.mean(best) > 0.3  # the expected largest of five means is 1.16 / sqrt(10)
    assert abs(np.mean(elsewhere)) < 3 * np.std(elsewhere) / np.sqrt(300)


def test_the_fingerprint_is_the_cheapest_whatever_its_forest_took():
    selected, timings = tables({"fingerprint": 1.01, "linear_probing": 1.0})
    timings.loc[timings["method"] == "fingerprint", "cpu_seconds"] = 9.0
    assert judge(selected, timings, SETTINGS)[1]["choice"]["method"] == "fingerprint"


def test_intervals_end_where_the_metric_does():
    ranking, _ = judge(*tables({"full_ft": 0.1, "l2_sp": 0.2}), SETTINGS)
    assert ranking["new_low"].min() == 0
    given = tables({"full_ft": 0.95, "l2_sp": 0.9}, metric="roc_auc")
    ranking, _ = judge(*given, VerdictSettings("mine", "active", "classification", "roc_auc", "cv"))
    assert ranking["new_high"].max() == 1
