"""Tables as people have them, read in one way by recommendations, reports and predictions, so that all see the same.

They are delimited text, Excel workbooks (`data/workbook.py`), and `.smi`, whose lines begin with a SMILES. Text is in
UTF-8, in UTF-16 with its mark, or, which is told, in Windows-1252, as Excel writes it; its Latin letters are Latin-1's.

A row never shifts: empty cells behind the last column are cut, anything else there is an error that names the line.
The header is the first row in which something stands, or the first that names the column of SMILES if it stands below
titles: rows that fill fewer cells. What is skipped is told.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from roftmol.core.errors import UserError
from roftmol.data import workbook
from roftmol.data.columns import HEADER_WITHIN, is_smiles_name, listed
from roftmol.data.label_texts import number

if TYPE_CHECKING:
    from _csv import Reader

SEPARATORS = "\t;,"
#: The separator is decided by so many characters and records.
SAMPLE, RECORDS = 1 << 16, 100
#: The longest cell, in characters. One that is longer is hardly one, but the rest of a file behind a quote; one that no
#: molecule can have is its row's fault alone, and that of no other row.
LONGEST_CELL = 10_000_000
csv.field_size_limit(LONGEST_CELL)  # Python's own, of 131,072, is the module's and not a reader's
GZIP, ZIP = b"\x1f\x8b", b"PK\x03\x04"
#: How files begin that are often given in a CSV's place.
OTHERS = {b"PAR1": "a Parquet file", b"\xd0\xcf\x11\xe0": "an Excel workbook of the old format (.xls)"}
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
#: What no text holds, but a file of another kind.
BINARY = frozenset(range(32)) - frozenset(b"\t\n\v\f\r\x1a\x1c\x1d\x1e\x1f")
CHUNK = 1 << 20
SAVE = "Save the table as CSV, UTF-8."
#: What is wrong with a gzip file that does not unpack, and what mends it.
CUT, AGAIN = "the gzip file is cut off or damaged", "Copy or download it again."


class Row(NamedTuple):
    """A record: its cells, as many as the header has, and the line of the file, counted from 1, that it begins in."""

    cells: list[str]
    line: int
    skipped: str = ""  #: of a header, sentences about titles above it, and about what is guessed of the file
    where: str = ""  #: of a header, what messages call the table, if that is more than the file
    word: str = "line"  #: of a header, what messages call a line: that, or a row as Excel shows it

    @property
    def blank(self) -> bool:
        """Whether nothing stands in it."""
        return not any(map(str.strip, self.cells))


@dataclass(frozen=True)
class Table:
    """A file's header and its records, blank ones left out."""

    path: Path | str  #: what messages call it
    header: list[str]
    records: list[list[str]]
    lines: list[int]  #: where each record begins in the file, counted from 1; none for records without lines
    blanks: int = 0  #: how many blank records were left out
    skipped: tuple[str, ...] = ()  #: sentences about what is taken for titles and units, and left out
    word: str = "line"  #: what messages call one of `lines`: a line of a text, a row of a sheet

    def column(self, name: str) -> list[str]:
        """Return the stripped cells of a column; a name that is not in the header once raises `UserError`."""
        there = self.header.count(name)
        if there > 1:
            raise UserError(f"{self.path}: {twice(name, there)}")
        if not there:
            folded = {head.casefold(): head for head in self.header}
            near = get_close_matches(name.casefold(), folded, n=1)
            hint = f" Did you mean {folded[near[0]]!r}?" if near else self._below(name)
            raise UserError(f"{self.path}: no column {name!r}.{hint} The columns are {listed(self.header)}.")
        position = self.header.index(name)
        return [record[position].strip() for record in self.records]

    def _below(self, name: str) -> str:
        """Return a hint where a name that is not in the header stands in a line below it."""
        for record, line in zip(self.records[:HEADER_WITHIN], self.lines, strict=False):
            if name in map(str.strip, record):
                return f" It stands in {self.word} {line}: if that is the header, remove the {self.word}s above it."
        return ""

    def position(self, *records: int) -> str:
        """Return where a message finds records: their lines, or their numbers from 0 in a file without lines."""
        word, numbers = (self.word, [self.lines[one] for one in records]) if self.lines else ("record", records)
        return f"{word if len(records) == 1 else f'{word}s'} {', '.join(map(str, numbers))}"


