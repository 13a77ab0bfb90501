"""Small versions of `make test-slow`: no difference is found where there is none, and intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import made_up_tables
import null_recommendation
import null_simulation
from roftmol.statistics import stage


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
            made_up_tables.selected_rows(
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


@pytest.mark.parametrize("candidates", [4, 11])  # the ends of what the benchmark tries
def test_equal_candidates_are_not_called_behind_nor_taken_for_predictors(candidates):
    """A quick part of benchmarks/null_recommendation.py, through the same judge."""
    found = null_recommendation.rates(null_recommendation.Null(candidates), experiments=60)
    assert found.behind <= null_simulation.bound(0.05, 60)
    assert found.predictable <= null_simulation.bound(0.05, 60)


def test_lucky_fits_are_called_better_no_more_often_than_others():
    rates = null_simulation.over_panels(null_simulation.Panel(13, 5, luck=0.03), 60, replicates=50)
    assert rates["joint_ft"] <= null_simulation.bound(0.05, 60)
    assert rates["l2_sp"] > 0.15  # by the rule of single fits


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


@pytest.mark.parametrize("shape", [null_simulation.DEFAULT, null_simulation.ONE], ids=["default", "cross-validation"])
@pytest.mark.parametrize("permuted", [False, True], ids=["equal", "permuted"])
def test_a_page_without_a_difference_prefers_no_method(shape: null_simulation.Shape, permuted: bool):
    rates = null_simulation.pages(shape, 8, permuted)
    assert rates["page"] <= null_simulation.bound(0.05, 8)
    assert abs(rates["cannot"] - permuted) <= null_simulation.bound(0.05, 8)


def test_a_page_with_a_large_difference_says_so():
    shape = null_simulation.replace(null_simulation.MANY, better={"l2_sp": 0.6})
    assert null_simulation.pages(shape, 1)["sentences"] == 1
