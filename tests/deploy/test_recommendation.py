"""From scores over resamples to a verdict: what is told apart, what is taken, and what is said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from roftmol.core.errors import UserError
from roftmol.deploy.ensemble import EnsembleSettings, Networks, fit_ensemble
from roftmol.deploy.record import PAGE, RECORDS
from roftmol.deploy.refit import tested as read_tested
from roftmol.deploy.verdict import VerdictSettings, choices_of_others, judge
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import graphs
from roftmol.methods import METHODS
from roftmol.statistics.resampled import compare, interval
from roftmol.tables import schemas
from roftmol.training import jobs
from roftmol.training.cell import folds
from roftmol.training.fit import TrainSettings
from small_dataset import SMILES, split_table

PRIOR = (("gin", "hybrid"), ("rdkit", "classical"), ("morgan", "fingerprint"))
SETTINGS = VerdictSettings("mine", "logS", "regression", "rmse", "cv", prior=PRIOR)
COST = {"linear_probing": 0.5, "full_ft": 4.0, "wise_ft": 1.0, "l2_sp": 8.0, "constant": 0.01}
MODEL = {"fingerprint": "morgan", "classical": "rdkit", "descriptors": "rdkit", "constant": "none"}


def tables(means: dict[str, float], spread: float = 0.05, metric: str = "rmse", resamples: int = 10):
    """The tables of methods with these true scores; a resample is hard or easy for all of them."""
    rng = np.random.default_rng(len(means))
    hard = 0.2 * rng.normal(size=resamples)
    selected, timings = [], []
    for method, mean in means.items():
        cell = {"model": MODEL.get(method, "gin"), "method": method, "setting": "{}"}
        noise = spread * rng.normal(size=resamples)
        selected += [
            {**cell, "seed": seed, "metric": metric, "test_value": mean + hard[seed] + noise[seed] - noise.mean()}
            for seed in range(resamples)
        ]
        timings += [{**cell, "seed": seed, "cpu_seconds": COST.get(method, 0.1)} for seed in range(resamples)]
    return pd.DataFrame(selected), pd.DataFrame(timings)


def row(ranking: pd.DataFrame, method: str) -> pd.Series:
    return ranking[ranking["method"] == method].iloc[0]


def test_a_clear_winner_is_taken():
    ranking, verdict = judge(*tables({"fingerprint": 1.5, "linear_probing": 1.6, "full_ft": 1.0}), SETTINGS)
    schemas.table("ranking", ranking)
    assert verdict["choice"] == {"model": "gin", "method": "full_ft"}
    assert verdict["not_behind"] == [verdict["choice"]]
    assert ranking["behind"].tolist() == [False, True, True]
    assert verdict["sentences"][0] == (
        "Take full FT: the fingerprint baseline, which is taken by default, is worse than full FT beyond doubt."
    )
    assert "better than the fingerprint baseline" in " ".join(verdict["sentences"])


def test_of_equals_the_default_is_taken_unless_the_best_is_asked_for():
    given = tables({"fingerprint": 1.02, "hybrid": 1.01, "full_ft": 1.0, "l2_sp": 0.99})
    verdict = judge(*given, SETTINGS)[1]
    assert verdict["choice"] == {"model": "gin", "method": "hybrid"}
    assert verdict["best"]["method"] == "l2_sp"
    assert verdict["sentences"][0].startswith(
        "Take the hybrid head. These labels do not tell it from the method with the best mean, L2-SP, so it is taken "
        "by default"
    )
    best = judge(*given, replace(SETTINGS, choose="best"))[1]
    assert best["choice"] == best["best"] == {"model": "gin", "method": "l2_sp"}
    assert best["sentences"][0].startswith("L2-SP has the best score; 3 other methods cannot be told apart")


@pytest.mark.parametrize(
    ("methods", "default"),
    [
        (("hybrid", "classical", "fingerprint", "full_ft"), "hybrid"),
        (("classical", "fingerprint", "full_ft"), "classical"),
        (("fingerprint", "full_ft"), "fingerprint"),
    ],
)
def test_the_default_is_the_first_of_the_prior_that_competes(methods: tuple[str, ...], default: str):
    means = {method: 1.0 + 0.01 * number for number, method in enumerate(reversed(methods))}
    assert judge(*tables(means), SETTINGS)[1]["choice"]["method"] == default


def test_a_default_that_is_worse_beyond_doubt_is_not_taken():
    verdict = judge(*tables({"hybrid": 1.5, "classical": 1.0, "full_ft": 1.01}), SETTINGS)[1]
    assert verdict["choice"]["method"] == "classical"
    assert verdict["sentences"][0] == (
        "Take the classical model: the hybrid head, which is taken by default, is worse than the classical model "
        "beyond doubt. One other method cannot be told apart from the best."
    )


def test_a_default_that_is_the_best_is_said_to_be():
    verdict = judge(*tables({"hybrid": 1.0, "full_ft": 1.5}), SETTINGS)[1]
    assert verdict["sentences"][0] == "The hybrid head is better than every other method beyond doubt. Take it."


def test_a_default_with_a_record_says_it():
    selected, timings = tables({"hybrid": 1.0, "full_ft": 1.1, "classical": 1.05})
    assert "Its record" not in " ".join(judge(selected, timings, SETTINGS)[1]["sentences"])
    for table in (selected, timings):
        table["model"] = table["model"].replace("gin", "minimol")
    settings = replace(SETTINGS, prior=(("minimol", "hybrid"), *PRIOR[1:]))
    verdict = judge(selected, timings, settings)[1]
    assert verdict["sentences"][1].startswith("Its record: with 100 labels of each of 83 public datasets it was better")
    page = Path(__file__).parents[2] / PAGE
    for model, one in RECORDS.items():
        gains = f"\N{MINUS SIGN}{-one.rmse:.1%} | +{one.auc:.3f}"
        row = f"| hybrid {model} | {one.better} of {one.datasets} | {gains} |"
        assert row in page.read_text(encoding="utf-8")
    best = judge(selected, timings, replace(settings, choose="best"))[1]
    assert best["choice"]["method"] == "hybrid"


def test_what_the_network_and_fine_tuning_add_is_said():
    selected, timings = tables({"hybrid": 1.0, "classical": 1.1, "full_ft": 1.3, "l2_sp": 1.4, "constant": 2.0})
    verdict = judge(selected, timings, SETTINGS)[1]
    scores = selected.pivot(index="seed", columns="method", values="test_value")
    text = " ".join(verdict["sentences"])
    low, high = interval((scores["classical"] - scores["hybrid"]).to_numpy(), 0.25)
    assert (
        f"It is 0.1 RMSE better than the best model without a network, the classical model (95% interval {low:.3g} to "
        f"{high:.3g})" in text
    )
    assert "The best of 2 fine-tuned networks, full FT, is 0.3 RMSE worse (95% interval" in text
    only = judge(*tables({"hybrid": 1.0, "full_ft": 1.3}), SETTINGS)[1]
    assert "The fine-tuned network, full FT, is 0.3 RMSE worse" in " ".join(only["sentences"])


def test_the_default_is_tested_by_itself_and_the_others_together():
    """With a p of 2.4% the default is better than nothing, with 3% only if it is alone; of eleven others none is."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(5, 12))
    noise = (noise - noise.mean(0)) / noise.std(0, ddof=1)
    others = [name for name in METHODS if METHODS[name].trains_encoder][:11]

    def useful(names: list[str], p: float) -> bool:
        # t = mean / (s sqrt(1 / 5 + 1 / 4)) with four degrees of freedom.
        scores = 2.0 + noise - stats.t.isf(p, 4) * np.sqrt(0.45)
        rows = [
            {"model": "gin", "method": name, "setting": "{}", "seed": seed, "test_value": scores[seed, number]}
            for number, name in enumerate(names)
            for seed in range(5)
        ]
        rows += [{**row, "model": "none", "method": "constant", "test_value": 2.0} for row in rows[:5]]
        selected = pd.DataFrame(rows)
        return judge(selected, selected.assign(cpu_seconds=1.0), SETTINGS)[1]["predictable"]

    assert useful(["hybrid", *others], 0.024)
    assert not useful(["hybrid", *others], 0.03)
    assert useful(["hybrid"], 0.03)
    assert not useful(others, 0.024)


