"""Results folders put together: the same as one run of all, or an error that says where they disagree."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.paths import Found
from roftmol.core.weights_digest import content_digest
from roftmol.methods import WITHOUT_ENCODER
from roftmol.sharing import verify
from roftmol.sharing.merge import MergeSettings, gather, merge, tabulate
from roftmol.tables import schemas
from small_results import (
    METHODS,
    MODEL,
    TRAINING,
    copy,
    edit,
    edit_weights,
    make,
    run_of,
    set_value,
    truncate,
    write_checkpoint,
)


@pytest.fixture(scope="module")
def a(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("a") / "results", (0, 1))


@pytest.fixture(scope="module")
def b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("b") / "results", (2,))


def test_what_is_the_same_in_both_is_there_once(b: Path, tmp_path: Path):
    again = copy(b, tmp_path / "again")
    run = run_of(again, "l2_sp")
    edit(run / "fits.parquet", lambda fits: fits.assign(host="Another processor", wall_seconds=99.0))
    edit(run / "predictions.parquet", lambda rows: rows[rows["setting"].str.contains("0.001")])
    edit(run / "fits.parquet", lambda rows: rows[rows["setting"].str.contains("0.001")])
    gather([b, again], tmp_path / "c", MergeSettings(parts=False))
    tabulate(tmp_path / "c", "validation")
    fits = schemas.read("fits", run_of(tmp_path / "c", "l2_sp") / "fits.parquet")
    assert len(fits) == 2
    assert "Another processor" not in set(fits["host"])
    assert not list((tmp_path / "c").rglob("parts"))
    with_parts = [name for name in METHODS if name not in WITHOUT_ENCODER]
    assert verify.verify(tmp_path / "c").counts["runs without parts"] == len(with_parts) == 5


def test_data_sets_and_methods_come_together(b: Path, tmp_path: Path):
    """Another dataset, which was compared with no corpus, and a method that the other folder lacks."""
    one = copy(b, tmp_path / "one")
    shutil.rmtree(run_of(one, "l2_sp"))
    other = make(tmp_path / "other", (2,), dataset="second", methods=("full_ft", "fingerprint", "joint_ft"))
    shutil.copytree(run_of(b, "l2_sp"), run_of(other, "l2_sp"))
    for path in ("data/own", "splits/honest/own"):
        shutil.copytree(b / path, other / path)
    shutil.rmtree(other / "overlaps")
    gather([one, other], tmp_path / "c")
    tabulate(tmp_path / "c", "validation")
    (panel,) = Found(tmp_path / "c").panels
    joint = schemas.read("fits", panel / "fits.parquet")
    assert {dataset: set(rows["part"]) for dataset, rows in joint.groupby("dataset")} == {
        name: {part.name for part in (panel / "parts" / name).iterdir()} for name in ("own", "second")
    }
    summary = schemas.read("summary", tmp_path / "c/tables/summary.parquet").set_index(["dataset", "method"])
    assert set(summary.loc["own"].index) == set(METHODS)
    assert set(summary.loc["second"].index) == {"full_ft", "fingerprint", "joint_ft"}
    assert summary["contamination"]["own", "l2_sp"] == "structures"
    assert summary["contamination"]["second", "full_ft"] == "unknown"
    overlaps = schemas.read("overlaps", tmp_path / "c/tables/overlaps.parquet").set_index("dataset")
    assert overlaps["checked"].to_dict() == {"own": True, "second": False}


def test_models_of_both_are_listed_with_their_twins(b: Path, tmp_path: Path):
    other = copy(b, tmp_path / "other")
    write_checkpoint(other / "checkpoints" / "twin.safetensors")
    edit(
        other / "provenance/models.parquet",
        lambda table: pd.concat([table, table.assign(model="twin", corpora=[["elsewhere"]])], ignore_index=True),
    )
    gather([b, other], tmp_path / "c")
    models = schemas.read("models", tmp_path / "c/provenance/models.parquet").set_index("model")
    assert [list(names) for names in models["same_as"][[MODEL, "twin"]]] == [["twin"], [MODEL]]
    assert content_digest(tmp_path / "c/checkpoints/twin.safetensors") == models["content"]["twin"]


def other_predictions(place: Path) -> None:
    edit(run_of(place, "full_ft") / "predictions.parquet", set_value("prediction", 3, [0.25]))


def other_training(place: Path) -> None:
    edit(run_of(place, "full_ft") / "fits.parquet", lambda fits: fits.assign(configuration="another"))


def other_failure(place: Path) -> None:
    file = run_of(place, "l2_sp") / "fits.parquet"
    edit(file, lambda fits: fits.assign(status="failed", reason="the loss was NaN"))


def other_molecules(place: Path) -> None:
    edit(place / "data/own/molecules.parquet", set_value("labels", 0, [9.0]))


def other_split(place: Path) -> None:
    edit(place / "splits/honest/own/random-30.parquet", lambda split: split.iloc[:-1])


def other_overlap(place: Path) -> None:
    edit(place / "overlaps/own/made.parquet", lambda hits: hits.iloc[1:])


def other_version(place: Path) -> None:
    file = place / "data/own/tasks.parquet"
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"roftmol.version": b"1"}), file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_predictions, r"a0/results/runs/\S*full_ft/fits.parquet and \S*/b/runs/\S* seed 0, setting {}: the pred"),
        (other_failure, r"l2_sp/fits.parquet: seed 0, setting .*: the predictions differ"),
        (other_training, r"different training, task or metric \(configurations \w+ and another\)"),
        (other_molecules, r"a0/results/data/own/molecules.parquet and .*: the molecules of one dataset differ"),
        (other_split, r"splits/honest/own/random-30.parquet: seed 1 of splits differs"),
        (other_overlap, r"overlaps/own/made.parquet: the molecules found in a corpus differ"),
        (lambda b: edit_weights(b / f"checkpoints/{MODEL}.safetensors"), "checkpoints.*different weights under one"),
        (
            lambda b: edit(b / "provenance/models.parquet", lambda t: t.assign(content="0")),
            "'tiny' is different weights",
        ),
        (other_version, r"b/data/own/tasks.parquet: expected table tasks of version \d"),
        (lambda b: truncate(run_of(b, "full_ft") / "curves.parquet"), r"b/runs/\S*curves.parquet: cannot be read"),
        (lambda b: shutil.rmtree(b / "runs"), "b: no results folder"),
    ],
)
def test_a_conflict_is_named_and_leaves_nothing(a: Path, tmp_path: Path, change: Callable[[Path], None], message: str):
    b = copy(a, tmp_path / "b")
    change(b)
    with pytest.raises(UserError, match=message):
        merge([a, b], tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_the_preferred_folder_settles_what_differs(a: Path, b: Path, tmp_path: Path):
    other = copy(a, tmp_path / "other")
    other_predictions(other)
    gather([a, other, b], tmp_path / "c", MergeSettings(prefer=other))
    found = schemas.read("predictions", run_of(tmp_path / "c", "full_ft") / "predictions.parquet")
    assert found["prediction"].iloc[3].tolist() == [0.25]
    assert set(found["seed"]) == {0, 1, 2}
    with pytest.raises(UserError, match="is none of the folders"):
        merge([a, b], tmp_path / "d", MergeSettings(prefer=other))


def test_of_cells_that_were_told_otherwise_the_preferred_one_counts_alone(a: Path, tmp_path: Path):
    """The whole cell: seeds of different training are no sample of one thing."""
    short = make(tmp_path / "short", (2,), methods=("full_ft",), training=replace(TRAINING, epochs=1))
    with pytest.raises(UserError, match="different training"):
        merge([a, short], tmp_path / "c")
    gather([a, short], tmp_path / "c", MergeSettings(prefer=short))
    tabulate(tmp_path / "c", "validation")
    assert set(schemas.read("fits", run_of(tmp_path / "c", "full_ft") / "fits.parquet")["seed"]) == {2}
    assert set(schemas.read("fits", run_of(tmp_path / "c", "l2_sp") / "fits.parquet")["seed"]) == {0, 1}


def test_what_is_in_no_folder_is_named(a: Path, tmp_path: Path):
    alone = copy(a, tmp_path / "alone")
    shutil.rmtree(alone / "data")
    with pytest.raises(UserError, match=r"/c/runs/\S*: dataset 'own' is in none of the dataset directories"):
        merge([alone], tmp_path / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["alone"]


def test_folders_that_cannot_be_used_are_named(a: Path, b: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for folders, out, message in (
        ([a, a], tmp_path / "c", "it is named twice"),
        ([a, b], b, "it is there already"),
        ([a, b], a / "merged", "which must stay as it is"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["merge", *map(str, folders), "-o", str(out)])
        assert ended.value.code == 2
        assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("inside", ["data/own/secret", "secret", "runs/secret"])
def test_a_link_that_leads_out_of_a_folder_is_refused(b: Path, tmp_path: Path, inside: str):
    """What it leads to would be copied, and shared with whoever gets the merged folder."""
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    one = copy(b, tmp_path / "one")
    (one / inside).symlink_to(tmp_path / "private")
    with pytest.raises(UserError, match=f"one/{inside}: a link that leads out of the folder, to .*private. Put a copy"):
        merge([one], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_to_a_folder_that_holds_it_is_refused(b: Path, tmp_path: Path):
    """Whoever copies what it leads to has no end."""
    one = copy(b, tmp_path / "one")
    (run_of(one, "full_ft") / "parts" / "again").symlink_to("..")
    with pytest.raises(UserError, match=r"one/runs/\S*/parts/again: a link to the folder \S*/full_ft\. Put a copy"):
        merge([one], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_file_is_refused(b: Path, tmp_path: Path):
    """A pipe that nobody writes to would be read for ever."""
    one = copy(b, tmp_path / "one")
    os.mkfifo(one / "runs" / "pipe")
    with pytest.raises(UserError, match=r"one/runs/pipe: it is no file\. Leave it out"):
        merge([one], tmp_path / "out")
    assert not (tmp_path / "out").exists()