def twice(name: str, there: int) -> str:
    """Return the sentence about a column that stands in the header more than once."""
    return f"column {name!r} is there {'twice' if there == 2 else f'{there} times'}. Rename or remove all but one."


@dataclass(frozen=True)
class Reading:
    """What is said of a file that its content does not say."""

    smiles: str | None = None  #: the name of the column of SMILES, where it is no usual one
    sheet: str = ""  #: of a workbook
    smi: bool = False  #: whether lines begin with a SMILES, below a header or below none
    sheet_key: str = "the key `sheet`"  #: what messages call what names the sheet


def load(path: Path, reading: Reading = Reading()) -> Table:
    """Read a table into its header and records.

    A second row of the header, such as one of units, is left out. Raises `UserError` as :func:`rows` does, and if there
    is no record.
    """
    smiles = reading.smiles
    with open(path, "rb") as stream:
        header, *all_rows = rows(stream, str(path), reading)
    records = [row for row in all_rows if not row.blank]
    blanks = len(all_rows) - len(records)
    skipped = [header.skipped] if header.skipped else []
    while _belongs_to_header(header.cells, records, smiles):
        first = records.pop(0)
        told = f"{header.word.capitalize()} {first.line} is skipped: it has no SMILES and no number"
        skipped.append(f"{told}, but {_shown(first.cells)}, and is taken for a part of the header.")
    if not records:
        raise UserError(f"{path}: there is a header but no record.")
    cells = [row.cells for row in records]
    lines = [row.line for row in records]
    return Table(header.where or path, header.cells, cells, lines, blanks, (*skipped,), header.word)


def rows(stream: io.BufferedReader, where: str, reading: Reading = Reading()) -> Iterator[Row]:
    """Yield the header, its names stripped, and then every record, blank ones too; what stands above it is skipped.

    Raises `UserError` that begins with `where` for what is empty, no table, or has a record with other cells than the
    header. Only empty ones may be too many, and only those of columns at the end without a name too few.
    """
    if stream.peek(4)[:4] == ZIP:
        cells, sheet, told = workbook.rows(
            cast(io.BytesIO, stream),
            where,
            reading.sheet,
            lambda row: _names_smiles(row, reading.smiles),
            reading.sheet_key,
        )
        first = list(islice(cells, RECORDS))
        titles = _titles([row for row, _ in first if any(map(str.strip, row))], reading.smiles)
        yield from _below_titles(chain(first, cells), f"{where}, sheet {sheet!r}", told, titles, "row", ragged=True)
        return
    line = 0
    try:
        text, told = _text(stream, where)
        sample = text.read(SAMPLE) + text.readline()
        lines = chain(io.StringIO(sample, newline=""), text)
        if reading.smi:
            records, titles = _of_smi(lines, sample), 0
            told = " ".join(filter(None, [told, _without_header(sample)]))
        else:
            separator, titles = layout_of(sample, reading.smiles)
            reader = csv.reader(lines, delimiter=separator, strict=True)
            records = _with_lines(reader)
        for row in _below_titles(records, where, told, titles, ragged=reading.smi):
            line = row.line
            yield row
    except csv.Error as error:
        raise UserError(f"{where}: not a CSV, line {reader.line_num}: {error}. Close what a quote opens.") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{where}: {CUT}, after line {line} ({error}). {AGAIN}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where}: not a CSV text in UTF-8, after line {line} ({error}). {SAVE}") from error


def _below_titles(
    records: Iterable[tuple[list[str], int]], where: str, told: str, above: int, word: str = "line", *, ragged: bool
) -> Iterator[Row]:
    """Yield the header, behind `above` records in which something stands, and the records; each with its line.

    Records of a `ragged` table end with the last cell in which something stands.
    """
    header: list[str] = []
    titles: list[Row] = []
    least = 0
    for cells, line in records:
        if header:
            if ragged:
                cells = [*cells, *[""] * (len(header) - len(cells))]
            fits = len(cells) == len(header)
            yield Row(cells if fits else _fitted(cells, header, least, f"{where}: {word} {line}"), line)
        elif any(map(str.strip, cells)):
            if len(titles) < above:
                titles.append(Row(cells, line))
                continue
            header = [cell.strip() for cell in cells]
            least = max(number for number, name in enumerate(header, 1) if name)
            yield Row(header, line, " ".join(filter(None, [told, _above(titles, word, line)])), where, word)
    if not header:
        raise UserError(f"{where}: the file is empty.")


