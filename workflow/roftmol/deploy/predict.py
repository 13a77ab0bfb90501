"""Predict a table of molecules by a bundle, in chunks, so that a table of any length takes little memory."""

from __future__ import annotations

import gzip
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from roftmol.core.errors import UserError
from roftmol.core.files import atomic, is_stream
from roftmol.data import delimited, smiles_cells
from roftmol.data.columns import is_smiles_name, is_unnamed, listed, smiles_column
from roftmol.deploy.fitted_models import Bundle, PanelBundle
from roftmol.registry.catalog import SUFFIXES

STREAM = "-"
#: Endings of formats that a user may hope for, and that are not written.
OTHER_FORMATS = (".xlsx", ".xls", ".ods", ".json", ".jsonl", ".sdf", ".parquet.gz", ".zip", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class PredictSettings:
    """How a table is read, the column of SMILES (None: by its name), and what our columns' names begin with."""

    smiles: str | None = None
    batch_size: int = 2000
    prefix: str = ""
    processes: int = 1
    sheet: str = ""
    shows: bool | None = None  #: whether progress is shown; None: where somebody sees it


def predict(bundle: Bundle | PanelBundle, source: str, out: str, settings: PredictSettings) -> int:
    """Predict for every row of `source`, write it with our columns after its own to `out`, and return how many rows.

    Both are paths to CSV, TSV or Parquet, by their endings, and what is read may be an Excel workbook (.xlsx) or .smi;
    `-` is CSV from standard input or to standard output. Text may be packed by gzip, and is written so where `out` ends
    in .gz. The file appears only when it is complete. Raises `UserError` if the table is missing, empty or damaged, if
    it has no column of SMILES or a column twice, if it already has a column of one of our names, or if `out` is of
    another format by its ending.
    """
    if ending := next((ending for ending in OTHER_FORMATS if out.lower().endswith(ending)), ""):
        raise UserError(f"{out}: no {ending} is written; let it end in .csv, .tsv, .csv.gz, .tsv.gz or .parquet.")
    chunks = _read(source, settings)
    ours = bundle.table_names(settings.prefix)
    rows = 0
    with _writer(out) as write, _bar(source, settings) as bar:
        for chunk in chunks:
            if not rows:
                column = _columns(chunk, ours.values(), source, settings)
            texts = ["" if text is None else str(text).strip() for text in chunk[column].to_pylist()]
            predicted = bundle.predict(texts, settings.processes)
            if not rows and settings.smiles is None:
                _check_guess(column, texts, predicted, source)
            for column_of, name in ours.items():
                chunk = chunk.append_column(name, _array(predicted[column_of]))
            write(chunk)
            rows += len(texts)
            bar.update(len(texts))
        if not rows:
            raise UserError(f"{_name(source)}: the table has no rows.")
        bar.total = rows
    return rows


def _bar(source: str, settings: PredictSettings) -> tqdm:
    """Return the bar on standard error: with the time that is left, where the number of rows is about to be had."""
    hidden = None if settings.shows is None else not settings.shows  # None: where it is no terminal
    seen = settings.shows or (settings.shows is None and sys.stderr.isatty())
    return tqdm(total=_about(source) if seen else None, unit=" molecules", disable=hidden)


def _about(source: str) -> int | None:
    """Return about how many rows a table has: a cell may hold a line break, and a title may stand above the header."""
    path = Path(source)
    if source == STREAM or not path.is_file() or path.suffix.lower() in (".gz", ".xlsx"):
        return None
    if path.suffix == ".parquet":
        with suppress(OSError, pa.ArrowException):
            return int(pq.read_metadata(path).num_rows)
        return None
    with open(path, "rb") as stream:
        return max(1, sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b"")) - 1)


def _columns(chunk: pa.Table, ours: Collection[str], source: str, settings: PredictSettings) -> str:
    """Return the column of SMILES; raise `UserError` if a name is there twice, or is one of ours."""
    names, where = chunk.column_names, _name(source)
    # All are written again, so each needs a name of its own, but for those without one.
    for name, there in Counter(names).items():
        if there > 1 and not is_unnamed(name):
            raise UserError(f"{where}: {delimited.twice(name, there)}")
    column = settings.smiles or _guessed(chunk, where)
    if column not in names:
        raise UserError(f"{where}: no column {column!r}. The columns are {listed(names)}.")
    taken = [name for name in ours if name in names]
    if taken:
        raise UserError(
            f"{where}: there is a column {taken[0]!r} already. Rename it, or put something before ours by --prefix."
        )
    return column