def test_higher_is_better_for_roc_auc():
    given = tables({"fingerprint": 0.6, "full_ft": 0.9}, metric="roc_auc", spread=0.01)
    ranking, verdict = judge(*given, replace(SETTINGS, target="active", task="classification", metric="roc_auc"))
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
    expected = compare(scores[["full_ft", "wise_ft", "fingerprint"]], 0.25, best="full_ft").iloc[0]
    assert (wise["tukey_low"], wise["tukey_high"]) == pytest.approx((-expected["tukey_high"], -expected["tukey_low"]))
    assert wise["holm_p"] == pytest.approx(expected["corrected_p_holm"])
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


def test_the_luck_of_the_best_is_taken_from_what_is_expected():
    # Equal candidates: the best mean is lucky, and on a resample that had no part in the choice it is as the others.
    rng = np.random.default_rng(0)
    best, expected = [], []
    names = pd.MultiIndex.from_tuples([("gin", f"m{number}") for number in range(5)])
    for _ in range(60):
        gains = pd.DataFrame(rng.normal(size=(5, 5)), columns=names)
        best.append(gains.mean().max())
        found = choices_of_others(gains, None, (), "best")
        expected.append(np.mean([gains.loc[seed, candidate] for seed, candidate in found.items()]))
    assert np.mean(best) > 0.3  # the expected largest of five means is 1.16 / sqrt(5)
    assert abs(np.mean(expected)) < 3 * np.std(expected) / np.sqrt(60)


