"""A results folder held against itself: what was changed is found and named, what was not agrees."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import root_mean_squared_error

from roftmol.cli.main import main
from roftmol.features import graphs
from roftmol.sharing.verify import RUN_TABLES
from roftmol.tables import schemas
from small_results import METHODS, MODEL, copy, edit, edit_weights, made, run_of, set_value, truncate


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("made") / "results", (0, 1))


@pytest.fixture
def results(made_once: Path, tmp_path: Path) -> Path:
    return copy(made_once, tmp_path / "results")


def run(results: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The command's exit status, and what it says."""
    capsys.readouterr()
    try:
        main(["verify", str(results)])
    except SystemExit as ended:
        return int(ended.code or 0), "".join(capsys.readouterr())
    return 0, capsys.readouterr().out


def test_what_the_stages_made_agrees(made_once: Path, capsys: pytest.CaptureFixture[str]):
    status, text = run(made_once, capsys)
    assert status == 0
    assert text.count("\n") == 1
    assert f"runs {len(METHODS)}" in text
    assert "parts 16" in text
    assert "checkpoints 1, source files 1" in text
    assert text.endswith("all agree within 1e-12, relative\n")
    scores = schemas.read("scores", made_once / "tables/scores.parquet")
    assert f"scores {len(scores):,}," in text


def test_keys_tell_rows_apart(made_once: Path):
    files = [file for file in made_once.rglob("*.parquet") if file.parent.name != "parts"]
    looked_at = set()
    for file in files:
        name = schemas.marks(file)["roftmol.table"]
        key = list(schemas.TABLES[name].key)
        if key and not (rows := schemas.read(name, file, key)).empty:
            assert not rows.duplicated().any(), file
            looked_at.add(name)
    assert looked_at >= {*RUN_TABLES, "fits", "splits", "models", "hits", "overlaps", "planes", "paths", "comparisons"}


def test_scores_are_those_of_another_library(made_once: Path):
    """What agrees is right, too: one score from the stored files by scikit-learn alone."""
    predictions, molecules, scores = (
        schemas.read(name, made_once / f"tables/{name}.parquet") for name in ("predictions", "molecules", "scores")
    )
    labels = np.array([row[0] for row in molecules["labels"]])
    mine = predictions[(predictions["method"] == "full_ft") & (predictions["seed"] == 1)]
    mine = mine[mine["partition"] == "test"]
    expected = root_mean_squared_error(labels[mine["molecule"]], [row[0] for row in mine["prediction"]])
    of_it = scores.query("method == 'full_ft' and seed == 1 and partition == 'test' and metric == 'rmse'")
    assert of_it["value"].tolist() == pytest.approx([expected, expected], rel=1e-6)


def tampered(table: str, column: str, row: int, by: Callable[[float], object]) -> Callable[[Path], None]:
    def change(results: Path) -> None:
        file = results / f"tables/{table}.parquet"
        value = schemas.read(table, file)[column].iloc[row]
        edit(file, set_value(column, row, by(value)))

    return change