def _guessed(chunk: pa.Table, where: str) -> str:
    """Return the column of SMILES by its name, or the only one whose first cells are SMILES, which is said."""
    names = [name for name in chunk.column_names if not is_unnamed(name)]
    try:
        return smiles_column(names, where, key="--smiles")
    except UserError:
        texts = {
            name: chunk[name][: smiles_cells.TRIED].to_pylist()
            for name in names
            if pa.types.is_string(chunk[name].type)
        }
        columns = {name: [(text or "").strip() for text in cells] for name, cells in texts.items()}
        holding = smiles_cells.columns_of(columns)
        if len(holding) != 1 or any(map(is_smiles_name, names)):
            raise
    print(f"{where}: SMILES are read from {holding[0]!r}{smiles_cells.WHY}.", file=sys.stderr)
    return holding[0]


def _check_guess(column: str, texts: Sequence[str], predicted: pd.DataFrame, source: str) -> None:
    """Raise `UserError` if a column that is not called SMILES was taken for it, and its first cells hold none."""
    unread = predicted.iloc[:, -1].str.startswith("invalid_smiles").to_numpy()
    given = [text for text in texts if text]
    if "smi" not in column.casefold() and given and unread.sum() == len(given):
        raise UserError(
            f"{_name(source)}: column {column!r} was taken for the SMILES, but {given[0]!r} is none, nor is any "
            f"other of its first {len(given)} cells. Name the column of SMILES with --smiles."
        )


def _array(values: pd.Series) -> pa.Array:
    kind = {"float64": pa.float64(), "boolean": pa.bool_()}.get(str(values.dtype), pa.string())
    return pa.array(values, kind, from_pandas=True)


def _name(source: str) -> str:
    return "standard input" if source == STREAM else source


def _read(source: str, settings: PredictSettings) -> Iterator[pa.Table]:
    """Read the table in pieces of `size` rows; the cells of a text file stay texts, and a blank line is a row.

    What is skipped above the header, and what is guessed of the file, is said on standard error.
    """
    size = settings.batch_size
    if source != STREAM and not Path(source).is_file():
        raise UserError(f"{source}: there is no such file.")
    if source.endswith(".parquet"):
        try:
            for batch in pq.ParquetFile(source).iter_batches(size):
                # What pyarrow reads later must be UTF-8, and pandas' metadata JSON; both raise ValueError.
                batch.validate(full=True)
                _ = batch.schema.pandas_metadata
                yield pa.Table.from_batches([batch])
        except (OSError, ValueError, pa.ArrowException) as error:
            raise UserError(f"{source}: cannot be read as Parquet ({error}). Save it again.") from error
        return
    opened: AbstractContextManager[Any] = nullcontext(sys.stdin.buffer) if source == STREAM else open(source, "rb")  # noqa: SIM115
    with opened as stream:
        smi = SUFFIXES.get(Path(source).suffix.lower()) == "smi"
        reading = delimited.Reading(settings.smiles, settings.sheet, smi, "--sheet")
        rows = delimited.rows(stream, _name(source), reading)
        header = next(rows)
        if header.skipped:
            print(f"{_name(source)}: {header.skipped}", file=sys.stderr)
        names = header.cells
        while piece := list(islice(rows, size)):
            columns = zip(*(row.cells for row in piece), strict=True)
            yield pa.Table.from_arrays([pa.array(cells, pa.string()) for cells in columns], names)


@contextmanager
def _writer(out: str) -> Iterator[Any]:
    """Yield a function that writes one piece after the other."""
    if out == STREAM:
        yield _csv_writer(sys.stdout, ",")
        sys.stdout.flush()
        return
    with atomic(out) as temporary:
        if out.endswith(".parquet"):
            writers: list[pq.ParquetWriter] = []

            def write(piece: pa.Table) -> None:
                if not writers:
                    writers.append(pq.ParquetWriter(temporary, piece.schema, compression="zstd"))
                writers[0].write_table(piece)

            try:
                yield write
            finally:
                for writer in writers:
                    writer.close()
        else:
            opened = gzip.open if out.endswith(".gz") else open
            # A descriptor may be of a file that has lines already.
            mode = "at" if is_stream(out) else "wt"
            with opened(temporary, mode, encoding="utf-8", newline="") as stream:
                yield _csv_writer(cast(TextIO, stream), "\t" if out.removesuffix(".gz").endswith(".tsv") else ",")


def _csv_writer(stream: TextIO, separator: str) -> Any:
    pieces = 0

    def write(piece: pa.Table) -> None:
        nonlocal pieces
        # With pandas' own metadata, what was an index would be one again, and not be written.
        frame = piece.to_pandas(ignore_metadata=True)
        for name, kind in zip(piece.column_names, piece.schema.types, strict=True):
            if pa.types.is_floating(kind):
                frame[name] = [f"{value:.6g}" if value == value else "" for value in frame[name]]
            elif pa.types.is_boolean(kind):
                frame[name] = ["" if value is None else str(bool(value)) for value in frame[name]]
        frame.to_csv(stream, sep=separator, header=not pieces, index=False, lineterminator="\n")
        pieces += 1

    return write
