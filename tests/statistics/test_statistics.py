"""Statistics over datasets: against scipy and statsmodels, on data with and without a difference, and what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import synthetic
from scipy import stats
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

import null_simulation
from roftmol.core.errors import UserError
from roftmol.figures.cells import Results
from roftmol.report import statistics as report
from roftmol.scoring import metrics
from roftmol.statistics import TABLES, bootstrap, comparisons, resampled, stage
from roftmol.statistics.blocks import families
from roftmol.statistics.bootstrap import Pair
from roftmol.statistics.comparisons import mean_ranks, pairs, smallest_n, verdict, wilcoxon
from roftmol.statistics.holm import holm
from roftmol.tables import schemas
from roftmol.tasks import PRIMARY

METHODS = ("full_ft", "l2_sp", "bss", "fingerprint")


def selected(effects: dict[str, float], datasets: int, seeds: int = 3, metric: str = "roc_auc", **cell: str):
    """Methods whose scores differ from full FT's by these, on datasets of very different difficulty."""
    rng = np.random.default_rng(datasets)
    frames = []
    for number in range(datasets):
        level, shared = (0.6 + 0.02 * number if metric == "roc_auc" else 2.0**number), rng.normal(size=seeds)
        noise = {name: 0.003 * rng.normal(size=seeds) for name in effects}
        if metric == "rmse":
            values = {name: level * np.exp(by + 0.01 * shared + noise[name]) for name, by in effects.items()}
        else:
            values = {name: level + by + 0.01 * shared + noise[name] for name, by in effects.items()}
        rows = {name: list(scores) for name, scores in values.items()}
        frames.append(synthetic.selected_rows(rows, dataset=f"set{number:02}", metric=metric, **cell))
    return pd.concat(frames, ignore_index=True)


def whole(tables: dict[str, pd.DataFrame], method: str, reference: str = "full_ft", dataset: str = "all") -> pd.Series:
    table = tables["comparisons"]
    rows = table[(table["method"] == method) & (table["reference"] == reference) & (table["dataset"] == dataset)]
    assert len(rows) == 1
    return rows.iloc[0]


# Blocks


def test_nothing_is_pooled_that_is_not_alike():
    table = pd.concat(
        [
            selected(dict.fromkeys(METHODS, 0.0), 2),
            selected(dict.fromkeys(METHODS, 0.0), 2, metric="rmse").replace({"set00": "r0", "set01": "r1"}),
            selected({"full_ft": 0.0, "l2_sp": 0.0}, 2, model="other"),
            selected(dict.fromkeys(METHODS, 0.0), 2, split="random"),
        ]
    )
    found = list(families(table))
    keys = [(f.model, f.split, f.metric) for f in found]
    assert len(set(keys)) == len(keys) == 4
    assert sorted(next(f for f in found if f.metric == "rmse").scores) == ["r0", "r1"]
    # the baseline has no encoder: it stands beside those of every model, under the same conditions
    assert next(f for f in found if f.model == "other").methods == ["fingerprint", "full_ft", "l2_sp"]


def test_a_block_is_complete_and_pairs_use_what_both_have():
    table = selected(dict.fromkeys(METHODS, 0.0), 4)
    table.loc[(table["method"] == "bss") & (table["dataset"] == "set01"), "test_value"] = np.nan
    table.loc[(table["method"] == "l2_sp") & table["dataset"].isin(["set00", "set01", "set02"]), "test_value"] = np.nan
    table.loc[(table["method"] == "bss") & (table["dataset"] == "set02") & (table["seed"] == 0), "test_value"] = np.nan
    (family,) = families(table)
    assert list(family.block.columns) == ["bss", "fingerprint", "full_ft"]
    assert list(family.block.index) == ["set00", "set02", "set03"]
    assert "without l2_sp" in family.left_out
    assert "without set01" in family.left_out
    own = table[(table["method"] == "full_ft") & (table["dataset"] == "set02")].set_index("seed")["test_value"]
    assert family.block.loc["set02", "full_ft"] == pytest.approx(own[[1, 2]].mean())  # the seeds that all have
    assert list(family.paired("l2_sp", "full_ft")) == ["set03"]
    tables = stage.made(table, replicates=50)
    assert whole(tables, "l2_sp")["note"].startswith("without set00, set01, set02")
    assert whole(tables, "bss")[["datasets", "seeds"]].tolist() == [3, 2]