def test_what_is_expected_is_the_score_of_choices_made_on_the_other_parts():
    """Full FT is the best of all parts by one lucky part, without which the other is."""
    full, other = [1.0, 1.0, 1.0, 1.0, 0.2], [0.9, 0.9, 0.9, 0.9, 0.9]
    rows = [
        {"model": "gin", "method": method, "setting": "{}", "seed": seed, "metric": "rmse", "test_value": value}
        for method, values in (("full_ft", full), ("l2_sp", other))
        for seed, value in enumerate(values)
    ]
    selected = pd.DataFrame(rows)
    timings = selected.assign(cpu_seconds=1.0)
    settings = replace(SETTINGS, choose="best")
    _, verdict = judge(selected, timings, settings)
    assert verdict["best"]["method"] == "full_ft"
    nested = np.array([1.0, 1.0, 1.0, 1.0, 0.9])  # each part's score by the best of the other four
    low, high = interval(nested, 0.25)
    assert verdict["expected"]["mean"] == pytest.approx(nested.mean())
    assert (verdict["expected"]["low"], verdict["expected"]["high"]) == pytest.approx((low, high))
    assert "Expect RMSE 0.98 on molecules like these" in verdict["sentences"][-1]


def test_labels_that_nothing_predicts_get_that_verdict():
    """As good as the mean, or a little worse: the best of the candidates is not taken for better."""
    given = tables(
        {"fingerprint": 2.35, "linear_probing": 2.36, "full_ft": 2.5, "constant": 2.36}, spread=0.1, resamples=5
    )
    ranking, verdict = judge(*given, SETTINGS, labels=40)
    schemas.table("ranking", ranking)
    assert not verdict["predictable"]
    assert verdict["choice"] == {"model": "none", "method": "constant"}
    assert ranking.loc[ranking["chosen"], "method"].tolist() == ["constant"]
    text = " ".join(verdict["sentences"])
    assert "These labels cannot be predicted from these structures with 40 labels" in text
    assert "than predicting the mean of the labels" in text
    assert "There is nothing to take" in text
    assert "Take it" not in text
    assert "Expect" not in text
    assert verdict["expected"] == verdict["constant"]
    assert verdict["constant"]["mean"] == pytest.approx(row(ranking, "constant")["mean"])


