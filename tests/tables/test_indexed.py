"""Tables that are read by their keys, a row group at a time."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from roftmol.core.errors import UserError
from roftmol.tables import schemas


def test_a_table_is_read_by_its_keys_and_no_row_group_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """As a filter over the whole finds them, also where a row group holds several cells and a cell several groups."""
    cells = [("a", 1), ("b", 2), ("b", 3), ("d", 4)]
    rows = [
        {**dict.fromkeys(schemas.RUN, ""), "method": method, "seed": seed, "partition": "test", "molecule": number}
        for method, seed in cells
        for number in range(5)
    ]
    frame = pd.DataFrame(rows).assign(prediction=[[0.5]] * len(rows), spread=None)
    path = tmp_path / "predictions.parquet"
    pq.write_table(schemas.table("predictions", frame), path, row_group_size=7)
    table = schemas.Indexed("predictions", path, ("method", "model"))
    for method in "abcd":
        found = table.read({"method": method, "model": ""}, ["seed", "molecule"]).to_pandas()
        wanted = frame.loc[frame["method"] == method, ["seed", "molecule"]].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    read: list[list[int]] = []
    original = pq.ParquetFile.read_row_groups

    def noted(file: pq.ParquetFile, groups: list[int], columns: list[str]):
        read.append(groups)
        return original(file, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", noted)
    table.read({"method": "a"}, ["seed"])
    table.read({"method": "c"}, ["seed"])
    assert read == [[0], [2]]  # the last holds b to d
    with pytest.raises(UserError, match="expected table scores"):
        schemas.Indexed("scores", path, ("method",))


def test_a_cell_without_rows_is_found_empty_and_hides_no_other(tmp_path: Path):
    """As a cell whose fits all failed leaves it among the aggregated predictions."""
    path, schema = tmp_path / "predictions.parquet", schemas.schema("predictions")
    row = {
        **dict.fromkeys(schemas.RUN, "a"),
        "seed": 0,
        "partition": "test",
        "molecule": 1,
        "prediction": [0.5],
        "spread": None,
    }
    with pq.ParquetWriter(path, schema) as writer:
        for frame in (schemas.empty("predictions"), pd.DataFrame([row]), schemas.empty("predictions")):
            writer.write_table(schemas.table("predictions", frame))
    assert pq.read_metadata(path).num_row_groups == 3
    table = schemas.Indexed("predictions", path, ("method",))
    assert table.read({"method": "a"}, ["molecule"])["molecule"].to_pylist() == [1]
    assert table.read({"method": "b"}, ["molecule"]).num_rows == 0