def test_a_method_that_lacks_half_of_the_data_sets_stays_in_the_block_and_one_that_lacks_more_does_not():
    table = selected(dict.fromkeys(METHODS, 0.0), 4)
    for method, gone in {"bss": ["set00", "set01"], "l2_sp": ["set00", "set01", "set02"]}.items():
        table.loc[(table["method"] == method) & table["dataset"].isin(gone), "test_value"] = np.nan
    (family,) = families(table)
    assert list(family.block.columns) == ["bss", "fingerprint", "full_ft"]
    assert list(family.block.index) == ["set02", "set03"]


# Tests of hypotheses


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


# Resampled molecules


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


# Intervals


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


# The tables


def test_a_better_method_is_found_and_a_small_difference_is_none():
    effects = {"full_ft": 0.0, "l2_sp": 0.1, "bss": 0.002, "fingerprint": -0.1}
    tables = stage.made(selected(effects, 10, seeds=5), replicates=300)
    for name in TABLES:
        schemas.table(name, tables[name])
    assert {name: whole(tables, name)["verdict"] for name in effects if name != "full_ft"} == {
        "l2_sp": "better",
        "bss": "equivalent",
        "fingerprint": "worse",
    }
    best = whole(tables, "l2_sp")
    assert best["difference"] == pytest.approx(0.1, abs=0.003)
    assert best["low"] < best["difference"] < best["high"]
    assert best["p"] == 2 / 2**10
    assert best[["comparisons", "smallest_n", "enough", "levels"]].tolist() == [5, 8, True, "datasets, seeds"]
    turned = whole(tables, "full_ft", "fingerprint")
    back = whole(tables, "fingerprint")
    assert [turned["low"], turned["high"]] == pytest.approx([-back["high"], -back["low"]])


def test_rmse_is_compared_by_ratios():
    effects = {"full_ft": 0.0, "l2_sp": -0.2, "bss": 0.01, "fingerprint": 0.2}
    tables = stage.made(selected(effects, 8, seeds=5, metric="rmse"), replicates=300)
    best = whole(tables, "l2_sp")
    # every ratio is the same, however much larger the differences are where labels have a larger unit
    assert best["relative"] == pytest.approx(np.exp(-0.2) - 1, abs=0.003)
    assert best["low"] < best["relative"] < best["high"] < 0
    assert best["difference"] < -1
    assert [whole(tables, name)["verdict"] for name in ("l2_sp", "bss", "fingerprint")] == [
        "better", "equivalent", "worse",
    ]  # fmt: skip


def test_too_few_data_sets_decide_nothing_and_say_so():
    tables = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.0}, 3), replicates=100)
    row = whole(tables, "l2_sp")
    assert row[["verdict", "smallest_n", "enough", "p"]].tolist() == ["undecided", 7, False, 0.25]
    assert not tables["mean_ranks"]["enough"].any()
    assert whole(tables, "l2_sp", dataset="set01")["verdict"] == "better"  # on that dataset, over its seeds


def test_one_data_set_has_its_own_interval_and_no_verdict_over_data_sets():
    tables = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2}, 1), replicates=100)
    overall, own = whole(tables, "l2_sp"), whole(tables, "l2_sp", dataset="set00")
    assert overall["levels"] == own["levels"] == "seeds"
    assert (overall["verdict"], own["verdict"]) == ("undecided", "better")
    single = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2}, 1, seeds=1), replicates=100)
    assert whole(single, "l2_sp", dataset="set00")[["levels", "verdict"]].tolist() == ["", "undecided"]


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


