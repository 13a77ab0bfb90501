"""The reader of delimited text: cells never change their column, and what cannot be read is named with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from roftmol.core.errors import UserError
from roftmol.data import delimited
from roftmol.data.delimited import Reading, layout_of, load


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def cells(path: Path) -> list[list[str]]:
    with open(path, "rb") as stream:
        return [row.cells for row in delimited.rows(stream, str(path))]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        # A separator at the end, on the first row, on some or on all, moves nothing.
        ("smiles,id\nCCO,a,\nCCC,b,\n", [["CCO", "a"], ["CCC", "b"]]),
        ("smiles,id\nCCO,a\nCCC,b,,,\n", [["CCO", "a"], ["CCC", "b"]]),
        ("smiles,id,\nCCO,a\nCCC,b,\n", [["CCO", "a", ""], ["CCC", "b", ""]]),
        ("smiles,id,\nCCO,a\nCCC,b,c\n", [["CCO", "a", ""], ["CCC", "b", "c"]]),
        (",smiles\n0,CCO\n", [["0", "CCO"]]),
        ("smiles\nCCO\n\nCCN\n", [["CCO"], [""], ["CCN"]]),
        ("smiles,id\nCCO,a\n,\n\nCCN,b\n", [["CCO", "a"], ["", ""], ["", ""], ["CCN", "b"]]),
        ("\n\nsmiles\nCCO\n", [["CCO"]]),
        ('"smiles","IC50 (nM; 24 h; HepG2)"\n"CCO","1"\n', [["CCO", "1"]]),
        ('smiles;"a, b, c"\nCCO;1,5\n', [["CCO", "1,5"]]),
        ("smiles;pIC50, at 24 h, in cells\nCCO;5\nCCC;6\n", [["CCO", "5"], ["CCC", "6"]]),
        ("smiles\tid, as sold\nCCO\ta, b\n", [["CCO", "a, b"]]),
        ("smiles,name; synonym\nCCO,ethanol; alcohol\n", [["CCO", "ethanol; alcohol"]]),
        ("structures;logS, mol/L\nCCO;1,5\nCCC;2,5\n", [["CCO", "1,5"], ["CCC", "2,5"]]),
        ('smiles,note\nCCO,"two\nlines"\n', [["CCO", "two\nlines"]]),
        ("smiles,id\rCCO,a\r", [["CCO", "a"]]),
        ("\ufeffsmiles,id\r\nCCO,a\r\n", [["CCO", "a"]]),
    ],
)  # fmt: skip
def test_a_cell_stays_in_its_column(tmp_path, text, rows):
    assert cells(written(tmp_path / "a.csv", text))[1:] == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smiles,id\nCCO,a\nCCC,b,c\n", "line 3 has 3 cells, but the header has 2. Quote cells that hold"),
        ("smiles\nC[C@H](N)O |&1:1,r|\n", "line 2 has 2 cells, but the header has 1"),
        ("Our compounds\nLigand,y\nCCO,1\n", "line 2 has 2 cells, but the header has 1. Quote cells that hold the "
         "separator, and give every column a name; if the header is a title, remove it."),
        ("smiles,id,y\nCCO,a,1\nCC\n", "line 3 has 1 cell, but the header has 3. Complete the line, or remove it "
         "if it is a note."),
        ('smiles,note\nCCO,"two\nlines"\nCC\n', "line 4 has 1 cell"),
        ('smiles,y\n"CCO,1\n', "not a CSV, line 2"),
        ("smiles,y\n" + "CCO,1\n" * 9 + "C" * 10_000_001 + ",1\n", "not a CSV, line 11: field larger than field limit"),
        (b"smiles,y\nCCO,1\nCCC,\x00\xff\n", "not a CSV text in UTF-8"),
        (b"smiles,y\nCCO,1\nCCC,\x81\n", "not a CSV text in UTF-8"),  # which is no sign of Windows-1252
        (b"PK\x03\x04 a workbook", "cannot be read as an Excel workbook"),
        (b"\xd0\xcf\x11\xe0 a workbook", "an Excel workbook of the old format"),
        (gzip.compress(b"smiles,y\n" + b"CCO,1\n" * 50, mtime=0)[:-9], "the gzip file is cut off or damaged, "
         "after line 0 (Compressed file ended before the end-of-stream marker was reached). Copy or download it "
         "again."),
        (b"\x1f\x8b\x08\x00" + b"\x00" * 6 + b"\xff" * 30, "the gzip file is cut off or damaged"),
        ("", "the file is empty"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_names_its_line(tmp_path, text, message):
    path = written(tmp_path / "a.csv", text)
    with pytest.raises(UserError) as caught:
        cells(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_packed_table_is_the_same(tmp_path):
    text = "smiles,id\n" + "".join(f"CCO,{number}\n" for number in range(30_000))
    plain, packed = written(tmp_path / "a.csv", text), written(tmp_path / "b", gzip.compress(text.encode()))
    assert cells(packed) == cells(plain)
    assert len(cells(plain)) == 30_001  # more than what is read ahead


def test_a_table_skips_and_counts_blank_lines_and_knows_its_lines(tmp_path):
    table = load(written(tmp_path / "a.csv", "smiles,y\n\nCCO,1\n,\nCCC,2\n\n"))
    assert (table.records, table.lines, table.blanks) == ([["CCO", "1"], ["CCC", "2"]], [3, 5], 3)
    assert (table.position(1), table.position(0, 1)) == ("line 5", "lines 3, 5")


def test_lines_are_those_of_the_file_whatever_stands_in_a_cell(tmp_path):
    text = 'smiles,note\r\nCCO,"two\r\nlines, ""quoted"""\r\n\r\nCCC,a\r\n"CC\n",\r\nCN,b\r\n'
    table = load(written(tmp_path / "a.csv", text))
    lines = text.split("\n")
    assert [record[0].strip() for record in table.records] == ["CCO", "CCC", "CC", "CN"]
    for record, line in zip(table.records, table.lines, strict=True):
        assert record[0].strip() in lines[line - 1]
    assert table.position(3) == "line 8"
    title = load(written(tmp_path / "b.csv", '"Ours,\nall",\nsmiles,y\nCCO,1\n'))
    assert title.skipped[0].startswith("The header is in line 3; above it 1 line is skipped")
    assert title.position(0) == "line 4"


