"""The command `predict`: what it reads, what it says, and what it does not write over."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from openpyxl import Workbook

from roftmol.cli.main import main
from roftmol.deploy import bundle
from small_bundles import of_constant


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    bundle.write(of_constant(), folder / "a.roftmol")
    (folder / "new.csv").write_text("SMILES\nCCO\n")
    return folder


@pytest.mark.parametrize("out", ["a.roftmol", "new.csv", "link"])
def test_what_is_read_is_not_written_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str
):
    monkeypatch.chdir(folder)
    if not Path("link").is_symlink():
        Path("link").symlink_to("a.roftmol")
    before = Path(out).read_bytes()
    with pytest.raises(SystemExit) as caught:
        main(["predict", "a.roftmol", "new.csv", "-o", out])
    assert caught.value.code == 2
    assert f"error: {out}: it is the " in capsys.readouterr().err
    assert Path(out).read_bytes() == before
    assert Path("link").is_symlink()


def test_a_message_is_printed_as_text(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["show", "a\x1b[2J.roftmol"])
    said = capsys.readouterr().err
    assert said == "error: a\\x1b[2J.roftmol: there is no such file.\n"


@pytest.fixture
def tables(folder: Path) -> Path:
    """The same two molecules as people have them."""
    book = Workbook()
    for row in [("Ordered in May",), ("SMILES", "price"), ("CCO", 1.5), ("CCN", None)]:
        book.active.append(row)
    book.save(folder / "new.xlsx")
    (folder / "new.smi").write_text("CCO ethanol\nCCN\n")
    (folder / "tdc.csv").write_bytes("Drug;Größe\nCCO;1,5\nCCN;2\n".encode("cp1252"))
    (folder / "ours.csv").write_text("code,ours\nx1,CCO\nx2,CCN\n")
    (folder / "utf16.txt").write_bytes("SMILES\tname\nCCO\ta\nCCN\tb\n".encode("utf-16"))
    return folder


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("new.xlsx", "new.xlsx: The header is in row 2; above it 1 row is skipped: 'Ordered in May'.\n"),
        ("new.smi", "new.smi: There is no header: the columns are called SMILES, column 2 and so on.\n"),
        ("tdc.csv", "tdc.csv: The text is not in UTF-8 and is read as Windows-1252 (Latin-1), line 1: 'Drug;Größe'.\n"),
        (
            "ours.csv",
            "ours.csv: SMILES are read from 'ours' (no column is called SMILES, and it is the only one that holds "
            "some).\n",
        ),
        ("utf16.txt", ""),
    ],
)
def test_predict_reads_what_recommend_reads(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], table: str, told: str
):
    monkeypatch.chdir(tables)
    main(["predict", "a.roftmol", table, "-o", "out.csv", "-q"])
    assert capsys.readouterr().err == told
    lines = Path("out.csv").read_text().splitlines()
    assert len(lines) == 3
    assert all("CCO" in line or "CCN" in line for line in lines[1:])


def test_progress_is_shown_where_it_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(folder)
    (folder / "few.csv").write_text("SMILES\n" + "CCO\n" * 100)
    said = {}
    for words in ([], ["-v"], ["-q"]):
        main(["predict", "a.roftmol", "few.csv", "-o", "out.csv", "--batch-size", "10", *words])
        said[" ".join(words)] = capsys.readouterr().err
    # neither a terminal nor asked for
    assert said[""] == "100 rows\n"
    assert said["-q"] == ""
    assert re.search(r"100%\|.*\| 100/100 \[\d\d:\d\d<00:00", said["-v"])
    assert said["-v"].endswith("100 rows\n")
