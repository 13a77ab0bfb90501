"""One fit of all datasets of a panel: its luck is on every one of them, and counts once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from made_up_effects import comparison, selected
from roftmol.statistics import bootstrap, stage
from roftmol.statistics.blocks import families
from roftmol.statistics.bootstrap import Luck, Pair
from roftmol.statistics.comparisons import pairs, wilcoxon


def pair(name: str, by_seed: dict[int, float], overlap: float = 0.0) -> Pair:
    """A dataset on which a method is ahead by so much in each seed."""
    ahead = np.array(list(by_seed.values()))
    return Pair(name, 0.7 + ahead, np.full(len(ahead), 0.7), overlap=overlap, seeds=tuple(by_seed))


def test_luck_is_the_variance_of_the_seeds_means_over_what_all_datasets_have():
    one, other = pair("a", {1: 0.1, 2: 0.2, 3: 0.6}), pair("b", {3: 0.2, 1: 0.3})
    found = bootstrap.luck([one, other], False)  # means of 0.2 in seed 1, 0.4 in seed 3
    assert found == Luck(pytest.approx(0.02 / 2), 2)
    overlapping = [pair("a", {1: 0.1, 3: 0.6}, 0.25), pair("b", {3: 0.2, 1: 0.3}, 0.25)]
    assert bootstrap.luck(overlapping, False) == Luck(pytest.approx(0.02 * (1 / 2 + 0.25)), 2)
    by_ratio = bootstrap.luck([one, other], True)
    logarithms = np.log([[0.8, 1.3], [1.0, 0.9]]) - np.log(0.7)
    assert by_ratio == Luck(pytest.approx(logarithms.mean(0).var(ddof=1) / 2), 2)
    assert bootstrap.luck([one, pair("b", {3: 0.2, 4: 0.3})], False) is None


def test_variances_add_up_and_the_degrees_of_freedom_are_satterthwaites():
    assert bootstrap.student(0.3, 7, None) == (0.3, 6)
    assert bootstrap.student(0.3, 7, Luck(0.0, 3)) == (0.3, 6)
    assert bootstrap.student(0.3, 7, Luck(0.16, 3)) == pytest.approx((0.5, 0.25**2 / (0.09**2 / 6 + 0.16**2 / 2)))
    assert bootstrap.student(0.0, 7, Luck(0.16, 3)) == pytest.approx((0.4, 2))


def test_what_is_luck_alone_has_the_interval_of_the_seeds():
    """Equal on all datasets, so that these say nothing more: many of them leave the t interval of the seeds."""
    by_seed = {1: 0.04, 2: -0.02, 3: 0.01, 4: 0.05}
    many = [pair(str(number), by_seed) for number in range(200)]
    rng = np.random.default_rng(0)
    found = bootstrap.several(many, False, rng, 400, together=True)
    low, high = stats.ttest_1samp(list(by_seed.values()), 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02 * (high - low))
    assert found.p == pytest.approx(stats.ttest_1samp(list(by_seed.values()), 0).pvalue, rel=0.05)
    assert found.levels == ("datasets", "seeds")
    alone = bootstrap.several(many, False, rng, 400)
    assert alone.high - alone.low < 0.1 * (high - low)


def test_without_two_seeds_that_all_datasets_have_luck_is_not_covered():
    apart = [pair("a", {1: 0.1, 2: 0.2}), pair("b", {3: 0.1, 4: 0.2}), pair("c", {1: 0.1, 3: 0.2})]
    rng = np.random.default_rng(0)
    assert bootstrap.several(apart, False, rng, 100, together=True).levels == ("datasets",)
    assert bootstrap.several(apart, False, rng, 100).levels == ("datasets", "seeds")


def ahead(by_seed: list[float], method: str, datasets: int = 12) -> dict[str, pd.DataFrame]:
    """The tables where a method is ahead of full FT by so much in each seed, and by a little more on some datasets."""
    rows = selected({"full_ft": 0.0, method: 0.0}, datasets, seeds=len(by_seed))
    of_method = rows["method"] == method
    rows.loc[of_method, "test_value"] += rows.loc[of_method, "seed"].map(dict(enumerate(by_seed)))
    return stage.made(rows, replicates=100)


def test_a_lucky_fit_is_not_taken_for_a_better_method():
    lucky = [0.12, 0.0, 0.01]
    assert comparison(ahead(lucky, "l2_sp"), "l2_sp")["verdict"] == "better"  # a fit of its own on each dataset
    assert comparison(ahead(lucky, "joint_ft"), "joint_ft")["verdict"] == "undecided"
    found = comparison(ahead([0.05, 0.06, 0.04], "joint_ft"), "joint_ft")
    assert found["verdict"] == "better"  # in every fit alike
    assert comparison(ahead([0.05], "joint_ft"), "joint_ft")["verdict"] == "undecided"


def test_p_of_single_fits_is_wilcoxons_and_that_of_fits_of_all_is_no_less():
    lucky = [0.12, 0.0, 0.01]
    single, joint = comparison(ahead(lucky, "l2_sp"), "l2_sp"), comparison(ahead(lucky, "joint_ft"), "joint_ft")
    assert single["p"] == wilcoxon(np.arange(1.0, 13))
    assert joint["p"] > 0.2
    assert joint["difference"] == pytest.approx(single["difference"], abs=0.005)
    steady = comparison(ahead([0.05, 0.05, 0.05], "joint_ft"), "joint_ft")
    assert steady["p"] == wilcoxon(np.arange(1.0, 13))


def test_ranks_do_not_tell_a_lucky_fit_from_single_ones():
    for by_seed, tells in (([0.12, 0.0, 0.01], False), ([0.05, 0.06, 0.04], True), ([0.05], False)):
        (p,) = ahead(by_seed, "joint_ft")["pairs"]["p"]
        assert (p < 0.05) == tells
        (p,) = ahead(by_seed, "l2_sp")["pairs"]["p"]
        assert p == wilcoxon(np.arange(1.0, 13))


def test_methods_of_panels_alone_are_affected():
    (family,) = families(selected({"full_ft": 0.0, "l2_sp": 0.02, "joint_ft": 0.02}, 12))
    p = {(row["a"], row["b"]): row["p"] for row in pairs(family).to_dict("records")}
    block = family.block
    assert p["full_ft", "l2_sp"] == wilcoxon((block["full_ft"] - block["l2_sp"]).to_numpy())


def test_p_of_ranks_is_that_of_both_variances():
    rows = selected({"full_ft": 0.0, "joint_ft": 0.02}, 12)
    lucky = (rows["method"] == "joint_ft") & (rows["seed"] == 1)
    rows.loc[lucky, "test_value"] += 0.03
    rows.loc[(rows["method"] == "joint_ft") & (rows["dataset"] == "set03"), "test_value"] += 0.2
    wide = rows.pivot(index="dataset", columns=["method", "seed"], values="test_value")
    effects = (wide["full_ft"] - wide["joint_ft"]).to_numpy()  # datasets x seeds
    of_datasets, of_seeds = (effects.mean(axis).var(ddof=1) / effects.shape[1 - axis] for axis in (1, 0))
    freedom = (of_datasets + of_seeds) ** 2 / (of_datasets**2 / 11 + of_seeds**2 / 2)
    expected = 2 * stats.t.sf(abs(effects.mean()) / np.sqrt(of_datasets + of_seeds), freedom)
    assert expected > wilcoxon(effects.mean(1))
    (family,) = families(rows)
    assert pairs(family)["p"].tolist() == pytest.approx([expected])