@pytest.mark.parametrize(("rmse", "resamples", "said"), [(2.35, 5, True), (2.35, 10, False), (2.37, 5, False)])
def test_few_parts_may_have_missed_what_has_the_better_mean(rmse: float, resamples: int, said: bool):
    given = tables({"fingerprint": rmse, "constant": 2.36}, spread=0.1, resamples=resamples)
    _, verdict = judge(*given, SETTINGS, labels=40)
    assert not verdict["predictable"]
    missed = "So may more test parts: recommend='{resamplings: 10}' finds more than these 5."
    assert verdict["sentences"][-1].endswith(missed) == said


def test_a_classifier_must_beat_one_half():
    settings = replace(SETTINGS, target="active", task="classification", metric="roc_auc", prior=())
    selected, timings = tables({"fingerprint": 0.5, "full_ft": 0.5, "l2_sp": 0.5}, metric="roc_auc", resamples=5)
    selected["test_value"] = 3 * [0.5, 0.6, 0.4, 0.55, 0.5]

    def judged(*fingerprint: float):
        selected.loc[selected["method"] == "fingerprint", "test_value"] = fingerprint
        return judge(selected, timings, settings)[1]

    verdict = judged(0.65, 0.45, 0.6, 0.5, 0.65)
    assert not verdict["predictable"]
    assert "0.07 ROC-AUC better" in verdict["sentences"][1]
    assert "where the share of class 1 has 0.5" in verdict["sentences"][1]
    assert "which may be chance" in verdict["sentences"][1]
    verdict = judged(0.58, 0.6, 0.56, 0.71, 0.65)  # told apart by itself, but not as the best of three
    assert not verdict["predictable"]
    assert verdict["sentences"][1].endswith(". Among 3 candidates that may be chance.")
    assert not judged(0.3, 0.31, 0.29, 0.3, 0.3)["predictable"]  # turned round, it is no better for being told apart
    assert judged(0.7, 0.71, 0.69, 0.7, 0.7)["predictable"]


def test_what_is_taken_is_itself_better_than_the_constant():
    """The default may not be told apart from the best and be no better than nothing."""
    selected, timings = tables({"fingerprint": 2.0, "full_ft": 1.0, "l2_sp": 1.01, "constant": 2.1}, resamples=5)
    mine = selected["method"] == "fingerprint"
    selected.loc[mine, "test_value"] = [0.2, 3.5, 0.9, 3.4, 1.0]  # so uncertain that nothing is known of it
    ranking, verdict = judge(selected, timings, SETTINGS)
    assert not row(ranking, "fingerprint")["behind"]
    assert verdict["choice"]["method"] == "full_ft"
    assert verdict["sentences"][0].startswith(
        "Take full FT: the fingerprint baseline, which is taken by default, is not better than the mean of the labels "
        "beyond doubt, and full FT is."
    )


def test_every_score_stands_beside_the_constants():
    selected, timings = tables({"fingerprint": 1.2, "full_ft": 1.0, "constant": 2.0}, resamples=5)
    r2 = selected.assign(partition="test", metric="r2", task="macro", value=1 - (selected["test_value"] / 2.0) ** 2)
    ranking, verdict = judge(selected, timings, SETTINGS, r2, 100)
    assert ranking["method"].tolist() == ["full_ft", "fingerprint", "constant"]
    full = row(ranking, "full_ft")
    assert full["vs_constant"] == pytest.approx(full["mean"] - row(ranking, "constant")["mean"])
    assert full["r2"] == pytest.approx(r2.loc[r2["method"] == "full_ft", "value"].mean())
    assert row(ranking, "constant")["behind"] == np.False_  # it is no candidate
    assert verdict["candidates"] == 2
    expect = verdict["sentences"][-1]
    assert f"(R² {verdict['expected']['r2']:.2f})" in expect
    assert "where the mean of the labels has" in expect
    assert "than the mean of the labels" in " ".join(verdict["sentences"])


