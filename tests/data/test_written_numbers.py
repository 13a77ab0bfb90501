"""Numbers as people write them: read where the whole column leaves no doubt, asked about where it leaves any."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from roftmol.core.errors import UserError
from roftmol.data import molecules
from roftmol.data.user_file import Columns, describe
from roftmol.data.written_numbers import is_like_a_number, plain
from roftmol.experiment.config import experiment
from roftmol.registry.catalog import Dataset

NO_DOUBT = [
    (["−0.5", "–2", "\u20113", "1"], ["-0.5", "-2", "-3", "1"], "printed minus signs", 0),
    (["1e−5", "2e-3"], ["1e-5", "2e-3"], "printed minus signs", 0),
    (["< –5", "3"], ["< -5", "3"], "printed minus signs", 0),
    (["950.2", "1,234.5", "-12,345.67"], ["950.2", "1234.5", "-12345.67"], "commas between thousands", 1),
    (["1,234,567", "12", ""], ["1234567", "12", ""], "commas between thousands", 0),
    ([">1,234.5", "ND", "3"], [">1234.5", "ND", "3"], "commas between thousands", 0),
    (["5,3", "1.234,5", "17"], ["5.3", "1234.5", "17"], "points between thousands", 1),
    (["1'234", "2\u2019000", "5.5"], ["1'234", "2\u2019000", "5.5"], "", 0),  # two ways in one column
    (["1'234", "2'000", "5.5"], ["1234", "2000", "5.5"], "apostrophes between thousands", 0),
    (["12 345,6", "1234,5"], ["12345.6", "1234.5"], "blanks between thousands", 0),
    (["12\u202f345", "1"], ["12345", "1"], "blanks between thousands", 0),
    (["5.3 nM", "4nM", "nan"], ["5.3", "4", "nan"], "the unit 'nM' in every cell", 0),
    (["> 5.1 µM", "6 μM", "7 uM"], ["> 5.1", "6", "7"], "the unit 'µM' in every cell", 0),
    (["12 h", "3 h"], ["12", "3"], "the unit 'h' in every cell", 0),
    (["37.5%", "1 %"], ["37.5", "1"], "the unit '%' in every cell", 0),
    (["-7.1 kcal/mol", "3 kcal/mol"], ["-7.1", "3"], "the unit 'kcal/mol' in every cell", 0),
]  # fmt: skip
DOUBTFUL = [
    ["1,234", "2,345"],
    ["1,234", "12,345"],
    ["1,234.5", "1,234"],
    ["1,234.5", "1234.5"],
    ["1,234.5", "5,3"],
    ["0,123.4", "5"],
    ["12,34.5", "5"],
    ["1.512", "2.345", "1.234.567"],  # a slip in one cell says nothing of the others
    ["12 345", "1"],
    ["5.3 nM", "4 uM"],
    ["5 nM", "4 nm"],
    ["5.3 nM", "4"],
    ["12A", "13A"],
    ["12h", "13h"],
    ["12 abcd", "13 abcd"],
    ["-", "–", "5 – 7"],
]


@pytest.mark.parametrize(("texts", "read", "way", "first"), NO_DOUBT)
def test_numbers_are_read_where_the_column_leaves_no_doubt(
    texts: list[str], read: list[str], way: str, first: int
) -> None:
    assert plain(texts).texts == read
    assert plain(texts).ways == ([(way, first)] if way else [])


@pytest.mark.parametrize("texts", DOUBTFUL)
def test_what_could_be_another_number_stays_as_it_is(texts: list[str]) -> None:
    assert plain(texts) == (texts, [], "")


def test_several_ways_are_read_one_after_another() -> None:
    written = plain(["−5.3 nM", "", ">10,000.5 nM"])
    assert written.texts == ["-5.3", "", ">10000.5"]
    ways = [("printed minus signs", 0), ("the unit 'nM' in every cell", 0), ("commas between thousands", 2)]
    assert written == (written.texts, ways, "nM")
    assert plain(["1,5 nM", "0,250 nM"]).texts == ["1.5", "0.250"]


def test_a_long_cell_takes_no_time() -> None:
    began = time.perf_counter()
    for text in ("5" + " " * 20_000 + "!", "5 " * 20_000 + "!", "1" + ",234" * 20_000 + "!", "5" + "." * 20_000 + "!"):
        assert not is_like_a_number(text)
        assert plain([text]).texts == [text]
    assert time.perf_counter() - began < 2


def table(path: Path, cells: list[str]) -> Path:
    rows = [f'{"C" * (row + 1)},{row},"{cell}"' for row, cell in enumerate(cells)]
    path.write_text("\n".join(["smiles,CID,y", *rows]) + "\n")
    return path


def read(path: Path) -> list[float]:
    entry = {"name": "mine", "path": str(path), "smiles": "smiles", "labels": ["y"], "task": "regression"}
    kept, _, _ = molecules.read(path, Dataset.from_dict(entry), max_rejected=0.1)
    return [labels[0] for labels in kept["labels"]]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("−{}.5", "printed minus signs: '−1.5' in line 2 is read as -1.5."),
        ("{},234.5", "commas between thousands: '1,234.5' in line 2 is read as 1234.5."),
        ("{}.5 nM", "the unit 'nM' in every cell: '1.5 nM' in line 2 is read as 1.5."),
        ("{}.5 kcal/mol", "the unit 'kcal/mol' in every cell: '1.5 kcal/mol' in line 2 is read as 1.5."),
        ("{} nM", "the unit 'nM' in every cell: '1 nM' in line 2 is read as 1."),  # what has a unit counts no records
    ],
)
def test_such_a_column_is_learnt_and_it_is_said(tmp_path: Path, cell: str, told: str) -> None:
    cells = [cell.format(number) for number in range(1, 31)]
    path = table(tmp_path / "mine.csv", cells)
    assert describe(path) == Columns("smiles", "y", "regression")
    assert f"Column 'y' has {told}" in experiment({"data": str(path)}).audit()
    assert read(path) == [float(text) for text in plain(cells).texts]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["5 nM", "3 uM"], "line 2: '5 nM' is not a number. Write numbers alone, of one unit, or the units into a co"),
        (["5 kcal/mol", "3 kJ/mol"], "line 2: '5 kcal/mol' is not a number. Write numbers alone, of one unit"),
        (["5.1", "5.2 nM"], "line 3: '5.2 nM' is not a number. Write numbers alone, of one unit"),
        (["1,234", "2,345"], "line 2: '1,234' is not a number. Write decimal points, and nothing between thousands"),
        (["12 345", "3"], "line 2: '12 345' is not a number. Write decimal points, and nothing between thousands"),
        (["1,234 nM", "2 nM"], "line 2: '1,234 nM' is not a number. Write decimal points, and nothing between tho"),
    ],
)
def test_any_other_is_asked_about_and_never_passed_over(tmp_path: Path, cells: list[str], told: str) -> None:
    path = table(tmp_path / "mine.csv", cells * 15)
    with pytest.raises(UserError) as caught:
        describe(path)
    assert f"column 'y', {told}" in str(caught.value)
    with pytest.raises(UserError, match=r"is not a number\. Write (decimal points|numbers alone).*or translate labels"):
        read(path)
