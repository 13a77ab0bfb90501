"""Learning curves for TensorBoard: to the byte what its own writer writes, in a folder a fit."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from roftmol.core.errors import UserError
from roftmol.sharing import tensorboard
from roftmol.tables import schemas

#: `Event(wall_time=1, step=1, summary=Summary(value=[Summary.Value(tag="train_loss", simple_value=0.5)]))` as a record,
#: by TensorBoard 2.21.0's own message and RecordWriter.
WRITTEN = "200000000000000029eda95009000000000000f03f10012a130a110a0a747261696e5f6c6f7373150000003f5b7d8322"
FIT = {"protocol": "honest", "model": "gin", "dataset": "esol", "split": "random", "budget": "50"}
#: A fit in two stages, the second of which begins where the first ended.
POINTS = [(0, 0, math.nan, 2.0, math.nan), (0, 1, 1e39, 1.5, 0.5), (1, 0, math.nan, 1.5, 0.5), (1, 1, -0.25, 1.0, 0.25)]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rows = [
        {**FIT, "method": method, "setting": "{}", "seed": seed, "fold": 0}
        | dict(zip(("stage", "epoch", *tensorboard.CURVES), point, strict=True))
        for method, seed in (("lp_ft", 0), ("lp_ft", 1), ("full_ft", 0))
        for point in reversed(POINTS)
    ]
    table = tmp_path / "results" / "tables" / "curves.parquet"
    schemas.write("curves", pd.DataFrame(rows), table, {})
    return tmp_path / "results"


def test_a_record_is_what_tensorboard_writes():
    _, _, event = tensorboard.events([[9.0, math.nan, math.nan], [0.5, math.nan, math.nan]])
    assert tensorboard.record(event).hex() == WRITTEN


def test_each_fit_has_a_folder(results: Path, tmp_path: Path):
    out = tmp_path / "logs"
    assert tensorboard.export(results, out) == 3
    files = sorted(path.relative_to(out) for path in out.rglob("*tfevents*"))
    runs = ["full_ft/seed-0-fold-0", "lp_ft/seed-0-fold-0", "lp_ft/seed-1-fold-0"]
    assert [str(path.parent) for path in files] == [f"honest/gin/esol/random-50/{run}" for run in runs]
    points = [list(values) for _, _, *values in POINTS]
    assert (out / files[0]).read_bytes() == b"".join(map(tensorboard.record, tensorboard.events(points)))


def test_tensorboard_reads_it(results: Path, tmp_path: Path):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    tensorboard.export(results, tmp_path / "logs")
    curves = reader.EventAccumulator(str(tmp_path / "logs/honest/gin/esol/random-50/lp_ft/seed-1-fold-0"))
    curves.Reload()
    read = {name: [(point.step, point.value) for point in curves.Scalars(name)] for name in tensorboard.CURVES}
    assert read == {
        "train_loss": [(1, math.inf), (3, -0.25)],
        "valid_loss": [(0, 2.0), (1, 1.5), (2, 1.5), (3, 1.0)],
        "valid_metric": [(1, 0.5), (2, 0.5), (3, 0.25)],
    }


def test_a_folder_without_curves_and_one_that_is_there_are_told(results: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"there is no file .*curves\.parquet\. Name the folder"):
        tensorboard.export(tmp_path, tmp_path / "logs")
    with pytest.raises(UserError, match=r"it is there already\. Name a folder that is not"):
        tensorboard.export(results, results)
