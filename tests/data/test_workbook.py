"""Excel workbooks: values as a CSV has them, the sheet that is read, and what is asked about."""

from __future__ import annotations

import zipfile
from datetime import date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from openpyxl import Workbook

from damage import damaged, read_or_refused
from roftmol.core.errors import UserError
from roftmol.data import delimited, molecules
from roftmol.data.delimited import Reading, load
from roftmol.data.user_file import describe
from roftmol.experiment.config import experiment
from roftmol.registry.catalog import Dataset


def saved(path: Path, **sheets: list[list[Any]]) -> Path:
    """A workbook with these sheets, as a program without a calculator writes it."""
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def with_values(path: Path, formula: str, value: str) -> Path:
    """The same workbook with a formula's value beside it, as Excel saves it."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    (sheet,) = (name for name in parts if name.startswith("xl/worksheets/"))
    written, filled = f"<f>{formula}</f><v></v>".encode(), f"<f>{formula}</f><v>{value}</v>".encode()
    plain = parts[sheet].replace(b"<v />", b"<v></v>")
    assert written in plain
    parts[sheet] = plain.replace(written, filled)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_values_are_those_of_a_csv(tmp_path: Path):
    day, hour = datetime(2026, 11, 29), datetime(2026, 11, 29, 17, 30)
    rows = [["Solubilities"], [], ["SMILES", "logS", "day", "pure"], ["CCO", 1.5, day, True], ["CCN", 2.0, hour, None]]
    table = load(saved(tmp_path / "a.xlsx", Data=[*rows, ["CCC"]]))
    assert table.header == ["SMILES", "logS", "day", "pure"]
    assert table.records == [
        ["CCO", "1.5", date(2026, 11, 29).isoformat(), "TRUE"],
        ["CCN", "2", "2026-11-29T17:30:00", ""],
        ["CCC", "", "", ""],
    ]
    assert table.lines == [4, 5, 6]
    assert table.skipped == ("The header is in row 3; above it 1 row is skipped: 'Solubilities'.",)
    assert str(table.path).endswith("a.xlsx, sheet 'Data'")


def test_a_formula_is_its_value(tmp_path: Path):
    path = saved(tmp_path / "a.xlsx", Data=[["SMILES", "logS"], ["CCO", "=LOG10(100)"]])
    with pytest.raises(UserError, match=r"sheet 'Data': cell B2 holds the formula '=LOG10\(100\)', and .* save it"):
        load(path)
    assert load(with_values(path, "LOG10(100)", "2")).records == [["CCO", "2"]]


def test_the_sheet_that_names_smiles_is_read_and_told(tmp_path: Path):
    path = saved(tmp_path / "a.xlsx", About=[["Measured in May"]], Data=[["SMILES", "y"], ["CCO", 1]], Empty=[])
    table = load(path)
    assert table.records == [["CCO", "1"]]
    assert table.skipped == ("Sheet 'Data' is read; 'About' names no column of SMILES.",)


def test_of_several_sheets_it_is_asked_which(tmp_path: Path):
    one, other = [["SMILES", "y"], ["CCO", 1]], [["SMILES", "y"], ["CCN", 2]]
    path = saved(tmp_path / "a.xlsx", May=one, June=other)
    with pytest.raises(UserError, match=r"the sheets 'May', 'June' name a column of SMILES. Say which .* key `sheet`"):
        load(path)
    with pytest.raises(UserError, match=r"Say which is to be read by --sheet, for example 'May'\."):
        load(path, Reading(sheet_key="--sheet"))
    assert load(path, Reading(sheet="June")).records == [["CCN", "2"]]
    with pytest.raises(UserError, match=r"no sheet 'Jun'\. Did you mean 'June'\? The sheets are 'May', 'June'"):
        load(path, Reading(sheet="Jun"))
    # a name of the user's own tells them apart as well
    path = saved(tmp_path / "b.xlsx", May=[["compound", "y"], ["CCO", 1]], June=[["x", "y"], [1, 2]])
    assert load(path, Reading("compound")).records == [["CCO", "1"]]
    with pytest.raises(UserError, match="the sheets 'May', 'June' hold something"):
        load(path)


def test_messages_name_rows_as_excel_shows_them(tmp_path: Path):
    rows: list[list[Any]] = [["SMILES", "y"], *(["C" * number, number % 7 / 3] for number in range(1, 31))]
    path = saved(tmp_path / "a.xlsx", Data=[["Ours"], [], rows[0], ["CCO\nx", 1.5], [], *rows[1:], ["CC", 0.5]])
    audit = experiment({"data": str(path), "duplicates": "drop"}).audit()
    assert audit[0] == "The header is in row 3; above it 1 row is skipped: 'Ours'."
    assert "1 blank row is skipped" in audit[1]
    entry = {"name": "a", "path": str(path), "smiles": "SMILES", "labels": ["y"], "task": "regression"}
    _, rejects, _ = molecules.read(path, Dataset.from_dict(entry), max_rejected=0.5)
    assert rejects["position"].tolist() == ["row 4", "row 7", "row 36"]  # the cell of two lines is one row
    assert rejects["detail"].tolist()[1:] == ["same molecule as row 36", "same molecule as row 7"]
    for cells, told in (
        ([rows[0], ["CO", "ND"], *rows[1:]], "column 'y', row 2: 'ND' is not a number"),
        ([["SMILES", "smile", "y"], ["x", "CCO", 1]], "'x' in row 2 is none"),
    ):
        with pytest.raises(UserError, match=told):
            describe(saved(tmp_path / "b.xlsx", Data=cells))
    again = saved(tmp_path / "c.xlsx", Data=[*rows, ["C", 2]])
    with pytest.raises(UserError, match=r"different labels: 0\.3\d* in row 2 and 2 in row 32\."):
        experiment({"data": str(again)}).audit()


def test_what_is_no_workbook_is_refused(tmp_path: Path):
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", "SMILES\nCCO\n")
    with pytest.raises(UserError, match="a ZIP archive, but no Excel workbook"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<no")
    with pytest.raises(UserError, match="cannot be read as an Excel workbook"):
        load(path)
    with pytest.raises(UserError, match="the workbook is empty"):
        load(saved(path, Data=[]))


def test_a_workbook_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = saved(tmp_path / "a.xlsx", Data=[["SMILES"], ["CCO"]])
    monkeypatch.setattr(delimited.workbook, "LARGEST", 1000)
    with pytest.raises(UserError, match="unpacks to more than 1,000 bytes"):
        load(path)


def test_a_damaged_workbook_is_refused_or_read_as_it_was(tmp_path: Path):
    rows = [["SMILES", "logS"], *(["C" * (1 + number % 30), number / 7] for number in range(200))]
    path = saved(tmp_path / "a.xlsx", Data=rows)
    whole, table, rng = path.read_bytes(), load(path), Random(0)
    refused = 0
    for number in range(90):
        path.write_bytes(damaged(whole, rng, number % 3))
        read, fault = read_or_refused(lambda: load(path))
        assert fault or (read and read.records == table.records), number
        refused += bool(fault)
    assert refused > 80