def test_a_column_that_is_there_twice_is_refused_where_it_is_needed(tmp_path):
    table = load(written(tmp_path / "a.csv", "smiles,y,y\nCCO,1,1\n"))
    assert table.column("smiles") == ["CCO"]
    with pytest.raises(UserError, match=r"a\.csv: column 'y' is there twice\. Rename or remove all but one"):
        table.column("y")


def test_the_separator_is_that_by_which_records_fit_the_header():
    assert layout_of("smiles\n" + "C,C\n" * 5) == (",", 0)
    assert layout_of("a;b;c,d\n1;2;3\n") == (";", 0)
    assert layout_of("a;b;c,d\n1;2;3,4\n") == (";", 0)


HEADER = "smiles;logS;note, if any\nCCO;1,5;\nCCC;2,5;\n"


@pytest.mark.parametrize(
    ("above", "titles"),
    [
        ("", 0),
        ("Our compounds\n", 1),
        ("Our compounds;;\n\n", 1),
        ("\n# exported, in a hurry, by hand\n# 3.5.2023\n;;\n", 2),
        ('"Measured; as sold"\nCompound;Assay;\n', 2),
        ("Our compounds;of 2023;at 25 C\n", 0),  # as many cells as the header has: the user is asked
        ("a\n" * 10, 0),  # so far down is no header
        ("Structure;of ours\n", 0),  # it names SMILES
    ],
)
def test_titles_are_above_a_header_that_names_smiles_and_fill_fewer_cells(above, titles):
    assert layout_of(above + HEADER).titles == titles
    if titles:
        assert layout_of(above + HEADER) == (";", titles)


@pytest.mark.parametrize("title", ["Our compounds", "Our compounds, 2023"])
def test_a_list_of_smiles_may_have_a_title(tmp_path, title):
    assert cells(written(tmp_path / "a.csv", f"{title}\nsmiles\nCCO\nCCC\n")) == [["smiles"], ["CCO"], ["CCC"]]


