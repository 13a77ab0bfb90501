"""The loss from a split to a harder one, by hand."""

import math

import numpy as np
import pandas as pd
import pytest

import made_up_tables
from roftmol.evaluation.diagnostics.shift import inside, shift
from roftmol.tables import schemas


def selected_on(**splits: dict[str, list[float]]) -> pd.DataFrame:
    """Runs on bbbp, or on esol for a split whose name begins with esol_."""
    frames = []
    for name, values in splits.items():
        dataset, split = ("esol", name.removeprefix("esol_")) if name.startswith("esol_") else ("bbbp", name)
        frames.append(made_up_tables.selected_rows(values, dataset=dataset, split=split))
    return pd.concat(frames, ignore_index=True)


def test_a_loss_is_positive_where_the_score_is_worse_for_either_metric():
    found = shift(
        selected_on(
            random={"full_ft": [0.8, 0.9], "bss": [0.7, 0.7]},
            scaffold={"full_ft": [0.7, 0.7], "bss": [0.8, 0.8]},
            esol_random={"full_ft": [1.0, 1.2]},
            esol_size={"full_ft": [2.0, 2.4]},
        )
    ).set_index(["dataset", "method"])
    drop = found["drop"].to_dict()
    assert drop == pytest.approx({("bbbp", "full_ft"): 0.15, ("bbbp", "bss"): -0.1, ("esol", "full_ft"): 1.1})
    assert found["ratio"][("esol", "full_ft")] == pytest.approx(2)
    assert found["ratio"].isna().tolist() == [True, True, False]
    assert found["split"].tolist() == ["scaffold", "scaffold", "size"]
    assert set(found["reference"]) == {"random"}


def test_the_error_of_a_loss_by_hand():
    found = shift(selected_on(esol_random={"full_ft": [1.0, 1.2]}, esol_scaffold={"full_ft": [2.0, 2.3, 2.6]}))
    e_reference, e_shifted = math.sqrt(0.02 / 2), 0.3 / math.sqrt(3)
    assert found["drop_error"].item() == pytest.approx(math.hypot(e_reference, e_shifted))
    relative = math.hypot(e_reference / 1.1, e_shifted / 2.3)
    assert found["ratio_error"].item() == pytest.approx(2.3 / 1.1 * relative)
    assert (found["reference_seeds"].item(), found["shifted_seeds"].item()) == (2, 3)


def test_shift_needs_both_splits_and_a_score_in_each():
    alone = selected_on(scaffold={"full_ft": [0.7]})
    failed = selected_on(random={"full_ft": [np.nan]}, scaffold={"full_ft": [0.7]})
    other_budget = pd.concat([alone, made_up_tables.selected_rows({"full_ft": [0.8]}, split="random", budget="50")])
    for selected in (alone, failed, other_budget, schemas.empty("selected")):
        found = shift(selected)
        assert found.empty
        schemas.table("shift", found)


def test_cross_validation_is_its_scaffolds_reference():
    found = shift(selected_on(cv={"full_ft": [0.8]}, scaffold_cv={"full_ft": [0.7]}))
    assert found["reference"].tolist() == ["cv"]
    assert np.isnan(found["drop_error"].item())  # one seed has no spread


def test_two_tests_of_one_model_are_paired(tmp_path):
    selected = made_up_tables.selected_rows({"full_ft": [2.0, 3.0, 4.0]}, dataset="d", split="boom", metric="rmse")
    scores = pd.concat(
        selected[[*schemas.RUN, "metric"]].assign(
            partition=partition, task=task, value=values, molecules=5, tasks=1, undefined=0
        )
        for partition, task, values in [
            ("test", "macro", [2.0, 3.0, 4.0]),
            ("test_id", "macro", [1.0, 1.5, 2.0]),
            ("test_id", "gap", [7.0, 7.0, 7.0]),
        ]
    )
    schemas.write("scores", scores, tmp_path / "scores.parquet")
    (row,) = shift(selected, inside(selected, tmp_path / "scores.parquet")).to_dict("records")
    assert (row["reference"], row["reference_mean"], row["shifted_mean"]) == ("test_id", 1.5, 3.0)
    assert row["drop"] == pytest.approx(1.5)
    assert row["drop_error"] == pytest.approx(np.std([1.0, 1.5, 2.0], ddof=1) / np.sqrt(3))
    assert (row["ratio"], row["ratio_error"]) == (2.0, 0.0)  # every seed has the same ratio
    # A seed without one of the two says nothing about what comes between them.
    lone = selected.tail(1).assign(seed=3, test_value=40.0)
    within = inside(selected, tmp_path / "scores.parquet")
    without = [selected, lone], [within, lone.assign(value=np.nan)]
    assert shift(*map(pd.concat, without)).to_dict("records") == [row]
    others = selected.assign(split="scaffold")
    assert inside(others, tmp_path / "none.parquet").empty