def in_run(method: str, name: str, change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda results: edit(run_of(results, method) / f"{name}.parquet", change)


def first_part(results: Path) -> Path:
    return (
        run_of(results, "full_ft")
        / "parts"
        / schemas.read("fits", run_of(results, "full_ft") / "fits.parquet")["part"][0]
    )


def graphs_of(results: Path) -> Path:
    return results / "data/own/graphs/hu.safetensors"


def flip(file: Path) -> None:
    """Another bit in the last of a file's numbers."""
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def swap_in_split(split: pd.DataFrame) -> pd.DataFrame:
    """A test molecule of seed 0 and a training molecule change places."""
    mine = split["seed"] == 0
    rows = [split.index[mine & (split["role"] == role)][0] for role in ("train", "test")]
    molecules = split["molecule"].tolist()
    molecules[rows[0]], molecules[rows[1]] = molecules[rows[1]], molecules[rows[0]]
    return split.assign(molecule=molecules)


def all_of(*changes: Callable[[Path], object]) -> Callable[[Path], None]:
    """Changes of different files, of which none hides another: each is found by messages of its own."""

    def change(results: Path) -> None:
        for one in changes:
            one(results)

    return change


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (
            all_of(
                tampered("scores", "value", 0, lambda value: value * (1 + 1e-9)),
                tampered("selected", "contamination", 4, lambda value: "none"),
                tampered("summary", "mean", 1, lambda value: value * 1.01),
                tampered("predictions", "prediction", 5, lambda value: value + 0.5),
                tampered("loss_weights", "weight", 1, lambda value: 0.5),
                tampered("alphas", "value", 2, lambda value: 0.0),
                tampered("timings", "wall_seconds", 2, lambda value: 0.0),
                tampered("molecules", "labels", 2, lambda value: value + 1),
                lambda results: flip(first_part(results)),
                lambda results: flip(graphs_of(results)),
                lambda results: flip(results / f"checkpoints/{MODEL}.safetensors"),
                lambda results: (results / "data/own/source").write_text("C"),
            ),
            [
                r"tables/scores.parquet: honest/morgan/own/random/30/fingerprint, seed 0, .*"
                r"partition valid, metric rmse.*: value: stored",
                r"tables/selected.parquet: .*: contamination: stored none, found",
                r"tables/summary.parquet: .*: mean: stored",
                r"tables/summary.csv: all cells: text",
                r"tables/predictions.parquet: .*molecule \d+.*: prediction: stored",
                r"tables/loss_weights.parquet: .*: weight: stored 0.5",
                r"tables/alphas.parquet: .*wise_ft.*: value: stored 0.0",
                r"tables/timings.parquet: .*: wall_seconds: stored 0.0",
                r"tables/molecules.parquet: own, row 2, molecule 2: labels: stored",
                r"parts/.*seed 0: finished fit: stored there, found cannot be",
                r"graphs/hu.safetensors: own: arrays: stored there, found cannot",
                r"checkpoints/tiny.safetensors: checkpoints: arrays: stored there, found cannot be read",
                r"data/own/source: own: SHA-256: stored",
            ],
        ),
        (
            all_of(
                tampered("scores", "molecules", 1, lambda value: value + 1),
                tampered("selected", "setting", -1, lambda value: "{}"),
                lambda results: (results / "tables/loss_weights.parquet").unlink(),
                lambda results: truncate(first_part(results)),
                lambda results: replace(graphs.load(graphs_of(results)), labels=np.zeros((50, 1), np.float32)).save(
                    graphs_of(results)
                ),
                lambda results: edit_weights(results / f"checkpoints/{MODEL}.safetensors"),
                in_run("l2_sp", "predictions", lambda table: table.iloc[1:]),
            ),
            [
                r"tables/scores.parquet: .*: molecules: stored",
                r"tables/selected.parquet: .*: setting: stored {}, found {",
                r"tables/loss_weights.parquet: .*: rows: stored 0",
                r"parts/.*seed 0: finished fit: stored there, found cannot be",
                r"graphs/hu.safetensors: own: labels: stored those of molecules.parquet, found others",
                r"checkpoints/tiny\S*: tiny: digest of",
                r"l2_sp/predictions.parquet: .*valid molecules, 1 of them others: stored 5, found 6 in the split",
            ],
        ),
        (
            all_of(
                lambda results: edit(results / "tables/scores.parquet", lambda table: table.iloc[1:]),
                lambda results: first_part(results).unlink(),
                lambda results: edit(
                    results / "splits/honest/own/random-30.parquet",
                    lambda t: pd.concat([t, t.head(1).assign(role="test")]),
                ),
            ),
            [
                r"tables/scores.parquet: honest/\S*: rows: stored",
                r"parts/.*: finished fit: stored there, found cannot be read",
                r"random-30.parquet: honest/own/random-30, seed 0, fold 0: roles of a molecule: stored 1, found 2",
            ],
        ),
        (
            lambda results: edit(
                results / "tables/scores.parquet", lambda t: pd.concat([t, t.tail(1).assign(method="x")])
            ),
            [r"tables/scores.parquet: all cells: rows"],
        ),
        (lambda results: shutil.rmtree(run_of(results, "l2_sp")), [r"/l2_sp: runs: stored fits, found no run folder"]),
        (
            in_run("full_ft", "predictions", set_value("prediction", 0, [7.0])),
            [r"tables/scores.parquet: honest/tiny/own/random/30/full_ft, seed 0", r"tables/predictions.parquet: "],
        ),
        (
            lambda results: edit(results / "splits/honest/own/random-30.parquet", swap_in_split),
            [r"full_ft/predictions.parquet: .*seed 0, setting {}: test molecules, 2 of them others"],
        ),
        (
            lambda results: edit(results / "data/own/molecules.parquet", set_value("labels", 1, [9.0])),
            [r"tables/scores.parquet: ", r"tables/molecules.parquet: own"],
        ),
        (
            lambda results: edit(results / "splits/honest/own/random-30.parquet", set_value("molecule", 0, 5000)),
            [r"random-30.parquet: honest/own/random-30: molecules: stored 50, found number 5000"],
        ),
    ],
)
def test_what_was_changed_is_found(
    results: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], messages: list[str]
):
    change(results)
    status, text = run(results, capsys)
    assert status == 1
    for message in messages:
        assert re.search(message, text), (message, text)
    assert re.search(r"differences [1-9]\d*\n$", text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda results: truncate(results / "tables/scores.parquet"), "tables/scores.parquet: cannot be read"),
        (lambda results: truncate(run_of(results, "l2_sp") / "curves.parquet"), "l2_sp/curves.parquet: cannot be read"),
        (
            lambda results: truncate(next(results.glob("landscapes/**/paths.parquet"))),
            "paths.parquet: cannot be read",
        ),
        (lambda results: shutil.rmtree(results / "splits"), "splits/honest/own/random-30.parquet: cannot be read"),
        (lambda results: shutil.rmtree(results / "data"), "there is no folder data/own with its labels"),
        (lambda results: shutil.rmtree(results / "tables"), "it lacks runs or tables"),
    ],
)
def test_what_cannot_be_read_is_named(
    results: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], message: str
):
    change(results)
    status, text = run(results, capsys)
    assert status == 2
    assert message in text


def test_runs_that_no_table_has_are_counted(results: Path, capsys: pytest.CaptureFixture[str]):
    """As after a change of the configuration, which leaves folders behind."""
    old = copy(run_of(results, "l2_sp"), run_of(results, "bss"))
    for file in old.glob("*.parquet"):
        edit(file, lambda table: table.assign(method="bss"))
    status, text = run(results, capsys)
    assert status == 0
    assert "runs in no table 1" in text


def test_a_difference_in_the_last_digit_is_none(results: Path, capsys: pytest.CaptureFixture[str]):
    tampered("scores", "value", 0, lambda value: np.nextafter(value, 2 * value))(results)
    assert run(results, capsys)[0] == 0
