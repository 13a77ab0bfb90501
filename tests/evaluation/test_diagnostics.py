"""Behind the mean score: activity cliffs by hand, and the stage on real molecules."""

import math

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

import made_up_tables
from cell_entries import CELL, cell_of, entries_of
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.data.splits import SplitSettings, assign
from roftmol.evaluation.diagnostics import TABLES, calibration, cliffs
from roftmol.evaluation.diagnostics.cells import Data, entries, read_cells, read_data
from roftmol.evaluation.diagnostics.stage import DiagnosticsSettings, diagnose
from roftmol.tables import schemas
from small_dataset import SMILES

MODEL = {"fingerprint": "morgan"}


# --- cliffs --------------------------------------------------------------------------------------------------------


def test_rmse_on_and_off_cliffs_by_hand():
    members = cliffs.Cliffs(np.array([True, True, False, False]), "published")
    y, p = [0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0]
    more = [1.0, 1.0, 2.0, 0.0]
    two_seeds = entries_of(y * 2, p + more, seeds=[0] * 4 + [1] * 4, molecules=[0, 1, 2, 3] * 2)
    (row,) = cliffs.compare(CELL, two_seeds, members)
    on, off = [math.sqrt(5), 1.0], [1.0, math.sqrt(2)]
    assert row["cliff_rmse"] == pytest.approx(np.mean(on))
    assert row["other_rmse"] == pytest.approx(np.mean(off))
    assert row["gap_std"] == pytest.approx(np.std(np.subtract(on, off), ddof=1))
    assert (row["seeds"], row["cliff_molecules"], row["other_molecules"]) == (2, 2, 2)


def test_a_seed_without_cliffs_in_its_test_part_is_not_counted():
    members = cliffs.Cliffs(np.array([True, False, False]), "computed")
    parts = entries_of([0.0, 0, 0, 0], [1.0, 2, 3, 4], seeds=[0, 0, 1, 1], molecules=[0, 1, 1, 2])
    (row,) = cliffs.compare(CELL, parts, members)
    assert (row["seeds"], row["cliff_rmse"], row["other_rmse"]) == (1, 1, 2)
    assert np.isnan(row["gap_std"])
    assert cliffs.compare(CELL, parts.of(parts.seeds == 1), members) == []


# --- the stage -----------------------------------------------------------------------------------------------------


def write_run(folder, kind: str = "regression", methods=("full_ft", "fingerprint"), seeds=(0, 1, 2)) -> pd.DataFrame:
    """Tables, splits and cliffs of a made-up run on real molecules; returns its predictions."""
    rng = np.random.default_rng(4)
    labels = np.array([math.log(Chem.MolFromSmiles(text).GetNumAtoms()) for text in SMILES])
    if kind == "classification":
        labels = (labels > np.median(labels)).astype(np.float64)
    tables = made_up_tables.data_tables("d", kind)
    molecules = pd.DataFrame(
        {
            "dataset": "d",
            "molecule": range(len(SMILES)),
            "row": range(len(SMILES)),
            "smiles": SMILES,
            "canonical": SMILES,
            "scaffold": "",
            "atoms": 5,
            "parent": SMILES,
            "group": "",
            "labels": [[float(value)] for value in labels],
        }
    )
    settings = SplitSettings("paper", "d", "random", "10", tuple(seeds), kind)
    split = assign(molecules, settings)
    schemas.write("splits", split, folder / "splits" / "paper" / "d" / "random-10.parquet")
    tested = split[split["role"].isin(["test", "valid"])]
    frames = [
        tested[["seed", "molecule"]].assign(
            **{**CELL, "protocol": "paper", "budget": "10", "method": method, "model": MODEL.get(method, "m")},
            setting="{}",
            partition=tested["role"],
            prediction=[[float(value)] for value in rng.random(len(tested))],
            spread=None,
        )
        for method in methods
    ]
    predictions = pd.concat(frames, ignore_index=True) if frames else schemas.empty("predictions")
    chosen = {method: [0.7] * len(seeds) for method in methods}
    selected = made_up_tables.selected_rows(chosen, dataset="d", budget="10") if methods else schemas.empty("selected")
    written = {"molecules": molecules, "predictions": predictions, "selected": selected}
    for name, frame in {**tables, **written, "changes": schemas.empty("changes")}.items():
        schemas.write(name, frame, folder / "tables" / f"{name}.parquet")
    member = pd.DataFrame({"dataset": "d", "molecule": range(len(SMILES)), "cliff": np.arange(len(SMILES)) % 2 == 0})
    schemas.write("cliff_molecules", member.assign(origin="computed"), folder / "data" / "d" / "cliffs.parquet")
    return predictions


