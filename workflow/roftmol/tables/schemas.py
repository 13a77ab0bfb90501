"""Write and read the tables of the workflow, whose columns stand beside this module, one file a stage.

A stage writes its tables with :func:`write` and reads others' with :func:`read`; both check the columns, so one that is
missing, misspelt or of another type is found where it arises. Rows are self-describing: a run's table carries the whole
identity of its run, so tables of many runs concatenate.

A file's metadata says of the whole table what made it: `roftmol.table`, `roftmol.version` (the table's own), and as in
`ORIGIN` `roftmol.code`, `.configuration` (of the settings of the stage), `.environment`, `.software` and `.host`;
`roftmol.source` is the SHA-256 of the source file, for molecules and conformers. :func:`marks` reads them. No mark
tells a time, so the same configuration and code give the same bytes on machines of one kind. What varies from run to
run stands in columns alone: the tables "fits" and "timings" are about time and origin, and `wall_seconds` of "summary"
and `cpu_seconds` of "ranking" sum theirs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from roftmol.core import parquet_footer
from roftmol.core.errors import UserError
from roftmol.core.files import atomic, sha256
from roftmol.core.run_origin import origin
from roftmol.tables import data, diagnostics, provenance, recommendation, results, runs, statistics
from roftmol.tables.base import CELL, CONDITION, CONTEXT, FAMILY, ORIGIN, RUN, Table

__all__ = [
    "CELL",
    "CONDITION",
    "CONTEXT",
    "FAMILY",
    "ORIGIN",
    "RUN",
    "SCHEMAS",
    "TABLES",
    "Indexed",
    "content_digest",
    "empty",
    "marked",
    "marks",
    "read",
    "schema",
    "stream",
    "table",
    "write",
]

#: The files of the tables, in the order of the data's flow.
MODULES = (data, provenance, runs, results, statistics, diagnostics, recommendation)
TABLES: dict[str, Table] = {table.name: table for module in MODULES for table in module.TABLES}
SCHEMAS: dict[str, pa.Schema] = {name: pa.schema(dict(table.columns)) for name, table in TABLES.items()}

ANEW = "Delete it and run the workflow again."


def schema(name: str) -> pa.Schema:
    """Return the schema of table `name`, marked with its name and version."""
    return SCHEMAS[name].with_metadata({"roftmol.table": name, "roftmol.version": str(TABLES[name].version)})


def marked(name: str, settings: Any = None, source: Path | None = None) -> pa.Schema:
    """Return the schema of table `name` with all marks of a file that is made here by `settings` from a `source`."""
    made = {f"roftmol.{key}": value for key, value in asdict(origin(settings)).items()}
    read = {"roftmol.source": sha256(source)} if source else {}
    plain = schema(name)
    return plain.with_metadata({**plain.metadata, **made, **read})


def table(name: str, frame: pd.DataFrame) -> pa.Table:
    """Return a frame as table `name`; extra or missing columns and wrong types raise `ValueError`."""
    expected = schema(name)
    if set(frame.columns) != set(expected.names):
        missing = sorted(set(expected.names) - set(frame.columns))
        extra = sorted(set(frame.columns) - set(expected.names))
        raise ValueError(f"table {name}: missing columns {missing}, unknown columns {extra}")
    return pa.Table.from_pandas(frame[expected.names], schema=expected, preserve_index=False)


def empty(name: str) -> pd.DataFrame:
    """Return table `name` without rows."""
    return schema(name).empty_table().to_pandas()


def write(name: str, frame: pd.DataFrame, path: Path | str, settings: Any = None, source: Path | None = None) -> None:
    """Write `frame` as table `name` to `path`, atomically.

    `settings` are the stage's, a dataclass or a JSON value; `source` is the file whose digest is recorded.
    """
    rows = table(name, frame)
    rows = rows.replace_schema_metadata({**rows.schema.metadata, **marked(name, settings, source).metadata})
    with atomic(path) as temporary:
        pq.write_table(rows, temporary, compression="zstd", write_page_checksum=True)
        parquet_footer.seal(temporary)


def read(
    name: str,
    path: Path | str,
    columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read table `name` from `path`, or only some of its columns; those that an older file lacks are empty.

    Raises `UserError` if the file is missing, unreadable, another table, of a version that cannot be read, or has other
    columns than its version.
    """
    names = TABLES[name].columns if columns is None else columns
    with _opened(name, path) as file:
        # Columns of another type than the table's are found here.
        return _completed(name, file.read(_present(file, names)), names).to_pandas()


def stream(name: str, path: Path | str) -> Iterator[pa.Table]:
    """Yield table `name` a row group at a time, for tables that are larger than the memory; raises as :func:`read`."""
    with _opened(name, path) as file:
        for group in range(file.num_row_groups):
            yield _completed(name, file.read_row_group(group), TABLES[name].columns)


