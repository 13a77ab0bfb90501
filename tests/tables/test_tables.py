"""Tables: what is written is read again, older files where that is safe, and every column is described."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damage import damaged, read_or_refused
from roftmol.core import parquet_footer
from roftmol.core.errors import UserError
from roftmol.core.source_code import PACKAGE, sources
from roftmol.data.splits import SplitSettings
from roftmol.evaluation import aggregate, atom_embeddings, diagnostics
from roftmol.figures.cells import Condition
from roftmol.report.glossary import table_lines
from roftmol.report.results import TITLES
from roftmol.stages import STAGES, Code
from roftmol.statistics import TABLES as STATISTICS
from roftmol.statistics.blocks import Family
from roftmol.statistics.stage import Cell
from roftmol.tables import schemas
from roftmol.tables.base import Table
from roftmol.tables.descriptions import reference
from roftmol.training.cell import RunSettings
from roftmol.training.landscape import LandscapeSettings
from roftmol.training.learners import LearnerSettings

DESCRIPTIONS = PACKAGE / "tables" / "descriptions"
#: A text, a number with a fraction, a whole one, a list and a truth: what a later version might add to "scores".
NEW = {
    "remark": pa.string(),
    "error": pa.float64(),
    "count": pa.int32(),
    "parts": pa.list_(pa.float32()),
    "sure": pa.bool_(),
}
SCORES = schemas.TABLES["scores"]
LATER = replace(SCORES, columns={**SCORES.columns, **NEW}, version=5, since=dict.fromkeys(NEW, 5))


def value(kind: pa.DataType) -> Any:
    """Some value of a type."""
    if pa.types.is_list(kind):
        return [value(kind.value_type)] * 2
    return {pa.string(): "a", pa.bool_(): True}.get(kind, 3)


def rows(table: Table, **columns: Any) -> pd.DataFrame:
    """Two rows of a table."""
    return pd.DataFrame([{**{name: value(kind) for name, kind in table.columns.items()}, **columns}] * 2)


@contextmanager
def program_with(table: Table) -> Iterator[None]:
    """A program whose table is this one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(schemas.TABLES, table.name, table)
        patch.setitem(schemas.SCHEMAS, table.name, pa.schema(dict(table.columns)))
        yield


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """Table "scores" as it is now, which is to be read by a later program."""
    schemas.write("scores", rows(SCORES, method="bss"), tmp_path / "scores.parquet")
    return tmp_path / "scores.parquet"


@pytest.mark.parametrize("name", schemas.TABLES)
def test_what_is_written_is_read(name: str, tmp_path: Path):
    table, file = schemas.TABLES[name], tmp_path / "table.parquet"
    schemas.write(name, rows(table), file, {"asked": 1})
    found = schemas.read(name, file)
    assert list(found.columns) == list(table.columns)
    assert schemas.table(name, found).equals(schemas.table(name, rows(table)))
    assert schemas.marks(file)["roftmol.version"] == str(table.version)
    last = list(table.columns)[-1]
    assert list(schemas.read(name, file, [last]).columns) == [last]


def test_no_two_tables_have_one_name():
    assert len(schemas.TABLES) == sum(len(module.TABLES) for module in schemas.MODULES)


def test_what_identifies_a_cell_are_the_columns_of_the_tables():
    """Records with a field a column, which have to be written out."""
    assert tuple(schemas.CELL) == Cell._fields
    assert tuple(schemas.CONDITION) == Condition._fields == tuple(TITLES)
    assert {field.name for field in fields(Family)} == {*schemas.FAMILY, "scores"}
    for settings in (RunSettings, LearnerSettings, LandscapeSettings, SplitSettings):
        assert {field.name for field in fields(settings)} >= schemas.CONTEXT.keys(), settings


def test_an_older_file_lacks_new_columns_and_is_read(older: Path):
    before = schemas.read("scores", older)
    with program_with(LATER):
        found = schemas.read("scores", older)
        assert list(found.columns) == list(LATER.columns)
        assert found["remark"].tolist() == ["", ""]
        assert found["error"].isna().all()
        assert found["error"].dtype == np.float64
        assert found[["count", "parts", "sure"]].isna().all(axis=None)
        assert found[list(SCORES.columns)].equals(before)
        assert schemas.marks(older)["roftmol.version"] == "4"


def test_a_new_column_alone_is_read_from_an_older_file(older: Path):
    with program_with(LATER):
        assert schemas.read("scores", older, ["remark", "seed"]).to_dict("list") == {"remark": ["", ""], "seed": [3, 3]}
        assert schemas.read("scores", older, ["remark"])["remark"].tolist() == ["", ""]


def test_an_older_file_is_read_in_parts(older: Path):
    with program_with(LATER):
        (group,) = schemas.stream("scores", older)
        assert group.column_names == list(LATER.columns)
        found = schemas.Indexed("scores", older, ["method"]).read({"method": "bss"}, ["seed", "error", "count"])
        assert found.to_pydict()["seed"] == [3, 3]
        assert all(math.isnan(number) for number in found.to_pydict()["error"])
        assert found.to_pydict()["count"] == [None, None]