def run(folder, *datasets: str) -> dict[str, pd.DataFrame]:
    diagnose(DiagnosticsSettings(datasets), folder / "tables", folder, folder / "out")
    return {name: schemas.read(name, folder / "out" / f"{name}.parquet") for name in TABLES}


def test_the_stage_asks_every_question_of_every_method(tmp_path):
    predictions = write_run(tmp_path)
    found = run(tmp_path, "d")
    tests = predictions[predictions["partition"] == "test"]
    for name in ("calibration", "similarity", "cliffs"):
        assert found[name]["method"].drop_duplicates().tolist() == ["full_ft", "fingerprint"]
    of_one = found["similarity"][found["similarity"]["method"] == "full_ft"]
    assert of_one["entries"].sum() == len(tests) / 2
    labels = read_data(tmp_path / "tables")["d"].labels[:, 0]
    mine = tests[tests["method"] == "full_ft"]
    error = np.array([value[0] for value in mine["prediction"]]) - labels[mine["molecule"]]
    total = np.average(of_one["value"] ** 2, weights=of_one["entries"])
    assert total == pytest.approx(np.mean(error**2), rel=1e-6)
    assert found["shift"].empty


def test_probabilities_of_real_molecules(tmp_path):
    write_run(tmp_path, "classification")
    found = run(tmp_path)
    assert set(found["calibration"]["measure"]) == set(calibration.PROBABILITIES)
    assert set(found["reliability"]["kind"]) == {"classification"}
    assert set(found["similarity"]["measure"]) == {"brier"}
    assert found["cliffs"].empty
    assert found["calibration"]["note"].str.contains("labels are few").all()


def test_nothing_predicted_gives_empty_tables(tmp_path):
    write_run(tmp_path, methods=())
    assert all(frame.empty for frame in run(tmp_path, "d").values())


def test_row_groups_of_any_size_give_the_same(tmp_path):
    import pyarrow.parquet as pq

    predictions = write_run(tmp_path)
    whole = run(tmp_path, "d")
    path = tmp_path / "tables" / "predictions.parquet"
    pq.write_table(schemas.table("predictions", predictions), path, row_group_size=3)
    assert len(list(read_cells(tmp_path / "tables"))) == 2
    for name, frame in run(tmp_path, "d").items():
        pd.testing.assert_frame_equal(frame, whole[name])


def test_a_seed_that_predicts_no_number_is_left_out(tmp_path):
    predictions = write_run(tmp_path)
    gone = predictions.index[(predictions["seed"] == 1) & (predictions["partition"] == "test")][0]
    predictions.at[gone, "prediction"] = [np.inf]
    schemas.write("predictions", predictions, tmp_path / "tables" / "predictions.parquet")
    seeds = run(tmp_path)["calibration"].groupby("method")["seeds"].first()
    assert seeds.to_dict() == {"full_ft": 2, "fingerprint": 3}


def test_missing_labels_are_no_entries():
    data = Data("regression", ["C", "CC"], np.array([[1.0, np.nan], [2.0, 3.0]]), np.array([2.0, 1.0]))
    found = entries(cell_of([0, 0], [0, 1], [[4.0, 9.0], [6.0, 5.0]]), data)
    assert found.y.tolist() == [0.5, 1.0, 3.0]
    assert found.p.tolist() == [2.0, 3.0, 5.0]
    assert len(set(found.label.tolist())) == 3


def test_cliffs_of_other_molecules_are_refused(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "data" / "d" / "cliffs.parquet"
    schemas.write("cliff_molecules", schemas.read("cliff_molecules", path).head(3), path)
    with pytest.raises(UserError, match=r"cliffs\.parquet: its molecules are not those of the dataset"):
        run(tmp_path, "d")


def test_the_command_says_what_is_missing(tmp_path, capsys):
    write_run(tmp_path)
    (tmp_path / "splits" / "paper" / "d" / "random-10.parquet").unlink()
    paths = ["--tables", str(tmp_path / "tables"), "--results", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        main(["diagnostics", "--settings", '{"cliffs": []}', *paths])
    assert stopped.value.code == 2
    assert "random-10.parquet: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