def test_tables_without_methods_to_compare_are_empty(tmp_path: Path):
    for name, table in stage.made(schemas.empty("selected")).items():
        schemas.write(name, table, tmp_path / f"{name}.parquet")
        assert not len(schemas.read(name, tmp_path / f"{name}.parquet"))
    alone = stage.made(selected({"l2_sp": 0.0}, 2))
    assert [len(alone[name]) for name in TABLES] == [0, 0, 0]


def read(rows: pd.DataFrame) -> Results:
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    return Results(synthetic.summarise(rows), rows, *blank, **stage.made(rows, replicates=50))


def test_the_report_says_how_many_data_sets_it_would_take():
    results = read(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.0}, 3))
    assert report.power(results) == (
        "3 datasets are too few to tell methods apart over datasets: 2 comparisons take 7 or more."
    )
    assert report.beyond_chance(results) == ""
    table = report.comparisons_table(results)
    assert len(table.rows) == len(table.facets) == len(results.comparisons)
    place = list(table.columns).index("Verdict")
    over = [row for row in table.rows if row[place - 3].text == "all 3"]
    assert [row[place].text for row in over] == ["too few datasets", "equivalent"]
    assert [row[place + 1].text for row in over] == ["–"] * 2  # a p that could not have been small is not shown
    enough = read(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.0}, 8))
    assert report.power(enough) == ""


def test_the_report_says_how_many_differences_are_beyond_chance():
    def said(effects: dict[str, float], datasets: int) -> str:
        return report.beyond_chance(read(selected(effects, datasets)))

    assert said({"full_ft": 0.0, "bss": 0.0}, 7) == (
        "Of 1 comparison with full FT over datasets, none is beyond chance."
    )
    effects = {"full_ft": 0.0, "l2_sp": 0.2, "scratch": -0.3}
    assert said(effects, 9) == ("Of 2 comparisons with full FT over datasets, corrected together, 2 are beyond chance.")
    assert said(effects, 2) == ""
    both = {"full_ft": 0.0, "l2_sp": 0.2, "fingerprint": 0.0}
    references = "full FT and the fingerprint baseline over datasets"
    assert said(both, 9) == f"Of 3 comparisons with {references}, corrected together, 2 are beyond chance."
    assert said({"full_ft": 0.0}, 2) == ""


# Corrected together


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
    there, back = whole_of(table, "full_ft", "fingerprint"), whole_of(table, "fingerprint", "full_ft")
    assert there["p_holm"].tolist() == back["p_holm"].tolist()


def whole_of(table: pd.DataFrame, method: str, reference: str) -> pd.DataFrame:
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
    told = whole(stage.made(few, replicates=50), "bss", dataset="set01")
    assert told[["comparisons", "smallest_n"]].tolist() == [20, 4]
    assert whole(stage.made(more, replicates=50), "bss", dataset="set01")["verdict"] == "better"
    least = comparisons.least_p_of_seeds(3)
    assert least == pytest.approx(2 * stats.t.sf(10 * np.sqrt(3), 2))
    assert comparisons.least_p_of_seeds(10, 0.25) == pytest.approx(2 * stats.t.sf(10 * np.sqrt(10 / 3.5), 9))


# The constant predictor


def constant_and(levels: dict[str, float], datasets: int = 2, seeds: int = 3, **cell: str) -> pd.DataFrame:
    table = selected(levels | {"constant": 0.0}, datasets, seeds=seeds, **cell)
    table.loc[table["method"] == "constant", "test_value"] = 0.5
    return table


def test_the_constant_predictor_is_a_reference_and_has_no_rank():
    tables = stage.made(constant_and(dict.fromkeys(METHODS, 0.2), 12), replicates=50)
    table = tables["comparisons"]
    assert "constant" not in set(table["method"])
    assert set(table.loc[table["reference"] == "constant", "method"]) == set(METHODS)
    assert "constant" not in set(tables["mean_ranks"]["method"])
    assert not {"constant"} & {*tables["pairs"]["a"], *tables["pairs"]["b"]}