def _with_lines(reader: Reader) -> Iterator[tuple[list[str], int]]:
    """Yield the records of a delimited text with the line that each begins in: a quoted cell may have several."""
    line = 1
    for cells in reader:
        yield cells, line
        line = reader.line_num + 1


def _of_smi(lines: Iterable[str], sample: str) -> Iterator[tuple[list[str], int]]:
    """Yield the cells of a file of SMILES, with lines: before the first blank a SMILES, behind it what belongs to it.

    Where all lines have as many words, each is a cell. A header is made where there is none.
    """
    first = [line for line in sample.splitlines()[:RECORDS] if line.strip()]
    counts = {len(_words(line, -1)) for line in first}
    most = max(counts, default=1) - 1 if len(counts) == 1 else 1
    if _without_header(sample):
        yield _smi_header(1 + (0 if counts == {1} else most)), 0
    for position, line in enumerate(lines, 1):
        yield _words(line, most), position


def _words(line: str, most: int) -> list[str]:
    """Return the words of a line, parted at most so often: by tabs where it has some, else by blanks."""
    line = line.strip("\r\n").rstrip()
    return line.split("\t", most) if "\t" in line else line.split(None, most)


def _smi_header(cells: int) -> list[str]:
    return ["SMILES", *(f"column {number}" for number in range(2, cells + 1))]


def _without_header(sample: str) -> str:
    """Return the sentence about a file of SMILES that has no header; "" for one that has."""
    first = next((line for line in sample.splitlines() if line.strip()), "")
    if not first or is_smiles_name(_words(first, -1)[0]):
        return ""
    return "There is no header: the columns are called SMILES, column 2 and so on."


class Layout(NamedTuple):
    """What parts the cells of a text, and how many records with something in them stand above the header."""

    separator: str
    titles: int


def layout_of(text: str, smiles: str | None = None) -> Layout:
    """Return the layout of a text by its first records: most of them must have as many cells as the header.

    Of separators that part the records equally well it is the one that leaves a column of SMILES, or has more cells, or
    is no comma, which numbers and names have. Quotes are respected. A header of one column has none, so it is a comma.
    """
    agreements = {separator: _agreement(text, separator, smiles) for separator in SEPARATORS}
    best = max(agreements, key=agreements.__getitem__)
    return Layout(best if agreements[best].cells else ",", agreements[best].titles)


class _Agreement(NamedTuple):
    """How many of the first records fit the header, whether that names SMILES, and its cells where it has several."""

    fit: int = 0
    names_smiles: bool = False
    cells: int = 0
    titles: int = 0


def _agreement(text: str, separator: str, smiles: str | None) -> _Agreement:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        records = [cells for cells in islice(reader, RECORDS) if any(map(str.strip, cells))]
    except csv.Error:  # a cell is too long
        return _Agreement()
    titles = _titles(records, smiles)
    header, *others = records[titles:] or [[]]
    if len(header) < 2:
        return _Agreement(names_smiles=_names_smiles(header, smiles), titles=titles)
    fit = sum(not any(cells[len(header) :]) and len(cells) >= len(header) for cells in others)
    return _Agreement(fit, _names_smiles(header, smiles), len(header), titles)


def _titles(records: list[list[str]], smiles: str | None) -> int:
    """Return how many of the first records are titles: the next one names SMILES, and each fills fewer cells than it.

    A header of one cell can have titles of one, for nothing but SMILES stands below it. Where a record names SMILES and
    cannot be the header, there is none: whether it is, the user is asked.
    """
    for place, cells in enumerate(records[:HEADER_WITHIN]):
        if _names_smiles(cells, smiles):
            names = not any(number(cell) is not None for cell in cells)
            fewer = all(_filled(above) < max(_filled(cells), 2) for above in records[:place])
            return place if names and fewer else 0
    return 0