@pytest.mark.parametrize("first", ["Drug;Y;unit\n", ";Drug;unit\n"])
def test_a_record_is_no_header(first):
    assert layout_of(first + "CCO;1.5;mol\nCCC;2.5;mol\n").titles == 0
    assert layout_of(first + "CCO;active;mol\nCCC;inactive;mol\n", "Drug").titles == 0


@pytest.mark.parametrize("nothing", ["", "-", "()"])
def test_what_is_skipped_is_told(tmp_path, nothing):
    table = load(
        written(tmp_path / "a.csv", f"Ours;\n\nLigand;IC50\n{nothing};(nM)\nCCO;1\nCCC;2\n"), Reading("Ligand")
    )
    assert (table.header, table.records, table.lines) == (["Ligand", "IC50"], [["CCO", "1"], ["CCC", "2"]], [5, 6])
    shown = ", ".join(repr(cell) for cell in (nothing, "(nM)") if cell)
    assert table.skipped == (
        "The header is in line 3; above it 1 line is skipped: 'Ours'.",
        f"Line 4 is skipped: it has no SMILES and no number, but {shown}, and is taken for a part of the header.",
    )


@pytest.mark.parametrize("first", [";5", ";active", "CCN;nM"])
def test_a_record_without_a_smiles_is_a_record(tmp_path, first):
    table = load(written(tmp_path / "a.csv", f"smiles;y\n{first}\nCCO;active\nCCC;inactive\n"))
    assert (len(table.records), table.skipped) == (3, ())


TEXT = "SMILES;Löslichkeit in µM\nCCO;1,5\nCCN;2,5\n"


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", ()),
        ("utf-8-sig", ()),
        ("utf-16", ()),
        ("utf-16-be-mark", ()),
        ("cp1252", ("The text is not in UTF-8 and is read as Windows-1252 (Latin-1), line 1: "
                    "'SMILES;Löslichkeit in µM'.",)),
    ],
)  # fmt: skip
def test_a_text_is_read_in_the_encodings_that_excel_writes(tmp_path, encoding, told):
    content = b"\xfe\xff" + TEXT.encode("utf-16-be") if encoding == "utf-16-be-mark" else TEXT.encode(encoding)
    table = load(written(tmp_path / "a.csv", content))
    assert table.header == ["SMILES", "Löslichkeit in µM"]
    assert table.records == [["CCO", "1,5"], ["CCN", "2,5"]]
    assert table.skipped == told


def test_the_line_of_the_first_sign_that_is_no_utf8_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "CHUNK", 7)
    content = "smiles,note\nCCO,a\nCCN,b\nCCC,größer\n".encode("cp1252")
    (told,) = load(written(tmp_path / "a.csv", content)).skipped
    assert "line 4" in told


@pytest.mark.parametrize(
    ("text", "header", "records"),
    [
        ("CCO ethanol\nCCN\n", ["SMILES", "column 2"], [["CCO", "ethanol"], ["CCN", ""]]),
        ("CCO\tethyl alcohol\nCCN\tan amine\n", ["SMILES", "column 2"],
         [["CCO", "ethyl alcohol"], ["CCN", "an amine"]]),
        ("CCO ethanol -0.3\nCCN amine 1.2\n", ["SMILES", "column 2", "column 3"],
         [["CCO", "ethanol", "-0.3"], ["CCN", "amine", "1.2"]]),
        ("CCO ethyl alcohol\nCCN amine\n", ["SMILES", "column 2"], [["CCO", "ethyl alcohol"], ["CCN", "amine"]]),
        ("CCO\nCCN\n", ["SMILES"], [["CCO"], ["CCN"]]),
        ("smiles name\nCCO ethanol\n", ["smiles", "name"], [["CCO", "ethanol"]]),
    ],
)  # fmt: skip
def test_the_lines_of_a_smi_begin_with_a_smiles(tmp_path, text, header, records):
    table = load(written(tmp_path / "a.smi", text), Reading(smi=True))
    assert table.header == header
    assert table.records == records
    assert table.lines[-1] == text.count("\n")
    assert ("There is no header" in " ".join(table.skipped)) == (header[0] == "SMILES")