def test_it_is_one_comparison_for_all_models():
    """The fingerprint against the constant predictor, neither of which has an encoder."""
    frames = [constant_and(dict.fromkeys(METHODS, 0.2), 2, seeds=5, model=model) for model in ("one", "two")]
    table = stage.made(pd.concat(frames).drop_duplicates(["model", "dataset", "method", "seed"]), replicates=50)
    rows = table["comparisons"]
    rows = rows[(rows["reference"] == "constant") & (rows["method"] == "fingerprint") & (rows["dataset"] == "set00")]
    assert len(rows) == 2
    for column in ("p", "p_holm", "low", "high"):
        assert rows[column].nunique() == 1


def test_the_stage_asks_molecules_whether_labels_can_be_predicted_and_seeds_which_method_is_better():
    table = constant_and({"full_ft": 0.2, "l2_sp": 0.2}, 1, seeds=2)
    rng = np.random.default_rng(0)
    cells = {stage.Cell(*key): rows for key, rows in table.groupby([*stage.Cell._fields])}

    def resample(cell: stage.Cell) -> stage.Resampled:
        values = zip(cells[cell]["seed"], cells[cell]["test_value"], strict=True)
        return stage.Resampled({seed: value + 0.01 * rng.normal(size=400) for seed, value in values}, 60)

    tables = stage.made(table, resample, 400)
    against, other = (whole(tables, "l2_sp", name, dataset="set00") for name in ("constant", "full_ft"))
    assert (against["levels"], other["levels"]) == ("molecules", "seeds, molecules")
    assert (against["verdict"], against["enough"]) == ("better", True)  # by two seeds, which show nothing of methods
    assert other["verdict"] in ("undecided", "equivalent")
    without = stage.made(table, replicates=50)
    assert whole(without, "l2_sp", "constant", dataset="set00")["levels"] == "seeds"


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


def test_one_data_set_is_one_row_of_the_report():
    rows = selected({"full_ft": 0.0, "l2_sp": 0.2}, 1)
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    results = Results(synthetic.summarise(rows), rows, *blank, **stage.made(rows, replicates=50))
    (row,) = report.comparisons_table(results).rows
    assert "set00" in [cell.text for cell in row]


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


def test_a_difference_of_roc_auc_ends_where_roc_auc_does():
    rows = pd.concat(
        [
            selected({"full_ft": 0.0, "l2_sp": effect}, 1).assign(dataset=name)
            for name, effect in (("a", 0.3), ("b", -0.3))
        ],
        ignore_index=True,
    )
    whole_row = whole(stage.made(rows, replicates=200), "l2_sp")
    assert (whole_row["low"], whole_row["high"]) == (-1, 1)