def test_what_an_older_file_gives_is_written_as_of_today(older: Path, tmp_path: Path):
    with program_with(LATER):
        schemas.write("scores", schemas.read("scores", older), tmp_path / "again.parquet")
        assert schemas.marks(tmp_path / "again.parquet")["roftmol.version"] == "5"
        assert schemas.read("scores", tmp_path / "again.parquet").equals(schemas.read("scores", older))


def test_a_newer_file_is_refused(tmp_path: Path):
    file = tmp_path / "scores.parquet"
    with program_with(LATER):
        schemas.write("scores", rows(LATER), file)
    refused(file, r"expected table scores of version 4, found scores of version 5\. A newer .*: update the program")


def test_an_older_file_that_means_something_else_is_refused(older: Path):
    with program_with(replace(SCORES, version=5, oldest=5)):
        refused(older, r"expected table scores of version 5, found scores of version 4\. Delete it and run .* again\.$")


def test_another_table_and_none_are_refused(older: Path, tmp_path: Path):
    with pytest.raises(UserError, match=r"expected table fits of version 4, found scores of version 4\. Delete it"):
        schemas.read("fits", older)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"other.parquet: expected table fits of version 4, found \? of version \?"):
        schemas.read("fits", tmp_path / "other.parquet")
    with pytest.raises(UserError, match=r"other.parquet: it is no table of this workflow\. Delete it"):
        schemas.marks(tmp_path / "other.parquet")


def test_a_file_without_a_column_that_it_should_have_is_refused(older: Path):
    pq.write_table(pq.read_table(older).drop_columns(["value"]), older)
    refused(older, r"not those of table scores of version 4 \(missing \['value'\], unknown \[\]\)\. Delete it and run")


def test_an_older_file_without_an_old_column_is_refused(older: Path):
    pq.write_table(pq.read_table(older).drop_columns(["value"]), older)
    with program_with(LATER):
        refused(
            older, r"not those of table scores of version 4 \(missing \['value'\], unknown \[\]\)\. Delete it and run"
        )


def test_a_file_with_a_column_that_is_none_is_refused(older: Path):
    table = pq.read_table(older)
    pq.write_table(table.append_column("more", table["seed"]), older)
    refused(older, r"missing \[\], unknown \['more'\]")


def refused(file: Path, message: str) -> None:
    """Every way to read "scores" refuses the file, names it and says why."""
    ways: Iterable[Any] = (
        lambda: schemas.read("scores", file),
        lambda: schemas.read("scores", file, ["seed"]),
        lambda: list(schemas.stream("scores", file)),
        lambda: schemas.Indexed("scores", file, ["method"]),
        lambda: schemas.marks(file),
    )
    for way in ways:
        with pytest.raises(UserError, match=f"^{file}: .*{message}"):
            way()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"key": ("nothing",)}, r"names \['nothing'\], which are no columns"),
        ({"since": {"nothing": 5}, "version": 5}, r"names \['nothing'\], which are no columns"),
        ({"since": {"value": 5}}, "value came by version 5, of 4"),
        ({"since": {"value": 4}, "version": 5}, "value came by version 4, of 5"),
    ],
)
def test_a_record_that_contradicts_itself(wrong: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        replace(SCORES, **wrong)


def test_every_table_and_column_is_described():
    about = reference.descriptions()
    assert list(about) == list(schemas.TABLES)
    for name, table in schemas.TABLES.items():
        assert list(about[name].columns) == list(table.columns)
        assert about[name].line
        assert about[name].files
        for text in (about[name].line, *about[name].columns.values()):
            assert text.strip() == text != ""
            assert not text.endswith(".")


def test_a_column_that_nobody_described_is_named():
    with program_with(LATER), pytest.raises(ValueError, match=r"table scores: no description of \['remark', 'error'"):
        reference.descriptions()
    with (
        program_with(replace(SCORES, columns=schemas.RUN, key=())),
        pytest.raises(ValueError, match=r"no columns.*undef"),
    ):
        reference.descriptions()


def test_the_report_has_a_line_for_every_table_beside_it():
    stages = (aggregate.TABLES, STATISTICS, diagnostics.TABLES, atom_embeddings.TABLES)
    assert table_lines().keys() == {name for names in stages for name in names}


def test_the_documentation_is_what_the_records_say():
    assert reference.PAGE.read_text(encoding="utf-8") == reference.markdown(), "write it anew: make docs"


def test_the_documentation_says_since_when_a_column_is_there():
    about = reference.Description(
        "scores", ("tables/scores.parquet",), columns=dict.fromkeys(LATER.columns, "a number")
    )
    lines = reference.section(LATER, about).splitlines()
    assert "| `value` | float64 | a number |" in lines
    assert "| `error` | float64 | a number (since version 5) |" in lines
    assert "| `parts` | list of float32 | a number (since version 5) |" in lines


def test_an_edited_description_makes_new_pages_alone():
    described = {path for path in DESCRIPTIONS.iterdir() if path.is_file()}
    codes = {name: stage.code for name, stage in STAGES.items() if isinstance(stage.code, Code)}
    for name, code in codes.items():
        assert described & set(code.files) == (
            described if name in ("report", "recommendation", "overview") else set()
        ), name
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE.rglob("*.py")
    ]
    readers = (
        "roftmol.report",
        "roftmol.stages",
        "roftmol.sharing",
        "roftmol.cli",
        "roftmol.__main__",
        "roftmol.tables.descriptions",
    )
    others = sources(module for module in modules if not module.startswith(readers))
    assert PACKAGE / "training" / "jobs.py" in others
    assert not described & set(others)