def test_what_is_said_of_costs_is_what_the_column_says():
    selected, timings = tables({"fingerprint": 1.01, "linear_probing": 1.0, "full_ft": 1.02, "constant": 2.0})
    timings.loc[timings["method"] == "fingerprint", "cpu_seconds"] = 9.0
    ranking, verdict = judge(selected, timings, SETTINGS)
    assert verdict["choice"]["method"] == "fingerprint"
    assert "It took 9 s of CPU time a test part, Linear probing 0.5 s." in " ".join(verdict["sentences"])
    assert row(ranking, "fingerprint")["cpu_seconds"] == 9


def test_intervals_end_where_the_metric_does():
    ranking, _ = judge(*tables({"full_ft": 0.1, "l2_sp": 0.2}), SETTINGS)
    assert ranking["new_low"].min() == 0
    given = tables({"full_ft": 0.95, "l2_sp": 0.9}, metric="roc_auc")
    ranking, _ = judge(*given, replace(SETTINGS, target="active", task="classification", metric="roc_auc"))
    assert ranking["new_high"].max() == 1


@pytest.mark.parametrize("method", ["full_ft", "lp_ft", "wise_ft"])
def test_an_ensemble_is_what_cross_fitting_scores(cell: Path, method: str):
    """The members fitted on an experiment's folds say of its test molecules what its table of predictions says."""
    split = split_table(seeds=(0,), folds=4)
    schemas.write("splits", split, cell / "splits.parquet")
    grid = ({"alpha": 0.5},) if method == "wise_ft" else ({},)
    training = TrainSettings(epochs=4, batch_size=8)
    job = jobs.RunSettings(
        *("honest", "tiny", "sizes", "random", "all", method, "regression", "rmse"),
        seeds=(0,),
        grid=grid,
        training=training,
        device="cpu",
    )
    paths = [cell / name for name in ("graphs.safetensors", "splits.parquet", "encoder.safetensors")]
    if method == "wise_ft":
        jobs.finetune(replace(job, method="full_ft", grid=({},)), *paths, cell / "full_ft")
        jobs.interpolate(job, *paths, cell / "full_ft", cell / "run")
    else:
        jobs.finetune(job, *paths, cell / "run")
    table = schemas.read("predictions", cell / "run/predictions.parquet").query("partition == 'test'")
    source = Networks(load_encoder(paths[2], training.dropout), graphs.load(paths[0]), np.arange(len(SMILES)))
    settings = EnsembleSettings(method, grid, "regression", "rmse", training, members=4, seed=0)
    found = fit_ensemble(source, [fold for _, fold in folds(split, 0)], settings)
    outputs = source.predict(found.members, table["molecule"].to_numpy(), settings)
    np.testing.assert_allclose(np.stack(table["prediction"])[:, 0], outputs.mean(0), rtol=1e-5)
    np.testing.assert_allclose(np.stack(table["spread"])[:, 0], outputs.std(0, ddof=1), rtol=1e-4)
    schemas.write("predictions", table, cell / "predictions.parquet")
    read = read_tested(cell, "tiny", method, np.arange(len(SMILES)))
    np.testing.assert_allclose(read.prediction, outputs.mean(0), rtol=1e-5)
    assert read.molecule.tolist() == table["molecule"].tolist()


@pytest.mark.parametrize(
    ("task", "metric", "means"),
    [
        ("regression", "rmse", {"fingerprint": 1.5, "full_ft": 1.0, "constant": 2.0}),
        ("classification", "roc_auc", {"fingerprint": 0.6, "full_ft": 0.9, "constant": 0.5}),
        ("regression", "rmse", {"linear_probing": 1.99, "constant": 2.0}),
    ],
)
def test_an_intervals_middle_is_the_number_that_is_said(task: str, metric: str, means: dict[str, float]):
    """A reader is told how much better or worse, without a sign: the interval is of the same."""
    settings = replace(SETTINGS, task=task, metric=metric)
    said = " ".join(judge(*tables(means, metric=metric), settings)[1]["sentences"]).replace("\u2212", "-")
    gaps = re.findall(r"([\d.]+) \S+ (?:better|worse)[^(]* \(95% interval (\S+) to ([-\d.]+)\)", said)
    assert gaps, said
    for gap, low, high in gaps:
        assert (float(low) + float(high)) / 2 == pytest.approx(float(gap), abs=0.01), said