def _names_smiles(cells: list[str], smiles: str | None) -> bool:
    """Return whether a cell is the name of the column of SMILES: the given one, or a usual one."""
    return any(cell.strip() == smiles if smiles else is_smiles_name(cell) for cell in cells)


def _belongs_to_header(header: list[str], records: list[Row], smiles: str | None) -> bool:
    """Return whether the first record tells units or the like of the columns, and nothing of a molecule.

    It has no SMILES and no number, and what it says of a column is in no other cell of that.
    """
    place = next((place for place, name in enumerate(header) if _names_smiles([name], smiles)), None)
    if place is None or len(records) < 2 or any(map(str.isalpha, records[0].cells[place])):
        return False  # a SMILES has a letter
    first, *others = (row.cells for row in records)
    return not any(
        number(cell) is not None or any(other[column].strip() == cell.strip() for other in others)
        for column, cell in enumerate(first)
        if cell.strip()
    )


def _filled(cells: list[str]) -> int:
    return sum(bool(cell.strip()) for cell in cells)


def _shown(cells: list[str]) -> str:
    return listed(cell.strip() for cell in cells if cell.strip())


def _above(titles: list[Row], word: str, line: int) -> str:
    """Return the sentence about titles above a header in a line, or a row; "" where there are none."""
    if not titles:
        return ""
    where = f"1 {word} is" if len(titles) == 1 else f"{len(titles)} {word}s are"
    texts = ", ".join(_shown(title.cells) for title in titles)
    return f"The header is in {word} {line}; above it {where} skipped: {texts}."


def _fitted(cells: list[str], header: list[str], least: int, where: str) -> list[str]:
    """Return the cells of a record as many as the header's; raise `UserError` if that would lose or make up one."""
    surplus = any(cell.strip() for cell in cells[len(header) :])
    if not any(map(str.strip, cells)) or (len(cells) >= least and not surplus):
        return [*cells[: len(header)], *[""] * (len(header) - len(cells))]
    mend = "Quote cells that hold the separator, and give every column a name"
    if len(header) == 1:
        mend += "; if the header is a title, remove it"
    raise UserError(
        f"{where} has {len(cells)} {'cell' if len(cells) == 1 else 'cells'}, but the header has "
        f"{len(header)}. {mend if surplus else 'Complete the line, or remove it if it is a note'}."
    )


def _text(stream: io.BufferedReader, where: str) -> tuple[io.TextIOWrapper, str]:
    """Return the text of a stream, unpacked where it is packed, and a sentence about its encoding if that is guessed.

    Raises `UserError` for a file of another kind.
    """
    start = stream.peek(4)[:4]
    if start in OTHERS:
        raise UserError(f"{where}: not a CSV text, but {OTHERS[start]}. {SAVE}")
    if start.startswith(UTF16):
        return io.TextIOWrapper(stream, encoding="utf-16", newline=""), ""
    if start.startswith(GZIP):
        # A gzip file reads as any stream does, which its type does not say.
        stream = cast(io.BufferedReader, gzip.GzipFile(fileobj=stream))
    elif stream.seekable() and (told := _of_windows(stream)):
        return io.TextIOWrapper(stream, encoding="cp1252", newline=""), told
    return io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), ""


def _of_windows(stream: io.BufferedReader) -> str:
    """Return the sentence about a text that is not in UTF-8 and can be read as Windows-1252; "" for any other."""
    start = stream.tell()
    utf8, windows = (codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252"))
    told, line = "", 1
    try:
        while chunk := stream.read(CHUNK):
            if not BINARY.isdisjoint(chunk):
                return ""
            windows.decode(chunk)
            if not told:
                try:
                    utf8.decode(chunk)
                except UnicodeDecodeError as error:
                    # The rest of a sign that the chunk before began with counts too.
                    at = max(0, error.start - (len(error.object) - len(chunk)))
                    line += chunk.count(b"\n", 0, at)
                    shown = chunk[chunk.rfind(b"\n", 0, at) + 1 :].split(b"\n")[0][:60].decode("cp1252").strip()
                    told = f"The text is not in UTF-8 and is read as Windows-1252 (Latin-1), line {line}: {shown!r}."
                else:
                    line += chunk.count(b"\n")
    except UnicodeDecodeError:
        return ""
    finally:
        stream.seek(start)
    return told
