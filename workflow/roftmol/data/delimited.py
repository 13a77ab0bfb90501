"""Delimited text, read in one way by recommendations, reports and predictions, so that all see the same table.

A row never shifts: empty cells behind the last column are cut, anything else there is an error that names the line.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, cast

from roftmol.core.errors import UserError
from roftmol.data.columns import is_smiles_name, listed

SEPARATORS = "\t;,"
#: The separator is decided by so many characters and records.
SAMPLE, RECORDS = 1 << 16, 100
#: The longest cell, in characters. One that is longer is hardly one, but the rest of a file behind a quote; one that no
#: molecule can have is its row's fault alone, and that of no other row.
LONGEST_CELL = 10_000_000
csv.field_size_limit(LONGEST_CELL)  # Python's own, of 131,072, is the module's and not a reader's
GZIP = b"\x1f\x8b"
#: How files begin that are often given in a CSV's place.
OTHERS = {b"PK\x03\x04": "an Excel workbook or a ZIP archive", b"PAR1": "a Parquet file"}
SAVE = "Save the table as CSV, UTF-8."


class Row(NamedTuple):
    """A record: its cells, as many as the header has, and the line of the file, counted from 1, that it ends in."""

    cells: list[str]
    line: int

    @property
    def blank(self) -> bool:
        """Whether nothing stands in it."""
        return not any(map(str.strip, self.cells))


@dataclass(frozen=True)
class Table:
    """A file's header and its records, blank ones left out."""

    path: Path
    header: list[str]
    records: list[list[str]]
    lines: list[int]  #: where each record ends in the file, counted from 1; none for records without lines
    blanks: int = 0  #: how many blank records were left out

    def column(self, name: str) -> list[str]:
        """Return the stripped cells of a column; a name that is not in the header once raises `UserError`."""
        there = self.header.count(name)
        if there > 1:
            raise UserError(f"{self.path}: {twice(name, there)}")
        if not there:
            folded = {head.casefold(): head for head in self.header}
            near = get_close_matches(name.casefold(), folded, n=1)
            hint = f" Did you mean {folded[near[0]]!r}?" if near else ""
            raise UserError(f"{self.path}: no column {name!r}.{hint} The columns are {listed(self.header)}.")
        position = self.header.index(name)
        return [record[position].strip() for record in self.records]

    def record(self, row: int) -> str:
        """Return what a message calls a record, by its position."""
        return f"record {row} (line {self.lines[row]})" if self.lines else f"record {row}"

    def position(self, row: int) -> str:
        """Return where a message finds a record: its line, or its number in a file without lines."""
        return f"line {self.lines[row]}" if self.lines else f"record {row}"


def twice(name: str, there: int) -> str:
    """Return the sentence about a column that stands in the header more than once."""
    return f"column {name!r} is there {'twice' if there == 2 else f'{there} times'}. Rename or remove all but one."


def load(path: Path) -> Table:
    """Read a comma, tab or semicolon separated text, packed by gzip or not, into its header and records.

    Raises `UserError` as :func:`rows` does, and if there is no record.
    """
    with open(path, "rb") as stream:
        header, *all_rows = rows(stream, str(path))
    records = [row for row in all_rows if not row.blank]
    if not records:
        raise UserError(f"{path}: there is a header but no record.")
    cells, lines = [row.cells for row in records], [row.line for row in records]
    return Table(path, header.cells, cells, lines, len(all_rows) - len(records))


def rows(stream: io.BufferedReader, where: str) -> Iterator[Row]:
    """Yield the header, its names stripped, and then every record, blank ones too; blank lines before it are skipped.

    Raises `UserError` that begins with `where` for what is empty, no CSV in UTF-8, or has a record with other cells
    than the header. Only empty ones may be too many, and only those of columns at the end without a name too few.
    """
    text = _text(stream, where)
    header: list[str] = []
    least = line = 0
    try:
        sample = text.read(SAMPLE) + text.readline()
        lines = chain(io.StringIO(sample, newline=""), text)
        reader = csv.reader(lines, delimiter=separator_of(sample), strict=True)
        for cells in reader:
            line = reader.line_num
            if header:
                yield Row(cells if len(cells) == len(header) else _fitted(cells, header, least, where, line), line)
            elif any(map(str.strip, cells)):
                header = [cell.strip() for cell in cells]
                least = max(number for number, name in enumerate(header, 1) if name)
                yield Row(header, line)
    except csv.Error as error:
        raise UserError(f"{where}: not a CSV, line {reader.line_num}: {error}. Close what a quote opens.") from error
    except (EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{where}: not a CSV text in UTF-8, after line {line} ({error}). {SAVE}") from error
    if not header:
        raise UserError(f"{where}: the file is empty.")


def separator_of(text: str) -> str:
    """Return the separator of a text by its first records: most of them must have as many cells as the header.

    Of those that part the records equally well it is the one that leaves a column of SMILES, or has more cells, or is
    no comma, which numbers and names have. Quotes are respected. A header of one column has none; it is a comma then.
    """
    agreements = {separator: _agreement(text, separator) for separator in SEPARATORS}
    best = max(agreements, key=agreements.__getitem__)
    return best if agreements[best].cells else ","


class _Agreement(NamedTuple):
    """How many of the first records fit the header, whether that names SMILES, and its cells where it has several."""

    fit: int = 0
    names_smiles: bool = False
    cells: int = 0


def _agreement(text: str, separator: str) -> _Agreement:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        header, *records = [cells for cells in islice(reader, RECORDS) if any(map(str.strip, cells))]
    except (ValueError, csv.Error):  # there is no header, or a cell is too long
        return _Agreement()
    if len(header) < 2:
        return _Agreement()
    fit = sum(not any(cells[len(header) :]) and len(cells) >= len(header) for cells in records)
    return _Agreement(fit, any(map(is_smiles_name, header)), len(header))


def _fitted(cells: list[str], header: list[str], least: int, where: str, line: int) -> list[str]:
    """Return the cells of a record as many as the header's; raise `UserError` if that would lose or make up one."""
    surplus = any(cell.strip() for cell in cells[len(header) :])
    if not any(map(str.strip, cells)) or (len(cells) >= least and not surplus):
        return [*cells[: len(header)], *[""] * (len(header) - len(cells))]
    mend = "Quote cells that hold the separator, and give every column a name"
    if len(header) == 1:
        mend += "; if the header is a title, remove it"
    raise UserError(
        f"{where}: line {line} has {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, but the header has "
        f"{len(header)}. {mend if surplus else 'Complete the line'}."
    )


def _text(stream: io.BufferedReader, where: str) -> io.TextIOWrapper:
    """Return the text of a stream, unpacked where it is packed; raise `UserError` for a file of another kind."""
    start = stream.peek(4)[:4]
    if start in OTHERS:
        raise UserError(f"{where}: not a CSV text, but {OTHERS[start]}. {SAVE}")
    packed = start.startswith(GZIP)
    # A gzip file reads as any stream does, which its type does not say.
    binary = cast(io.BufferedReader, gzip.GzipFile(fileobj=stream)) if packed else stream
    return io.TextIOWrapper(binary, encoding="utf-8-sig", newline="")
