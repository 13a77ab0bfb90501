"""Predict a table of molecules by a bundle, in chunks, so that a table of any length takes little memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from roftmol.core.errors import UserError
from roftmol.core.files import atomic, is_stream
from roftmol.data.columns import smiles_column
from roftmol.data.molecules import SEPARATORS
from roftmol.deploy.bundle import Bundle

STREAM = "-"


@dataclass(frozen=True)
class PredictSettings:
    """How a table is read: the column of SMILES (None: by its name), rows at a time, and the prefix of our columns."""

    smiles: str | None = None
    batch_size: int = 2000
    prefix: str = ""
    processes: int = 1


def predict(bundle: Bundle, source: str, out: str, settings: PredictSettings) -> int:
    """Predict for every row of `source`, write it with our columns after its own to `out`, and return how many rows.

    Both are paths to CSV, TSV or Parquet, by their endings; `-` is CSV from standard input or to standard output. The
    file appears only when it is complete. Raises `UserError` if the table is missing, empty or damaged, if it has no
    column of SMILES, or if it already has a column of one of our names.
    """
    chunks = _read(source, settings.batch_size)
    rows = 0
    with _writer(out) as write, tqdm(unit=" molecules", disable=None) as bar:
        for chunk in chunks:
            if not rows:
                column = _columns(chunk, bundle, source, settings)
            texts = [str(text).strip() for text in chunk[column].to_pylist()]
            predicted = bundle.predict([text if text != "None" else "" for text in texts], settings.processes)
            for name in bundle.columns:
                chunk = chunk.append_column(named(bundle, name, settings.prefix), _array(predicted[name]))
            write(chunk)
            rows += len(texts)
            bar.update(len(texts))
        if not rows:
            raise UserError(f"{_name(source)}: the table has no rows.")
    return rows


def named(bundle: Bundle, column: str, prefix: str) -> str:
    """Name a column of the bundle for the table: predictions of the target carry the target's name."""
    about_target = column in ("prediction", "low", "high", "probability")
    return prefix + (f"{bundle.card['target']}_{column}" if about_target else column)


def _columns(chunk: pa.Table, bundle: Bundle, source: str, settings: PredictSettings) -> str:
    """Return the column of SMILES; raise `UserError` if the table has a column of one of our names."""
    names, where = chunk.column_names, _name(source)
    column = settings.smiles or smiles_column(names, where)
    if column not in names:
        raise UserError(f"{where}: no column {column!r}. The columns are {', '.join(map(repr, names))}.")
    taken = [name for name in (named(bundle, name, settings.prefix) for name in bundle.columns) if name in names]
    if taken:
        raise UserError(
            f"{where}: there is a column {taken[0]!r} already. Rename it, or put something before ours by --prefix."
        )
    return column


def _array(values: pd.Series) -> pa.Array:
    kind = {"problem": pa.string(), "in_domain": pa.bool_()}.get(str(values.name), pa.float64())
    return pa.array(values, kind, from_pandas=True)


def _name(source: str) -> str:
    return "standard input" if source == STREAM else source


def _read(source: str, size: int) -> Iterator[pa.Table]:
    """Read the table in pieces of `size` rows; the cells of a text file stay texts."""
    if source != STREAM and not Path(source).is_file():
        raise UserError(f"{source}: there is no such file.")
    if source.endswith(".parquet"):
        try:
            yield from (pa.Table.from_batches([batch]) for batch in pq.ParquetFile(source).iter_batches(size))
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            raise UserError(f"{source}: cannot be read as Parquet ({error}). Save it again.") from error
        return
    opened: AbstractContextManager[Any] = nullcontext(sys.stdin.buffer) if source == STREAM else open(source, "rb")  # noqa: SIM115
    with opened as buffered:
        first = buffered.peek(1 << 16).split(b"\n", 1)[0].decode("utf-8", "replace")
        if not first.strip():
            raise UserError(f"{_name(source)}: the file is empty.")
        separator = "\t" if source.endswith(".tsv") else max(SEPARATORS, key=first.count)
        try:
            reader = pd.read_csv(
                buffered, sep=separator, dtype=str, keep_default_na=False, chunksize=size, encoding="utf-8-sig"
            )
            for frame in reader:
                yield pa.Table.from_pandas(frame.astype(object), preserve_index=False)
        except (pd.errors.ParserError, UnicodeDecodeError) as error:
            raise UserError(f"{_name(source)}: cannot be read as CSV in UTF-8 ({str(error).strip()}).") from error


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
            # A descriptor may be of a file that has lines already.
            with open(temporary, "a" if is_stream(out) else "w", encoding="utf-8", newline="") as stream:
                yield _csv_writer(stream, "\t" if out.endswith(".tsv") else ",")


def _csv_writer(stream: TextIO, separator: str) -> Any:
    pieces = 0

    def write(piece: pa.Table) -> None:
        nonlocal pieces
        frame = piece.to_pandas()
        for name, kind in zip(piece.column_names, piece.schema.types, strict=True):
            if pa.types.is_floating(kind):
                frame[name] = [f"{value:.6g}" if value == value else "" for value in frame[name]]
            elif pa.types.is_boolean(kind):
                frame[name] = ["" if value is None else str(bool(value)) for value in frame[name]]
        frame.to_csv(stream, sep=separator, header=not pieces, index=False, lineterminator="\n")
        pieces += 1

    return write