def test_an_edited_table_repeats_no_fit():
    """Jobs that write it run again and find their finished fits, whose key counts what fits alone."""
    fit = sources(["roftmol.training.loop", "roftmol.training.encoder_drift", "roftmol.training.mixing"])
    assert PACKAGE / "tables" / "runs.py" in sources(["roftmol.training.jobs"])
    assert PACKAGE / "training" / "loop.py" in fit
    assert not any(path.is_relative_to(PACKAGE / "tables") for path in fit)


def test_damaged_tables_are_refused_or_right(tmp_path: Path):
    """Bits flipped, bytes taken and put in, with one seed: never another value, never a traceback."""
    rng = Random(20)
    frame = rows(SCORES).loc[[0] * 50].assign(value=[rng.random() for _ in range(50)])
    schemas.write("scores", frame, tmp_path / "whole.parquet")
    expected = schemas.read("scores", tmp_path / "whole.parquet")
    whole = (tmp_path / "whole.parquet").read_bytes()
    victim = tmp_path / "victim.parquet"
    refused = 0
    for number in range(150):
        victim.write_bytes(damaged(whole, rng, number % 3))
        found, told = read_or_refused(lambda: schemas.read("scores", victim))
        if found is None:
            assert str(victim) in told
            refused += 1
        else:
            pd.testing.assert_frame_equal(found, expected)
    assert refused >= 100


def test_a_flipped_bit_in_any_byte_of_a_footer_is_noticed(older: Path, tmp_path: Path):
    """There stand the marks, how many rows there are, and where the pages of each column lie."""
    rng, whole = Random(20), older.read_bytes()
    victim = tmp_path / "victim.parquet"
    victim.write_bytes(whole)
    # In place: to empty a file and write it again waits for the disk each time.
    with victim.open("r+b", buffering=0) as file:
        for at in range(len(whole) - 8 - int.from_bytes(whole[-8:-4], "little"), len(whole)):
            os.pwrite(file.fileno(), damaged(whole, rng, 0, at)[at : at + 1], at)
            for read in (schemas.marks, lambda path: schemas.read("scores", path)):
                found, told = read_or_refused(lambda read=read: read(victim))
                assert found is None, at
                assert told.startswith(f"{victim}: cannot be read as a Parquet table")
            os.pwrite(file.fileno(), whole[at : at + 1], at)
    assert victim.read_bytes() == whole


def test_a_footer_without_a_checksum_is_read_as_it_is(older: Path, tmp_path: Path):
    """Parquet's other readers pass over the checksum, and files from before have none."""
    table = pq.read_table(older)
    assert table.to_pandas().equals(schemas.read("scores", older))
    pq.write_table(table, tmp_path / "before.parquet")
    assert parquet_footer.MARK not in (tmp_path / "before.parquet").read_bytes()
    assert schemas.read("scores", tmp_path / "before.parquet").equals(schemas.read("scores", older))
    assert schemas.marks(tmp_path / "before.parquet") == schemas.marks(older)
    marks = {**table.schema.metadata, b"roftmol.software": b"\xff"}
    pq.write_table(table.replace_schema_metadata(marks), tmp_path / "before.parquet")
    with pytest.raises(UserError, match=r"before\.parquet: cannot be read as a Parquet table \('utf-8' codec"):
        schemas.marks(tmp_path / "before.parquet")


def test_columns_of_another_type_are_told(older: Path):
    table = pq.read_table(older)
    number = table.schema.get_field_index("value")
    pq.write_table(table.set_column(number, "value", pa.array(["a", "b"])), older)
    for read in (
        lambda: schemas.read("scores", older),
        lambda: list(schemas.stream("scores", older)),
        lambda: schemas.Indexed("scores", older, ["method"]).read({"method": "bss"}, ["value"]),
    ):
        with pytest.raises(UserError, match=f"^{older}: cannot be read as a Parquet table"):
            read()


def test_a_file_that_does_not_say_where_its_values_are_is_told(older: Path):
    pq.write_table(pq.read_table(older), older, write_statistics=False)
    with pytest.raises(UserError, match=f"^{older}: it does not say which values of 'method' it holds where"):
        schemas.Indexed("scores", older, ["method"])
