"""Table `leaderboard`: the leaderboard's own metric of the selected runs, and what counts as official."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, mean_absolute_error, roc_auc_score

from roftmol.core.paths import MODELS, Found
from roftmol.evaluation import contamination, leaderboard
from roftmol.evaluation.aggregate import aggregate
from roftmol.evaluation.leaderboard import Official, official, standing
from roftmol.registry.splits import RUNS
from roftmol.report.results import leaderboard_table
from roftmol.scoring import metrics
from roftmol.sharing.verify import verify
from roftmol.tables import schemas
from small_results import edit, make, set_value

CELL = {"protocol": "honest", "model": "gin", "dataset": "tdc_herg", "split": "leaderboard", "budget": "all"}
CELL |= {"method": "ridge"}
BOARD = Official("pr_auc", 42, 40)
SCORE_OF = {"roc_auc": roc_auc_score, "pr_auc": average_precision_score, "mae": mean_absolute_error}


def runs_of(
    metric: str, seeds: tuple[int, ...] = RUNS, rule: str = "validation", molecules: int = 40
) -> tuple[pd.DataFrame, pd.DataFrame, list[float]]:
    """Scores and selection of runs with two settings, of which the seeds select one or the other; the scores meant."""
    task = "classification" if metric in ("roc_auc", "pr_auc") else "regression"
    rng = np.random.default_rng(7)
    frames, meant = [], []
    for seed in seeds:
        for setting in ("{}", '{"alpha":1.0}'):
            for partition in ("valid", "test"):
                y = rng.integers(2, size=molecules) if task == "classification" else rng.normal(size=molecules)
                p = rng.random(molecules)
                frame = metrics.all_scores(task, y[:, None].astype(float), p[:, None], ["Y"])
                frames.append(frame.assign(**CELL, seed=seed, setting=setting, partition=partition))
                if partition == "test" and (setting == "{}") == (seed % 2 == 0):
                    meant.append(
                        stats.spearmanr(y, p).statistic if metric == "spearman" else float(SCORE_OF[metric](y, p))
                    )
    chosen = ["{}" if seed % 2 == 0 else '{"alpha":1.0}' for seed in seeds]
    selected = pd.DataFrame({"seed": seeds, "setting": chosen, "rule": rule})
    return pd.concat(frames, ignore_index=True), selected, meant


@pytest.mark.parametrize("metric", ["roc_auc", "pr_auc", "mae", "spearman"])
def test_mean_and_deviation_are_of_the_selected_runs_under_the_leaderboards_metric(metric: str) -> None:
    """By scikit-learn's and scipy's own metrics; the deviation is the population's."""
    scores, selected, meant = runs_of(metric)
    (row,) = standing(CELL, Official(metric, 42, 40), scores, selected).to_dict("records")
    assert {name: row[name] for name in CELL} == CELL
    assert (row["metric"], row["better"], row["seeds"]) == (metric, -1 if metric == "mae" else 1, 5)
    expected = [np.mean(meant), np.std(meant), np.min(meant), np.max(meant)]
    assert [row["mean"], row["sd"], row["min"], row["max"]] == pytest.approx(expected)
    assert (row["molecules"], row["records"], row["official"]) == (40, 42, True)


def test_what_is_not_the_leaderboards_protocol_is_not_official() -> None:
    scores, selected, _ = runs_of("pr_auc")
    assert standing(CELL, BOARD, scores, selected)["official"].tolist() == [True]
    others = {
        "a budget": standing({**CELL, "budget": "50"}, BOARD, scores, selected),
        "by test labels": standing(CELL, BOARD, scores, selected.assign(rule="oracle")),
        "four runs": standing(CELL, BOARD, scores, selected[:4]),
        "a test part that was cut": standing(CELL, Official("pr_auc", 42, 41), scores, selected),
        "other seeds": standing(CELL, BOARD, *runs_of("pr_auc", (0, 1, 2, 3, 4))[:2]),
    }
    assert not any(made["official"].tolist() != [False] for made in others.values())
    undefined = scores.assign(value=scores["value"].where(scores["seed"] != 3))
    (row,) = standing(CELL, BOARD, undefined, selected).to_dict("records")
    assert (row["seeds"], row["official"]) == (4, False)
    assert standing({**CELL, "split": "scaffold"}, BOARD, scores, selected).empty


def test_what_cannot_be_read_of_the_test_part_is_counted() -> None:
    molecules = pd.DataFrame({"group": ["train", "test", " Test "]})
    rows = [(3, "dropped", "test"), (4, "dropped", "train"), (1, "kept", "test")]
    rejects = pd.DataFrame(rows, columns=["row", "action", "group"])
    assert official("mae", molecules, rejects) == Official("mae", 3, 2)
    assert leaderboard.metrics()["tdc_vdss_lombardo"] == "spearman"
    assert "esol" not in leaderboard.metrics()


def test_the_reports_table_ranks_by_the_leaderboards_metric() -> None:
    base = {**CELL, "metric": "mae", "better": -1, "seeds": 5, "sd": 0.0125, "min": 0.2, "max": 0.4, "records": 42}
    base |= {"official": True, "molecules": 40}
    rows = [
        {**base, "mean": 0.3},
        {**base, "method": "kernel", "mean": 0.25, "official": False, "molecules": 42},
        {**base, "model": "none", "method": "constant", "mean": 0.5},
    ]
    table = leaderboard_table(pd.DataFrame(rows))
    at = {title.removeprefix("#"): place for place, title in enumerate(table.columns)}
    shown = [{title: row[place].text for title, place in at.items()} for row in table.rows]
    assert [row["Method"] for row in shown] == ["Kernel head", "Ridge head", "Constant"]
    assert [row["Test score"] for row in shown] == ["0.250 ± 0.013", "0.300 ± 0.013", "0.500 ± 0.013"]
    assert [row["Tested"] for row in shown] == ["42", "40 of 42", "40 of 42"]
    assert [row["Official"] for row in shown] == ["no", "yes", "yes"]
    assert [row["Model"] for row in shown] == ["gin", "gin", ""]
    assert [facets.get("model") for facets in table.facets] == ["gin", "gin", None]


def test_a_folder_holds_the_table_and_verify_computes_it_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = make(tmp_path / "results", (1, 2), methods=("constant", "fingerprint"))
    monkeypatch.setattr(leaderboard, "metrics", lambda: {"own": "mae"})
    monkeypatch.setattr(leaderboard, "SPLITS", {"random": leaderboard.SPLITS["leaderboard"]})
    files = Found(results)
    audit = contamination.read_folder(results, results / MODELS)
    aggregate(files.runs, files.data, "validation", results / "tables", audit, leaderboards=leaderboard.metrics())
    file = results / "tables/leaderboard.parquet"
    rows = schemas.read("leaderboard", file)
    scores = schemas.read("scores", results / "tables/scores.parquet")
    scores = scores[(scores["metric"] == "mae") & (scores["task"] == "macro") & (scores["partition"] == "test")]
    assert rows["method"].tolist() == ["fingerprint", "constant"]
    for row in rows.to_dict("records"):
        values = scores.loc[scores["method"] == row["method"], "value"]
        assert (row["mean"], row["sd"]) == pytest.approx((values.mean(), values.std(ddof=0)))
    assert verify(results).differences == []
    edit(file, set_value("mean", 0, 0.123))
    (difference,) = verify(results).differences
    assert (difference.file, difference.what, difference.stored) == (file, "mean", 0.123)
    file.unlink()  # a folder of an earlier version has none, and no such runs
    assert [(found.what, found.stored, found.found) for found in verify(results).differences] == [("rows", 0, 1)] * 2
