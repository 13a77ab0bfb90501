"""Whatever goes wrong: a sentence that says what, nothing half-written, and nothing lost that was finished."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from cell_jobs import FULL_FT, finetune
from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.training import jobs
from roftmol.training.finished_fit import FinishedFit
from roftmol.training.fit import TrainSettings
from roftmol.training.jobs import within_memory
from small_dataset import corpus, split_table

WORKFLOW = Path(jobs.__file__).parents[2]


def write_text(path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text("x" * 100_000)


def write_table(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 1 << 30, 40_000)
    frame = pd.DataFrame({"smiles": noise.astype(str), "labels": [[]] * len(noise)})
    schemas.write("pretraining", frame, path)


def write_arrays(path: Path) -> None:
    with atomic(path) as temporary:
        save_file({"a": np.zeros(50_000, np.float32)}, temporary)


WRITERS = [write_text, write_table, write_arrays]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may become larger than 64 kB: the system refuses to write on, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.usefixtures("small_files")
def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path: Path, write: Callable[[Path], None]):
    path = tmp_path / "table"
    path.write_text("old")
    with pytest.raises(UserError, match=r"table: cannot be written \(File too large\). Nothing .* is lost; raise"):
        write(path)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["table"]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a file system of its own cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("write", WRITERS)
def test_a_full_disk_is_told_and_leaves_the_old_file(mounted: Path, write: Callable[[Path], None]):
    path = mounted / "table"
    path.write_text("old")
    with open(mounted / "filler", "wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    with pytest.raises(UserError, match=r"table: cannot be written \(No space left on device\)\..* make room"):
        write(path)
    assert path.read_text() == "old"
    assert sorted(found.name for found in mounted.iterdir()) == ["filler", "table"]


def test_a_read_only_folder_is_told(mounted: Path):
    done = subprocess.run(["mount", "-o", "remount,ro", mounted], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"it cannot be made read-only here: {done.stderr.strip()}")
    try:
        (mounted / "probe").touch()
    except OSError:
        with pytest.raises(UserError, match=r"cannot be written \(Read-only file system\)\..* choose a folder"):
            write_text(mounted / "results" / "table")
    else:
        pytest.skip("this system does not keep a file system read-only")


def test_an_unreadable_source_is_not_blamed_on_the_output(tmp_path: Path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "out") as temporary:
        shutil.copyfile(tmp_path / "nothing", temporary)
    assert list(tmp_path.iterdir()) == []


# What a crash of the machine may leave: files without content


@pytest.mark.parametrize("name", ["splits.parquet", "graphs.safetensors", "encoder.safetensors"])
@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>Please log in</html>"], ids=["empty", "page"])
def test_an_input_without_content_is_named(cell: Path, name: str, content: bytes):
    (cell / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        finetune(cell, FULL_FT)


def test_an_empty_part_is_fitted_again(cell: Path):
    run = finetune(cell, FULL_FT)
    table = (run / "predictions.parquet").read_bytes()
    victim, *others = sorted((run / "parts").iterdir())
    before = {path: path.stat().st_mtime_ns for path in others}
    victim.write_bytes(b"")
    finetune(cell, FULL_FT)
    assert victim.stat().st_size > 0
    assert {path: path.stat().st_mtime_ns for path in others} == before
    assert (run / "predictions.parquet").read_bytes() == table


# Fits that cannot be as they were asked for


def result(note: str = "") -> FinishedFit:
    return FinishedFit(
        valid=np.zeros((1, 1), np.float32),
        test=np.zeros((1, 1), np.float32),
        test_id=np.zeros((0, 1), np.float32),
        note=note,
    )


def within(limit: int) -> Callable[[TrainSettings], FinishedFit]:
    """A fit on a GPU that holds batches of so many molecules."""

    def fitted(training: TrainSettings) -> FinishedFit:
        if training.batch_size > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return result("its own note")

    return fitted


def test_batches_are_halved_where_the_gpus_memory_is_too_small(capsys: pytest.CaptureFixture[str]):
    training = TrainSettings(batch_size=32)
    assert within_memory(within(32), training).note == "its own note"
    found = within_memory(within(10), training)
    assert found.note == "its own note; out of GPU memory with batches of 32: fitted with batches of 8"
    assert "batches of 32 molecules: again with 16" in capsys.readouterr().err
    with pytest.raises(UserError, match="does not hold a batch of 2 molecules; say `device: cpu`"):
        within_memory(within(1), training)


def test_halved_batches_stand_in_the_table_of_fits(cell: Path, monkeypatch: pytest.MonkeyPatch):
    train = jobs.train

    def limited(model, fit):
        if fit.training.batch_size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train(model, fit)

    monkeypatch.setattr(jobs, "train", limited)
    wanted = replace(FULL_FT, training=replace(FULL_FT.training, batch_size=8))
    fits = schemas.read("fits", finetune(cell, wanted) / "fits.parquet")
    assert (fits["status"] == "ok").all()
    assert fits["note"].str.contains("fitted with batches of 4").all()


def test_a_task_without_a_positive_in_train_is_fitted_and_scored(cell: Path):
    data, table = corpus(), split_table()
    train = table.query("role == 'train'")["molecule"].unique()
    labels = (np.arange(2 * len(data)) % 2).reshape(len(data), 2).astype(np.float32)
    labels[:, 1] = np.arange(len(data)) // 2 % 2
    labels[train, 1] = 0
    replace(data, labels=labels).save(cell / "graphs.safetensors")
    run = finetune(cell, replace(FULL_FT, task="classification", metric="roc_auc"))
    fits = schemas.read("fits", run / "fits.parquet")
    assert (fits["status"] == "ok").all()
    for values in schemas.read("predictions", run / "predictions.parquet")["prediction"]:
        assert np.isfinite(values).all()
    assert np.isnan(metrics.primary("roc_auc", labels[train][:, 1:], np.zeros((len(train), 1), np.float32)))
