"""The tables of the statistics: of made-up effects, against the constant predictor, and from predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_up_effects import METHODS, comparison, selected
from roftmol.core.errors import UserError
from roftmol.scoring import metrics
from roftmol.statistics import TABLES, stage
from roftmol.tables import schemas

# The tables


def test_a_better_method_is_found_and_a_small_difference_is_none():
    effects = {"full_ft": 0.0, "l2_sp": 0.1, "bss": 0.002, "fingerprint": -0.1}
    tables = stage.made(selected(effects, 10, seeds=5), replicates=300)
    for name in TABLES:
        schemas.table(name, tables[name])
    assert {name: comparison(tables, name)["verdict"] for name in effects if name != "full_ft"} == {
        "l2_sp": "better",
        "bss": "equivalent",
        "fingerprint": "worse",
    }
    best = comparison(tables, "l2_sp")
    assert best["difference"] == pytest.approx(0.1, abs=0.003)
    assert best["low"] < best["difference"] < best["high"]
    assert best["p"] == 2 / 2**10
    assert best[["comparisons", "smallest_n", "enough", "levels"]].tolist() == [5, 8, True, "datasets, seeds"]
    turned = comparison(tables, "full_ft", "fingerprint")
    back = comparison(tables, "fingerprint")
    assert [turned["low"], turned["high"]] == pytest.approx([-back["high"], -back["low"]])


def test_rmse_is_compared_by_ratios():
    effects = {"full_ft": 0.0, "l2_sp": -0.2, "bss": 0.01, "fingerprint": 0.2}
    tables = stage.made(selected(effects, 8, seeds=5, metric="rmse"), replicates=300)
    best = comparison(tables, "l2_sp")
    # every ratio is the same, however much larger the differences are where labels have a larger unit
    assert best["relative"] == pytest.approx(np.exp(-0.2) - 1, abs=0.003)
    assert best["low"] < best["relative"] < best["high"] < 0
    assert best["difference"] < -1
    assert [comparison(tables, name)["verdict"] for name in ("l2_sp", "bss", "fingerprint")] == [
        "better", "equivalent", "worse",
    ]  # fmt: skip


def test_too_few_data_sets_decide_nothing_and_say_so():
    tables = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.0}, 3), replicates=100)
    row = comparison(tables, "l2_sp")
    assert row[["verdict", "smallest_n", "enough", "p"]].tolist() == ["undecided", 7, False, 0.25]
    assert not tables["mean_ranks"]["enough"].any()
    assert comparison(tables, "l2_sp", dataset="set01")["verdict"] == "better"  # on that dataset, over its seeds


def test_one_data_set_has_its_own_interval_and_no_verdict_over_data_sets():
    tables = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2}, 1), replicates=100)
    overall, own = comparison(tables, "l2_sp"), comparison(tables, "l2_sp", dataset="set00")
    assert overall["levels"] == own["levels"] == "seeds"
    assert (overall["verdict"], own["verdict"]) == ("undecided", "better")
    single = stage.made(selected({"full_ft": 0.0, "l2_sp": 0.2}, 1, seeds=1), replicates=100)
    assert comparison(single, "l2_sp", dataset="set00")[["levels", "verdict"]].tolist() == ["", "undecided"]


def test_tables_without_methods_to_compare_are_empty(tmp_path: Path):
    for name, table in stage.made(schemas.empty("selected")).items():
        schemas.write(name, table, tmp_path / f"{name}.parquet")
        assert not len(schemas.read(name, tmp_path / f"{name}.parquet"))
    alone = stage.made(selected({"l2_sp": 0.0}, 2))
    assert [len(alone[name]) for name in TABLES] == [0] * len(TABLES)


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
    against, other = (comparison(tables, "l2_sp", name, dataset="set00") for name in ("constant", "full_ft"))
    assert (against["levels"], other["levels"]) == ("molecules", "seeds, molecules")
    assert (against["verdict"], against["enough"]) == ("better", True)  # by two seeds, which show nothing of methods
    assert other["verdict"] in ("undecided", "equivalent")
    without = stage.made(table, replicates=50)
    assert comparison(without, "l2_sp", "constant", dataset="set00")["levels"] == "seeds"


def test_a_difference_of_roc_auc_ends_where_roc_auc_does():
    rows = pd.concat(
        [
            selected({"full_ft": 0.0, "l2_sp": effect}, 1).assign(dataset=name)
            for name, effect in (("a", 0.3), ("b", -0.3))
        ],
        ignore_index=True,
    )
    row = comparison(stage.made(rows, replicates=200), "l2_sp")
    assert (row["low"], row["high"]) == (-1, 1)


# The stage, from predictions


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables of two datasets whose scores are those of their predictions; one method is much better than the others.

    Of a panel of the two, what is even of the molecules that test one trains the other.
    """
    rng = np.random.default_rng(5)
    tables = tmp_path_factory.mktemp("experiment")
    molecules, predictions, rows, seen = [], [], [], []
    for dataset in ("one", "two"):
        labels = rng.normal(size=(80, 2))
        labels[rng.random((80, 2)) < 0.1] = np.nan
        molecules.append(_molecules(dataset, labels))
        for seed in range(3):
            part = np.sort(rng.permutation(80)[:30])
            shared = rng.normal(size=(30, 2))
            context = {"protocol": "honest", "dataset": dataset, "split": "random", "budget": "50"}
            even = part[part % 2 == 0]
            counts = {"molecules": 30, "exposed": len(even), "most_by": "", "most": len(even), "records": list(even)}
            seen.append({**context, "panel": "both", "seed": seed, "partition": "test", **counts})
            for method, error in (("full_ft", 1.0), ("l2_sp", 0.5), ("joint_ft", 0.8)):
                guess = np.nan_to_num(labels[part]) + error * (shared + 0.2 * rng.normal(size=(30, 2)))
                run = context | {"model": "gin", "method": method, "setting": "{}", "seed": seed}
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
    schemas.write("scores", schemas.empty("scores"), tables / "scores.parquet")
    schemas.write("exposure", pd.DataFrame(seen), tables / "exposure.parquet")
    return tables