class Indexed:
    """Table `name`, read by the values of its columns `keys`, for tables that are larger than the memory.

    The file stays open, and its statistics say in which row groups to look: a table of thousands of cells, each in a
    row group of its own, is not searched anew for each. Raises as :func:`read` does.
    """

    def __init__(self, name: str, path: Path | str, keys: Sequence[str]):
        self._name = name
        self._path = path
        with _reading(path):
            self._file = _file(path)
            _check(name, path, self._file.schema_arrow)
        metadata = self._file.metadata
        number_of = {metadata.schema.column(number).path: number for number in range(metadata.num_columns)}
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        # A cell whose fits all failed leaves a group without rows, which has no least and no largest value.
        self._filled = [number for number, group in enumerate(groups) if group.num_rows]
        groups = [groups[number] for number in self._filled]
        self._least: dict[str, np.ndarray] = {}
        self._most: dict[str, np.ndarray] = {}
        for key in keys:
            of_groups = [group.column(number_of[key]).statistics for group in groups]
            if any(of_group is None for of_group in of_groups):  # they cannot be compared with None
                raise UserError(f"{path}: it does not say which values of {key!r} it holds where. {ANEW}")
            self._least[key] = np.array([of_group.min for of_group in of_groups], object)
            self._most[key] = np.array([of_group.max for of_group in of_groups], object)

    def read(self, where: Mapping[str, str], columns: Sequence[str]) -> pa.Table:
        """Return these columns of the rows with these values of keys."""
        may_hold = np.ones(len(self._filled), bool)
        for key, value in where.items():
            may_hold &= (self._least[key] <= value) & (self._most[key] >= value)
        groups = [self._filled[position] for position in np.flatnonzero(may_hold)]
        with _reading(self._path):
            rows = self._file.read_row_groups(groups, _present(self._file, dict.fromkeys([*columns, *where])))
            for key, value in where.items():
                rows = rows.filter(pa.compute.equal(rows[key], value))
            return _completed(self._name, rows, columns)


def content_digest(path: Path | str) -> str:
    """Return a digest of a table's rows, whatever the marks of its file say of who asked for it.

    Raises `UserError` if the file is missing or unreadable.
    """
    with _reading(path), _file(path) as file:
        rows = file.read().replace_schema_metadata(None).combine_chunks()
    sink = hashlib.sha256()
    for batch in rows.to_batches():
        sink.update(batch.serialize())
    return sink.hexdigest()


def marks(path: Path | str) -> dict[str, str]:
    """Return what a file says of itself, by the names of the module's text.

    Raises `UserError` if it is no table of this workflow, or as :func:`read` does.
    """
    with _reading(path):
        _check_footer(path)
        written = pq.read_schema(path)
        name = _texts(written).get("roftmol.table", "")
        if name not in TABLES:
            raise UserError(f"{path}: it is no table of this workflow. {ANEW}")
        _check(name, path, written)
        return _texts(written)


@contextmanager
def _opened(name: str, path: Path | str) -> Iterator[pq.ParquetFile]:
    """Yield a file that is table `name`, open; it is closed afterwards."""
    with _reading(path), _file(path) as file:
        _check(name, path, file.schema_arrow)
        yield file


def _file(path: Path | str) -> pq.ParquetFile:
    """Open a Parquet file whose footer and pages are checked against their checksums; older files have none."""
    _check_footer(path)
    return pq.ParquetFile(path, page_checksum_verification=True)


def _check_footer(path: Path | str) -> None:
    if fault := parquet_footer.fault(path):
        raise pa.ArrowInvalid(fault)


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, UnicodeDecodeError, MemoryError) as error:
        raise UserError(f"{path}: cannot be read as a Parquet table ({error}). {ANEW}") from error


def _check(name: str, path: Path | str, schema: pa.Schema) -> None:
    """Raise `UserError` unless the file is table `name`, of a version that can be read and with its columns."""
    table = TABLES[name]
    marks = _texts(schema)
    written, version = marks.get("roftmol.table", "?"), marks.get("roftmol.version", "?")
    number = int(version) if version.isdecimal() and len(version) < 9 else 0
    if written != name or not table.oldest <= number <= table.version:
        newer = written == name and number > table.version
        mend = "A newer version of this program wrote it: update the program, or delete the file." if newer else ANEW
        raise UserError(
            f"{path}: expected table {name} of version {table.version}, found {written} of version {version}. {mend}"
        )
    expected = table.columns_of(number)
    if schema.names != expected:
        missing = [column for column in expected if column not in schema.names]
        unknown = [column for column in schema.names if column not in expected]
        raise UserError(
            f"{path}: its columns are not those of table {name} of version {version} "
            f"(missing {missing}, unknown {unknown}). {ANEW}"
        )


def _texts(schema: pa.Schema) -> dict[str, str]:
    """Return what a file says of itself."""
    return {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}


def _present(file: pq.ParquetFile, columns: Iterable[str]) -> list[str]:
    """Return those of the columns that the file has."""
    there = set(file.schema_arrow.names)
    return [column for column in columns if column in there]


def _completed(name: str, rows: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Return these columns of table `name`, empty where the `rows` are of an older file that lacks one."""
    kinds = {column: TABLES[name].columns[column] for column in columns}
    arrays = {}
    for column, kind in kinds.items():
        arrays[column] = rows[column] if column in rows.column_names else _nothing(kind, len(rows))
    return pa.table(arrays).cast(pa.schema(kinds))


def _nothing(kind: pa.DataType, length: int) -> pa.Array:
    """Return what stands for no value: "" in a text, NaN in a number with a fraction, null in all else."""
    if pa.types.is_string(kind):
        return pa.repeat(pa.scalar("", kind), length)
    if pa.types.is_floating(kind):
        return pa.repeat(pa.scalar(math.nan, kind), length)
    return pa.nulls(length, kind)
