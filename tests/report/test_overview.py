"""The page of several targets: what is taken for each, joint against single, and which of them cannot be predicted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from roftmol.cli import last_words
from roftmol.deploy.verdict import VerdictSettings, judge
from roftmol.report import overview
from roftmol.tables import schemas

#: Mean scores of each method by target; the constant's is above.
LEARNABLE = {"hybrid": 0.6, "full_ft": 0.8, "joint_ft": 0.75, "constant": 1.2}
JOINT = {"hybrid": 0.9, "full_ft": 0.8, "joint_ft": 0.4, "constant": 1.2}
SHUFFLED = {"hybrid": 1.21, "full_ft": 1.3, "joint_ft": 1.25, "constant": 1.2}
MODEL = {"constant": "none"}


def target(folder: Path, name: str, means: dict[str, float], column: str) -> None:
    """Write what a target's folder has, from made-up scores on five test parts."""
    rng = np.random.default_rng(len(name))
    rows, timings = [], []
    for method, mean in means.items():
        noise = 0.02 * rng.normal(size=5)
        noise -= noise.mean()
        cell = {"model": MODEL.get(method, "gin"), "method": method, "setting": "{}"}
        rows += [{**cell, "seed": seed, "metric": "rmse", "test_value": mean + noise[seed]} for seed in range(5)]
        timings += [{**cell, "seed": seed, "cpu_seconds": 1.0} for seed in range(5)]
    settings = VerdictSettings(f"mine-{name}", column, "regression", "rmse", "joint_cv", prior=(("gin", "hybrid"),))
    ranking, verdict = judge(pd.DataFrame(rows), pd.DataFrame(timings), settings)
    out = folder / name
    schemas.write("ranking", ranking, out / "ranking.parquet")
    (out / "verdict.json").write_text(json.dumps(verdict))
    one = {
        "dataset": f"mine-{name}",
        "task": 0,
        "name": column,
        "kind": "regression",
        "labelled": 66,
        "positives": None,
    }
    one |= {"mean": 0.0, "std": 1.0, "lower_limits": 0, "upper_limits": 0}
    schemas.write("tasks", pd.DataFrame([one]), out / "tables/tasks.parquet")


def made(folder: Path, targets: dict[str, tuple[str, dict[str, float]]]) -> tuple[dict[str, Any], str]:
    """Write the page on some targets; return the verdict and the page."""
    for name, (column, means) in targets.items():
        target(folder, name, means, column)
    settings = {
        "name": "mine",
        "targets": [[column, name, f"mine-{name}"] for name, (column, _) in targets.items()],
        "learnt": ["target `a`"],
        "experiment": {},
    }
    overview.build(settings, folder)
    return json.loads((folder / "verdict.json").read_text()), (folder / "report.html").read_text()


def test_a_line_a_target_says_what_is_taken_and_what_to_expect(tmp_path: Path) -> None:
    verdict, page = made(tmp_path, {"herg": ("h<b>ERG", LEARNABLE), "logd": ("LogD", JOINT), "hlm": ("HLM", SHUFFLED)})
    assert verdict["predictable"]
    first, second, third = verdict["sentences"]
    assert first.startswith("h<b>ERG: take the hybrid head, trained by itself; expect RMSE 0.6")
    assert first.endswith(", where the mean of the labels has 1.2 (66 labels).")
    assert second.startswith("LogD: take joint FT, trained with the other targets; expect RMSE 0.4")
    assert third == (
        "HLM: cannot be predicted from these structures with 66 labels; its predictions are the mean of the labels."
    )
    assert "h&lt;b&gt;ERG" in page
    assert "<b>ERG" not in page
    for name in ("herg", "logd", "hlm"):
        assert f'href="{name}/report.html"' in page


def test_joint_training_is_compared_with_training_alone(tmp_path: Path) -> None:
    made(tmp_path, {"herg": ("hERG", LEARNABLE), "logd": ("LogD", JOINT)})
    table = overview.table([overview._read(tmp_path / name, name) for name in ("herg", "logd")])
    column = table.columns.index("#Joint better by")
    better = [row[column] for row in table.rows]
    assert better[0].sort == pytest.approx(0.05, abs=0.03)
    assert better[1].sort == pytest.approx(0.4, abs=0.03)
    assert better[1].tone == "better"
    trained = table.columns.index("Trained")
    assert [row[trained].text for row in table.rows] == ["single", "joint"]


def test_where_no_target_can_be_predicted_the_page_and_the_last_words_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict, page = made(tmp_path, {"herg": ("hERG", SHUFFLED), "logd": ("LogD", SHUFFLED)})
    assert not verdict["predictable"]
    assert verdict["sentences"][-1].startswith("None of these targets can be predicted: there is nothing to take.")
    assert f'<p class="lead">{verdict["sentences"][-1]}</p>' in page
    monkeypatch.chdir(tmp_path)
    bundle = tmp_path / "mine.roftmol"
    bundle.touch()
    said = last_words.of_success(tmp_path / "report.html", bundle)
    assert said.splitlines()[:3] == verdict["sentences"]
    assert "predict with it" not in said