# The stage, from predictions


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of two datasets whose scores are those of their predictions; one method is much better than the other."""
    rng = np.random.default_rng(5)
    tables = tmp_path_factory.mktemp("experiment")
    molecules, predictions, rows = [], [], []
    for dataset in ("one", "two"):
        labels = rng.normal(size=(80, 2))
        labels[rng.random((80, 2)) < 0.1] = np.nan
        molecules.append(_molecules(dataset, labels))
        for seed in range(3):
            part = np.sort(rng.permutation(80)[:30])
            shared = rng.normal(size=(30, 2))
            for method, error in (("full_ft", 1.0), ("l2_sp", 0.5)):
                guess = np.nan_to_num(labels[part]) + error * (shared + 0.2 * rng.normal(size=(30, 2)))
                run = {"protocol": "honest", "model": "gin", "dataset": dataset, "split": "random", "budget": "50"}
                run |= {"method": method, "setting": "{}", "seed": seed}
                guess = guess.astype(np.float32)
                predictions.append(
                    pd.DataFrame(
                        {**run, "partition": "test", "molecule": part, "prediction": list(guess), "spread": None}
                    )
                )
                value = metrics.primary("rmse", labels[part], guess)
                rows.append({**run, "metric": "rmse", "test_value": value})
    blank = {
        "rule": "validation",
        "candidates": 1,
        "failed": 0,
        "valid_value": 0.0,
        "valid_loss": 0.0,
        "test_r2": np.nan,
    }
    found = pd.DataFrame(rows).assign(**blank, seen=0.0, contamination="none", note="")
    schemas.write("selected", found, tables / "selected.parquet")
    schemas.write("molecules", pd.concat(molecules), tables / "molecules.parquet")
    schemas.write("predictions", pd.concat(predictions), tables / "predictions.parquet")
    return tables


def _molecules(dataset: str, labels: np.ndarray) -> pd.DataFrame:
    count = len(labels)
    words = dict.fromkeys(("smiles", "canonical", "scaffold", "group"), "")
    table = pd.DataFrame({"molecule": range(count), "row": range(count), "labels": list(labels)})
    return table.assign(dataset=dataset, atoms=1, **words)


def test_the_stage_covers_data_sets_seeds_and_molecules(experiment: Path, tmp_path: Path):
    stage.build(experiment, tmp_path, replicates=300)
    tables = {name: schemas.read(name, tmp_path / f"{name}.parquet") for name in TABLES}
    row, own = whole(tables, "l2_sp"), whole(tables, "l2_sp", dataset="one")
    assert row["levels"] == "datasets, seeds, molecules"
    assert own["levels"] == "seeds, molecules"
    assert own["verdict"] == "better"
    assert own["relative"] == pytest.approx(-0.5, abs=0.05)
    stage.build(experiment, tmp_path / "again", replicates=300)
    for name in TABLES:
        assert (tmp_path / f"{name}.parquet").read_bytes() == (tmp_path / "again" / f"{name}.parquet").read_bytes()


def test_replicates_are_of_the_cell_that_was_asked_for(experiment: Path):
    read = stage.Predictions(experiment, 200)
    cells = {name: stage.Cell("honest", "gin", "one", "random", "50", name) for name in ("full_ft", "l2_sp")}
    found = {name: read.resample(cell) for name, cell in cells.items()}
    selected_ = schemas.read("selected", experiment / "selected.parquet")
    for name, replicates in found.items():
        assert replicates is not None
        own = selected_[(selected_["method"] == name) & (selected_["dataset"] == "one")].set_index("seed")["test_value"]
        assert sorted(replicates.by_seed) == list(own.index)
        for seed, values in replicates.by_seed.items():
            assert values.mean() == pytest.approx(own[seed], rel=0.1)
    # the same molecules are drawn for both, so what is hard for both moves both
    assert np.corrcoef(found["full_ft"].by_seed[0], found["l2_sp"].by_seed[0])[0, 1] > 0.8
    assert read.resample(stage.Cell("honest", "gin", "one", "random", "50", "bss")) is None


def test_a_missing_table_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"selected\.parquet"):
        stage.build(tmp_path, tmp_path)


# Where there is no difference


def test_no_difference_is_found_where_there_is_none():
    """With datasets as blocks, at most the nominal rate; with their seeds as blocks, far more."""
    rates = null_simulation.over_datasets(null_simulation.Scores(12, 5), 300)
    assert rates["friedman"] <= null_simulation.bound(0.05, 300)
    assert rates["wilcoxon"] <= null_simulation.bound(0.05, 300)
    assert rates["friedman_rows"] > 0.3
    assert rates["wilcoxon_rows"] > 0.2


def test_the_stages_own_verdicts_hold_their_rate():
    """The whole of the tables, not the tests alone: a run in which any method is called better or worse is false."""
    rng, false, runs = np.random.default_rng(6), 0, 60
    for _ in range(runs):
        values = null_simulation.Scores(9, 3, methods=4).draw(rng)
        frames = [
            synthetic.selected_rows(
                {name: list(values[d, :, k] + 2) for k, name in enumerate(("full_ft", "l2_sp", "bss", "lp_ft"))},
                dataset=f"set{d}",
                metric="roc_auc",
            )
            for d in range(9)
        ]
        table = stage.made(pd.concat(frames, ignore_index=True), replicates=50)["comparisons"]
        said = table.loc[table["dataset"] == "all", "verdict"]
        false += said.isin(["better", "worse"]).any()
    assert false / runs <= null_simulation.bound(0.05, runs)


def test_resampled_comparisons_hold_their_rate_without_overlap():
    rates = null_simulation.over_resamples(False, 40)
    assert rates["tukey"] <= null_simulation.bound(0.05, 40)
    assert rates["corrected"] <= null_simulation.bound(0.05, 40)


@pytest.mark.parametrize(
    "runs",
    [
        null_simulation.Runs(6, 5),
        null_simulation.Runs(3, 3),
        null_simulation.Runs(1, 5),
        null_simulation.Runs(6, 3, metric="roc_auc"),
    ],
    ids=["six", "three", "one", "roc_auc"],
)
def test_intervals_hold_the_truth(runs: null_simulation.Runs):
    rates = null_simulation.coverage(runs, 100, 100)
    assert 1 - rates["interval"] <= null_simulation.bound(0.05, 100)
    assert rates["wide"] < 1.6  # not by being wide


def test_a_table_is_read_by_its_keys_and_no_row_group_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a filter over the whole finds them, also where a row group holds several cells and a cell several groups."""
    cells = [("a", 1), ("b", 2), ("b", 3), ("d", 4)]
    rows = [
        {**dict.fromkeys(schemas.RUN, ""), "method": method, "seed": seed, "partition": "test", "molecule": number}
        for method, seed in cells
        for number in range(5)
    ]
    frame = pd.DataFrame(rows).assign(prediction=[[0.5]] * len(rows), spread=None)
    path = tmp_path / "predictions.parquet"
    pq.write_table(schemas.table("predictions", frame), path, row_group_size=7)
    table = schemas.Indexed("predictions", path, ("method", "model"))
    for method in "abcd":
        found = table.read({"method": method, "model": ""}, ["seed", "molecule"]).to_pandas()
        wanted = frame.loc[frame["method"] == method, ["seed", "molecule"]].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    read: list[list[int]] = []
    original = pq.ParquetFile.read_row_groups

    def noted(file: pq.ParquetFile, groups: list[int], columns: list[str]):
        read.append(groups)
        return original(file, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    table.read({"method": "a"}, ["seed"])
    table.read({"method": "c"}, ["seed"])
    assert read == [[0], [2]]  # the last holds b to d
    with pytest.raises(UserError, match="expected table scores"):
        schemas.Indexed("scores", path, ("method",))


def test_a_cell_without_rows_is_found_empty_and_hides_no_other(tmp_path: Path):
    """As a cell whose fits all failed leaves it among the aggregated predictions."""
    path, schema = tmp_path / "predictions.parquet", schemas.schema("predictions")
    row = {
        **dict.fromkeys(schemas.RUN, "a"),
        "seed": 0,
        "partition": "test",
        "molecule": 1,
        "prediction": [0.5],
        "spread": None,
    }
    with pq.ParquetWriter(path, schema) as writer:
        for frame in (schemas.empty("predictions"), pd.DataFrame([row]), schemas.empty("predictions")):
            writer.write_table(schemas.table("predictions", frame))
    assert pq.read_metadata(path).num_row_groups == 3
    table = schemas.Indexed("predictions", path, ("method",))
    assert table.read({"method": "a"}, ["molecule"])["molecule"].to_pylist() == [1]
    assert table.read({"method": "b"}, ["molecule"]).num_rows == 0
