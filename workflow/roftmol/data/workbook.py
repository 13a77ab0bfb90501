"""Excel workbooks (.xlsx) as rows of texts: the values of formulas, dates as ISO 8601 writes them.

openpyxl reads them. Its rows are those of the file, so that a message's row is the one that Excel shows.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, time
from difflib import get_close_matches
from itertools import islice
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError

from roftmol.core.errors import UserError
from roftmol.data.columns import HEADER_WITHIN, listed

#: What every workbook's archive holds, and a bound on what it may unpack to.
PART, LARGEST = "xl/workbook.xml", 2_000_000_000
#: What openpyxl and what it reads by raise for what is no workbook.
DAMAGED = (
    *(AttributeError, EOFError, IndexError, KeyError, NotImplementedError, OSError, OverflowError, ParseError),
    *(RuntimeError, TypeError, ValueError, zipfile.BadZipFile, zlib.error),
)
SAVE = "Save it again, or save the sheet as CSV, UTF-8."


def rows(
    stream: BinaryIO, where: str, sheet: str, names_smiles: Callable[[list[str]], bool], key: str
) -> tuple[Iterator[tuple[list[str], int]], str, str]:
    """Return a sheet's rows with their numbers, the sheet's name, and a sentence about other sheets ("" if none).

    Without `sheet` it is the only one that is not empty, or the only one of these with a row that `names_smiles`.
    Raises `UserError` if several could be it, with the `key` to set; for an archive that is no workbook; and, when it
    comes to that row, for a formula whose value the file does not hold.
    """
    from openpyxl import load_workbook

    content = io.BytesIO(stream.read())  # which is read from its end, as no pipe can be
    try:
        with zipfile.ZipFile(content) as archive:
            if PART not in archive.namelist():
                raise UserError(f"{where}: a ZIP archive, but no Excel workbook. Save the table as CSV, UTF-8.")
            if sum(part.file_size for part in archive.infolist()) > LARGEST:
                raise UserError(f"{where}: the workbook unpacks to more than {LARGEST:,} bytes. Save a sheet as CSV.")
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} is not what was written")
        # A second reading tells formulas from empty cells.
        values = load_workbook(content, read_only=True, data_only=True)
        formulas = load_workbook(content, read_only=True)
        names = [one.title for one in values.worksheets]
        filled = {
            name: texts
            for name in names
            if (texts := [_texts(row) for row in islice(values[name].iter_rows(), HEADER_WITHIN) if _filled(row)])
        }
    except UserError:
        raise
    except DAMAGED as error:
        raise UserError(f"{where}: cannot be read as an Excel workbook ({error}). {SAVE}") from error
    chosen, told = _chosen(where, sheet, names, filled, names_smiles, key)

    def read() -> Iterator[tuple[list[str], int]]:
        with closing(values), closing(formulas):
            try:
                pairs = zip(values[chosen].iter_rows(), formulas[chosen].iter_rows(), strict=True)
                for number, (cells, written) in enumerate(pairs, 1):
                    for cell, source in zip(cells, written, strict=True):
                        if cell.value is None and source.data_type == "f":
                            raise UserError(
                                f"{where}, sheet {chosen!r}: cell {source.coordinate} holds the formula "
                                f"{source.value!r}, and the file does not say its value. Open it in Excel and save "
                                "it, or paste values."
                            )
                    yield _texts(cells), number
            except DAMAGED as error:
                raise UserError(f"{where}: cannot be read as an Excel workbook ({error}). {SAVE}") from error

    return read(), chosen, told


def _chosen(
    where: str,
    sheet: str,
    names: list[str],
    filled: dict[str, list[list[str]]],
    names_smiles: Callable[[list[str]], bool],
    key: str,
) -> tuple[str, str]:
    """Return the name of the sheet to read, and what is said of the others."""
    if sheet:
        if sheet not in names:
            near = get_close_matches(sheet, names, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{where}: no sheet {sheet!r}.{hint} The sheets are {listed(names)}.")
        return sheet, ""
    if not filled:
        raise UserError(f"{where}: the workbook is empty.")
    named = [name for name, first in filled.items() if any(map(names_smiles, first))]
    if len(named or filled) > 1:
        which = f"{listed(named)} name a column of SMILES" if named else f"{listed(filled)} hold something"
        raise UserError(f"{where}: the sheets {which}. Say which is to be read by {key}, for example {names[0]!r}.")
    chosen = next(iter(named or filled))
    others = [name for name in filled if name != chosen]
    told = f"Sheet {chosen!r} is read; {listed(others)} names no column of SMILES." if others else ""
    return chosen, told


def _filled(cells: tuple[Any, ...]) -> bool:
    return any(cell.value not in (None, "") for cell in cells)


def _texts(cells: tuple[Any, ...]) -> list[str]:
    return [_text(cell.value) for cell in cells]


def _text(value: Any) -> str:
    """Return a value as a CSV has it: whole numbers without a point, and of a date without a time the date."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case float() if value.is_integer() and abs(value) < 1e15:
            return str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case date() | time():
            return value.isoformat()
    return str(value)