def _molecules(dataset: str, labels: np.ndarray) -> pd.DataFrame:
    count = len(labels)
    words = dict.fromkeys(("smiles", "canonical", "parent", "scaffold", "group"), "")
    table = pd.DataFrame({"molecule": range(count), "row": range(count), "labels": list(labels)})
    return table.assign(dataset=dataset, atoms=1, **words)


def test_the_stage_covers_data_sets_seeds_and_molecules(experiment: Path, tmp_path: Path):
    stage.build(experiment, tmp_path, replicates=300)
    tables = {name: schemas.read(name, tmp_path / f"{name}.parquet") for name in TABLES}
    row, own = comparison(tables, "l2_sp"), comparison(tables, "l2_sp", dataset="one")
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


def test_the_parts_of_a_joint_method_are_scored_on_the_molecules_that_table_exposure_names(
    experiment: Path, tmp_path: Path
):
    stage.build(experiment, tmp_path, replicates=100)
    made = schemas.read("exposed", tmp_path / "exposed.parquet").set_index(["dataset", "part"])
    labels = np.stack(schemas.read("molecules", experiment / "molecules.parquet")["labels"].tolist()[:80])  # of "one"
    predictions = schemas.read("predictions", experiment / "predictions.parquet")
    predictions = predictions[predictions["dataset"] == "one"]
    effects = []
    for _, of_seed in predictions.groupby("seed"):
        odd = of_seed[of_seed["molecule"] % 2 == 1]
        joint, single = (
            metrics.primary("rmse", labels[rows["molecule"]], np.stack(rows["prediction"].tolist()))
            for rows in (odd[odd["method"] == name] for name in ("joint_ft", "full_ft"))
        )
        effects.append(np.log(joint / single))
    assert made.loc[("one", "new"), "difference"] == pytest.approx(np.expm1(np.mean(effects)))
    assert made.loc[("one", "excess"), "levels"] == "seeds, molecules"
    assert set(made["method"]) == {"joint_ft"}


def test_a_molecule_of_a_part_is_drawn_as_often_in_every_seed(experiment: Path):
    read = stage.Predictions(experiment, 200)
    cell = stage.Cell("honest", "gin", "one", "random", "50", "joint_ft")
    predictions = schemas.read("predictions", experiment / "predictions.parquet")
    of_cell = predictions[(predictions["dataset"] == "one") & (predictions["method"] == "joint_ft")]
    tested = {seed: set(rows["molecule"]) for seed, rows in of_cell.groupby("seed")}
    molecule = max(tested[0] & tested[1])
    scored = {seed: ours for seed, ours, _ in read.parts(cell, {0: np.array([molecule]), 1: np.array([molecule])})}
    drawn = {seed: np.isfinite(ours.resampled) for seed, ours in scored.items()}  # not where it is drawn never
    assert (drawn[0] == drawn[1]).all()
    assert 0.5 < drawn[0].mean() < 0.8  # 1 - 1/e
    assert all(set(ours.resampled[drawn[seed]]) == {ours.value} for seed, ours in scored.items())


def test_a_missing_table_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"selected\.parquet"):
        stage.build(tmp_path, tmp_path)
