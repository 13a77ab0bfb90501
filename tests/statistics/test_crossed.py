"""Weightings and descriptors, crossed: each point of a joint grid against the corner, and what that may claim."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crossed_grids import scores_of, selected_of, setting
from roftmol.methods import METHODS, setting_text
from roftmol.statistics import stage
from roftmol.statistics.comparisons import wilcoxon
from roftmol.statistics.crossed import CROSSED, Point, point
from roftmol.statistics.holm import holm
from roftmol.tables import schemas

DATASETS = [f"set{number}" for number in range(12)]
CORNER = setting("equal", "none")


def crossed(scores: pd.DataFrame) -> pd.DataFrame:
    return stage.made(selected_of(scores), replicates=200, scores=scores)["crossed"]


def test_what_is_crossed_are_joint_methods_whose_heads_read_descriptors():
    assert CROSSED == ("joint_ft",)
    assert point("joint_ft", setting("equal", "none")) == Point("none", '{"weighting":"equal"}')
    assert point("joint_ft", '{"beta":0.0,"descriptors":"qw4","weighting":"size"}') == Point(
        "qw4", '{"beta":0.0,"weighting":"size"}'
    )
    assert setting_text(METHODS["joint_ft"].grid(0)[0]) == CORNER


def test_every_point_is_compared_with_the_corner_in_the_grid_s_order_and_corrected_with_the_others():
    scores = scores_of({("learned", "rdkit"): 0.05, ("equal", "both"): -0.05}, DATASETS)
    table = crossed(scores)
    assert table["setting"].tolist() == [
        setting(weighting, descriptors)
        for weighting in ("equal", "learned")
        for descriptors in ("none", "rdkit", "both")
        if (weighting, descriptors) != ("equal", "none")
    ]
    assert set(table["reference"]) == {CORNER}
    tested = scores[scores["partition"] == "test"]
    by_seed = tested.groupby(["setting", "dataset", "seed"])["value"].mean().unstack()
    for row in table.to_dict("records"):
        effects = (by_seed.loc[row["setting"]] - by_seed.loc[CORNER]).to_numpy()  # datasets x seeds
        assert row["difference"] == pytest.approx(effects.mean())
        # joint fits: over datasets by Wilcoxon, and over seeds
        n, seeds = effects.shape
        parts = effects.mean(1).var(ddof=1) / n, effects.mean(0).var(ddof=1) / seeds
        freedom = sum(parts) ** 2 / (parts[0] ** 2 / (n - 1) + parts[1] ** 2 / (seeds - 1))
        by_t = 2 * stats.t.sf(abs(effects.mean()) / np.sqrt(sum(parts)), freedom)
        of_datasets = wilcoxon(effects.mean(1))
        assert row["p"] >= of_datasets
        assert row["p"] == pytest.approx(max(of_datasets, by_t), rel=0.3)  # the bootstrap's noise
        assert row["low"] < effects.mean() < row["high"]
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"].to_numpy()).tolist())
    assert set(table["comparisons"]) == {5}
    assert set(table["levels"]) == {"datasets, seeds"}
    verdicts = dict(zip(table["setting"], table["verdict"], strict=True))
    assert verdicts.pop(setting("learned", "rdkit")) == "better"
    assert verdicts.pop(setting("equal", "both")) == "worse"
    assert set(verdicts.values()) == {"equivalent"}  # the noise is less than the region


def test_only_seeds_in_which_both_points_have_a_score_are_compared():
    scores = scores_of({}, DATASETS)
    one = setting("learned", "both")
    lost = (scores["setting"] == one) & (scores["seed"] == 0)
    scores.loc[(scores["setting"] == CORNER) & (scores["seed"] == 0), "value"] += 0.2
    table = crossed(scores[~lost]).set_index("setting")
    assert table.loc[one, "seeds"] == 2
    assert abs(table.loc[one, "difference"]) < 0.01
    assert table.loc[setting("learned", "none"), "difference"] < -0.05


def test_a_metric_to_minimise_is_compared_by_ratios():
    scores = scores_of({("learned", "rdkit"): -0.2}, DATASETS, metric="rmse")
    row = crossed(scores).set_index("setting").loc[setting("learned", "rdkit")]
    assert (row["scale"], row["better"], row["verdict"]) == ("relative", -1, "better")
    assert row["relative"] == pytest.approx(0.5 / 0.7 - 1, abs=0.01)


def test_seven_datasets_are_too_few_for_five_tests_and_nothing_is_claimed():
    table = crossed(scores_of({("learned", "rdkit"): 0.05}, DATASETS[:7]))
    assert not table["enough"].any()
    assert set(table["smallest_n"]) == {8}
    assert not {"better", "worse"} & set(table["verdict"])


@pytest.mark.parametrize("axes", [{"descriptors": ("none",)}, {"weightings": ("learned",)}])
def test_a_grid_of_one_axis_is_not_crossed(axes: dict[str, tuple[str, ...]]):
    assert crossed(scores_of({}, DATASETS, **axes)).empty
    assert stage.made(selected_of(scores_of({}, DATASETS)))["crossed"].empty


def test_without_the_default_the_first_point_is_the_corner_and_other_rows_of_scores_count_nothing():
    scores = scores_of({}, DATASETS, weightings=("pooled", "learned"))
    table = crossed(scores)
    assert set(table["reference"]) == {setting("pooled", "none")}
    others = [scores.assign(metric="pr_auc", value=0.0), scores.assign(task="a", value=0.0)]
    pd.testing.assert_frame_equal(crossed(pd.concat([scores, *others])), table)


def test_the_stage_reads_the_scores_of_all_points(tmp_path):
    scores = scores_of({("learned", "rdkit"): 0.05}, DATASETS)
    empty = {name: schemas.empty(name) for name in ("predictions", "molecules", "exposure")}
    for name, frame in {"scores": scores, "selected": selected_of(scores), **empty}.items():
        schemas.write(name, frame, tmp_path / f"{name}.parquet")
    stage.build(tmp_path, tmp_path / "out", replicates=200)
    written = schemas.read("crossed", tmp_path / "out" / "crossed.parquet")
    pd.testing.assert_frame_equal(written, crossed(scores), check_dtype=False)
