"""Tests, corrections and verdicts: against scipy and statsmodels, by hand, and all of an experiment together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from made_up_effects import METHODS, comparison, selected
from roftmol.statistics import comparisons, stage
from roftmol.statistics.blocks import families
from roftmol.statistics.comparisons import mean_ranks, pairs, smallest_n, verdict, wilcoxon
from roftmol.statistics.holm import holm
from roftmol.tasks import PRIMARY


def test_wilcoxon_is_scipys_and_zeros_say_nothing():
    gaps = np.array([0.1, -0.2, 0.3, 0.4, 0.5, 0.61])
    assert wilcoxon(gaps) == stats.wilcoxon(gaps, method="exact").pvalue
    assert wilcoxon(np.append(gaps, [0.0, 0.0])) == wilcoxon(gaps)
    assert wilcoxon(np.zeros(4)) == 1.0


@pytest.mark.parametrize("comparisons", [1, 2, 10, 55])
def test_smallest_n_is_where_significance_begins(comparisons: int):
    def least(n: int) -> float:
        p = np.ones(comparisons)
        p[0] = wilcoxon(np.arange(1.0, n + 1))
        return holm(p)[0]

    n = smallest_n(comparisons)
    assert least(n) <= 0.05 < least(n - 1)


def test_holm_by_hand_and_unknown_p_are_not_counted():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.01, np.nan, 0.04])) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


def test_holm_is_statsmodels():
    p = np.random.default_rng(0).random(20) ** 3
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_mean_ranks_and_groups():
    effects = {"full_ft": 0.0, "l2_sp": 0.1, "bss": 0.001, "fingerprint": -0.1}
    (family,) = families(selected(effects, 12, seeds=5))
    tested = pairs(family)
    ranks = mean_ranks(family, tested).set_index("method")
    expected = family.block.rank(axis=1, ascending=False).mean()
    pd.testing.assert_series_equal(ranks["mean_rank"], expected[ranks.index], check_names=False)
    assert ranks.index[0] == "l2_sp"
    assert ranks.index[-1] == "fingerprint"
    friedman = stats.friedmanchisquare(*family.block.to_numpy().T).pvalue
    assert ranks["friedman_p"].iloc[0] == pytest.approx(friedman)
    letters = {name: set(text) for name, text in ranks["groups"].items()}
    for a, b, p in zip(tested["a"], tested["b"], tested["p_holm"], strict=True):
        assert bool(letters[a] & letters[b]) == (p > 0.05), (a, b)
    assert not letters["l2_sp"] & letters["fingerprint"]
    assert ranks["enough"].all()
    lower = next(families(selected(effects, 12, metric="rmse")))
    assert mean_ranks(lower, pairs(lower))["method"].iloc[0] == "fingerprint"  # a low RMSE is good


def test_five_per_cent_of_an_rmse_are_five_per_cent_of_the_ratio_either_way():
    region = PRIMARY["rmse"].region
    at = np.log(1.0499)
    assert region.contains(-at, at, True)
    assert not region.contains(0.0, np.log(1.0501), True)
    assert not region.contains(-np.log(1.0501), 0.0, True)
    assert verdict(region, True, -1, 0.0, 0.0495, 0.001) == "undecided"  # 0.0495 is a ratio of 1.0507
    assert PRIMARY["roc_auc"].region.contains(-0.01, 0.01, False)


def test_a_verdict_by_its_parts():
    region = PRIMARY["roc_auc"].region
    assert verdict(region, False, 1, 0.001, 0.009, 0.001) == "equivalent"
    assert verdict(region, False, 1, 0.02, 0.04, 0.001) == "better"
    assert verdict(region, False, -1, 0.02, 0.04, 0.001) == "worse"
    assert verdict(region, False, 1, 0.02, 0.04, 0.06) == "undecided"
    assert verdict(region, False, 1, -0.01, 0.04, 0.001) == "undecided"
    assert verdict(region, False, 1, np.nan, np.nan, 0.001) == "undecided"
    assert PRIMARY["rmse"].region.contains(-np.log(1.049), np.log(1.049), True)
    assert not PRIMARY["rmse"].region.contains(-np.log(1.06), 0.0, True)


def test_tests_that_cannot_be_significant_are_not_counted():
    """Tarone 1990: by hand, of 3 tests that could have p = 0.001 and 40 that could not be below 0.02."""
    least = np.array([0.001] * 3 + [0.02] * 40)
    assert comparisons.can_be_significant(least, 0.05).tolist() == [True] * 3 + [False] * 40
    assert comparisons.can_be_significant(least[3:], 0.05).sum() == 0
    assert comparisons.can_be_significant(least[3:5], 0.05).all()
    assert not len(comparisons.can_be_significant(np.array([]), 0.05))


def test_all_of_an_experiment_are_corrected_together_and_each_pair_once():
    parts = [selected(dict.fromkeys(METHODS, 0.0), 12, seeds=2, model=model) for model in ("one", "two")]
    together = pd.concat(parts).drop_duplicates(["model", "dataset", "method", "seed"])
    table = stage.made(together, replicates=50)["comparisons"]
    over = table[table["dataset"] == "all"]
    # of two models each: three methods against full FT, three against the fingerprint, one pair in both directions
    assert over["comparisons"].tolist() == [10] * 12
    once = over[~comparisons._pair(over).duplicated()]
    assert once["p_holm"].to_numpy() == pytest.approx(multipletests(once["p"], method="holm")[1])
    there, back = over_datasets(table, "full_ft", "fingerprint"), over_datasets(table, "fingerprint", "full_ft")
    assert there["p_holm"].tolist() == back["p_holm"].tolist()


def over_datasets(table: pd.DataFrame, method: str, reference: str) -> pd.DataFrame:
    return table[(table["method"] == method) & (table["reference"] == reference) & (table["dataset"] == "all")]


def test_the_two_kinds_of_comparisons_share_what_may_err():
    """Over datasets and on single ones, 5% in all."""
    table = stage.made(selected(dict.fromkeys(METHODS, 0.0), 12, seeds=6), replicates=50)["comparisons"]
    over = table["dataset"] == "all"
    once = comparisons._pair(table)
    for here, share, count in ((over, 0.8, 5), (~over, 0.2, 60)):
        rows = table[here & ~once.duplicated()]
        assert len(rows) == count
        assert rows["enough"].all()
        expected = np.minimum(multipletests(rows["p"], method="holm")[1] / share, 1)
        assert rows["p_holm"].to_numpy() == pytest.approx(expected)


def test_few_seeds_cannot_be_significant_whatever_the_difference():
    few, more = (selected(dict.fromkeys(METHODS, 0.0) | {"bss": 0.3}, 4, seeds=seeds) for seeds in (3, 6))
    rows = stage.made(few, replicates=50)["comparisons"]
    assert not rows["enough"].any()
    assert rows["p_holm"].isna().all()
    assert not rows["verdict"].isin(["better", "worse"]).any()
    told = comparison(stage.made(few, replicates=50), "bss", dataset="set01")
    assert told[["comparisons", "smallest_n"]].tolist() == [20, 4]
    assert comparison(stage.made(more, replicates=50), "bss", dataset="set01")["verdict"] == "better"
    least = comparisons.least_p_of_seeds(3)
    assert least == pytest.approx(2 * stats.t.sf(10 * np.sqrt(3), 2))
    assert comparisons.least_p_of_seeds(10, 0.25) == pytest.approx(2 * stats.t.sf(10 * np.sqrt(10 / 3.5), 9))
