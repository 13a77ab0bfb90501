"""Labels that are no plain values: limits, relations, units, and ends where many are equal."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from roftmol.core.errors import UserError
from roftmol.data import activity_cliffs, molecules, user_file
from roftmol.data.label_texts import limit
from roftmol.data.remarks import remarks
from roftmol.data.user_file import Columns, describe
from roftmol.experiment.config import experiment
from roftmol.registry.catalog import Dataset
from roftmol.tasks import TASKS

ALKANES = ["C" * length for length in range(1, 31)]


def own(**settings: object) -> Dataset:
    plain = {"name": "mine", "path": "mine.csv", "smiles": "smiles", "labels": ["y"], "task": "regression"}
    return Dataset.from_dict({**plain, **settings})


def read(folder: Path, text: str, dataset: Dataset, max_rejected: float = 0.1) -> tuple[pd.DataFrame, ...]:
    path = folder / "source"
    path.write_text(text)
    return molecules.read(path, dataset, max_rejected=max_rejected)


def column(cells: list[str], header: str = "smiles,y") -> str:
    return "\n".join([header, *(f"{smiles},{cell}" for smiles, cell in zip(ALKANES, cells, strict=False))]) + "\n"


LIMITED = column([">10000", "<= 0.5", *(str(number) for number in range(28))])


def values(kept: pd.DataFrame) -> list[float]:
    return np.concatenate(kept["labels"]).tolist()


@pytest.mark.parametrize("text", [">10000", "> 10000", "≥10000", ">=1e4", "<5", "<=0.5", "≤ 5"])
def test_a_sign_before_a_number_is_a_limit(text: str) -> None:
    assert limit(text)


@pytest.mark.parametrize("text", ["10000", "-5", "ND", "", ">", "5>", "~5"])
def test_anything_else_is_none(text: str) -> None:
    assert limit(text) is None


def test_few_limits_are_left_out_and_counted(tmp_path: Path) -> None:
    kept, rejects, tasks = read(tmp_path, LIMITED, own())
    assert values(kept) == list(range(28))
    assert rejects["reason"].tolist() == ["censored"] * 2
    assert rejects["detail"].tolist() == ["'y' is > 10000: left out", "'y' is <= 0.5: left out"]
    assert set(rejects["action"]) == {"dropped"}
    (told,) = (text for text in remarks(kept, rejects, tasks) if "limits the value" in text)
    assert told.startswith("2 records have a label that only limits the value, such as line 2 ('y' is > 10000")
    assert "2 are dropped, 0 kept" in told


def test_decimal_commas_are_read_where_the_column_has_them(tmp_path: Path) -> None:
    cells = [f'"{number},5"' for number in range(28)]
    kept, _, _ = read(tmp_path, column([*cells, "7", '"> 9,25"']), own())
    assert values(kept) == [number + 0.5 for number in range(28)] + [7]
    path = tmp_path / "mine.csv"
    path.write_text(column(cells))
    assert describe(path) == Columns("smiles", "y", "regression")
    assert experiment({"data": str(path)}).audit()[0] == (
        "Column 'y' has decimal commas: '0,5' in line 2 is read as 0.5."
    )
    kept, _, _ = read(tmp_path, column(['"1,500"', '"0,250"'] * 10), own())
    assert values(kept) == [1.5, 0.25] * 10
    for doubtful in ([*cells[:27], "1.5"], [*cells[:13], *map(str, range(17))], ['"1,500"', '"12,250"'] * 10):
        path.write_text(column(doubtful))
        with pytest.raises(UserError, match=r"is not a number\. Write decimal points, and nothing between thousands"):
            describe(path)
        with pytest.raises(UserError, match="is not a number"):
            read(tmp_path, column(doubtful), own())


def test_many_limits_are_asked_about(tmp_path: Path) -> None:
    text = column([*(f">{number}" for number in range(10)), *(str(number) for number in range(20))])
    with pytest.raises(UserError, match=r"10 of 30 records would be dropped \(10 censored\).*`censored: drop`, `lim"):
        read(tmp_path, text, own())
    kept, rejects, _ = read(tmp_path, text, own(censored="drop"))  # whose wish it is need not be asked
    assert values(kept) == list(range(20))
    assert len(rejects) == 10


def test_a_limit_can_be_taken_for_the_value(tmp_path: Path) -> None:
    kept, rejects, tasks = read(tmp_path, LIMITED, own(censored="limit"))
    assert values(kept) == [10000, 0.5, *range(28)]
    assert rejects["detail"].tolist()[0] == "'y' is > 10000: the limit taken for the value"
    assert tasks[["lower_limits", "upper_limits"]].to_numpy().tolist() == [[0, 0]]  # what is taken for one is a value
    assert set(rejects["action"]) == {"kept"}


def test_a_record_with_another_label_stays(tmp_path: Path) -> None:
    text = "smiles,y,z\nC,>5,1\nCC,2,2\n"
    kept, rejects, _ = read(tmp_path, text, own(labels=["y", "z"]))
    assert np.isnan(kept["labels"][0][0])
    assert kept["labels"][0][1] == 1
    assert rejects[["row", "reason", "action"]].to_numpy().tolist() == [[0, "censored", "kept"]]


def test_a_class_has_no_limit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the label '>1' is not 0 or 1"):
        read(tmp_path, "smiles,y\nC,>1\nCC,0\n", own(task="classification"))
    with pytest.raises(UserError, match="censored is for labels that are measured values, not a classification"):
        own(task="classification", censored="drop")


RELATIONS = column([f"{'>' if number % 3 == 0 else '='},{number}" for number in range(30)], "smiles,relation,y")


def test_a_column_of_relations_is_asked_about(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, RELATIONS, own())
    told = "column 'relation' says of 10 of 30 labels that the value lies beyond the number, first in line 2: 'y' > 0."
    assert told in str(caught.value)
    assert "`censored: drop`" in str(caught.value)
    quoted = RELATIONS.replace("=", "'='").replace(",>,", ",'>',")  # as databases write them
    with pytest.raises(UserError, match="10 of 30 labels"):
        read(tmp_path, quoted, own())


def test_a_column_of_relations_is_gone_by(tmp_path: Path) -> None:
    kept, rejects, _ = read(tmp_path, RELATIONS, own(censored="drop"))
    assert values(kept) == [number for number in range(30) if number % 3]
    assert len(rejects) == 10
    assert values(read(tmp_path, RELATIONS, own(censored="limit"))[0]) == list(range(30))
    equal = RELATIONS.replace(">", "=")
    assert values(read(tmp_path, equal, own())[0]) == list(range(30))  # all are values: there is nothing to ask


def test_numbers_beside_relations_or_units_are_labels_even_if_they_rise(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(RELATIONS)
    with pytest.raises(UserError, match=r"column 'relation' says of 10 of 30 labels that .* `censored: drop`"):
        experiment({"data": str(path)}).audit()
    path.write_text(UNITS)
    with pytest.raises(UserError, match="the labels have several units, by column 'units'"):
        experiment({"data": str(path)}).audit()


def test_which_of_several_columns_of_relations(tmp_path: Path) -> None:
    text = "smiles,a,b,y\nC,>,=,1\nCC,=,<,2\n"
    with pytest.raises(UserError, match="'a', 'b' are columns of relations; name that of the labels by `relations`"):
        read(tmp_path, text, own(censored="drop"), 1)
    kept, _, _ = read(tmp_path, text, own(censored="drop", relations="b"), 1)
    assert values(kept) == [1]
    with pytest.raises(UserError, match="column 'b', line 3: 'about' is no relation"):
        read(tmp_path, text.replace("<", "about"), own(censored="drop", relations="b"), 1)


UNITS = column([f"{number},{'nM' if number % 10 else 'µM'}" for number in range(30)], "smiles,y,units")


def test_several_units_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, UNITS, own())
    assert "several units, by column 'units': 27 'nM', 3 'µM'; line 3 is 1 nM." in str(caught.value)
    assert "`units: {µM: 1, nM: 1}` with the right numbers" in str(caught.value)
    read(tmp_path, UNITS.replace("µM", "nM"), own())  # one is nothing to ask about


def test_units_are_brought_to_one(tmp_path: Path) -> None:
    kept, _, _ = read(tmp_path, UNITS, own(units={"nM": 1, "uM": 1000}))
    assert values(kept) == [number * (1 if number % 10 else 1000) for number in range(30)]
    with pytest.raises(UserError, match="column 'units', line 2: the unit 'µM' is not in `units`"):
        read(tmp_path, UNITS, own(units={"nM": 1}))
    with pytest.raises(UserError, match="no column holds the units 'pM'"):
        read(tmp_path, UNITS, own(units={"pM": 1}))


def test_many_labels_at_an_end_are_told(tmp_path: Path) -> None:
    cells = [*["100"] * 3, *(str(number) for number in range(27))]
    kept, rejects, tasks = read(tmp_path, column(cells), own())
    (told,) = remarks(kept, rejects, tasks)
    assert told.startswith(
        "3 of 30 labels in 'y' (10%) are the largest, 100. If that is a limit of measurement, write >"
    )
    kept, rejects, tasks = read(tmp_path, column(["100", *cells[1:2], *cells[3:]]), own())
    assert remarks(kept, rejects, tasks) == []  # two may be chance


def test_labels_over_orders_of_magnitude_are_told(tmp_path: Path) -> None:
    for digits, told in [(4, True), (2.5, False)]:
        cells = [f"{10 ** (digits * number / 29):.4g}" for number in range(30)]
        remarked = remarks(*read(tmp_path, column(cells), own()))
        assert [text.startswith("Nine tenths of the labels in 'y' lie between") for text in remarked] == [True] * told
    below_zero = ["-1", *(f"{10 ** (4 * number / 29):.4g}" for number in range(29))]
    assert remarks(*read(tmp_path, column(below_zero), own())) == []


def test_potencies_are_logarithms() -> None:
    table = pd.DataFrame({"molecule": [0, 1], "row": [0, 4], "canonical": ["C", "CC"], "labels": [[7.0], [6670.2]]})
    dataset = own(potency=True)
    with pytest.raises(UserError, match=r"`potency: true` says .* 1 of 2 are beyond 16, first in record 4: 6670\.2"):
        activity_cliffs.find(Path("mine.csv"), table, dataset)
    activity_cliffs.find(Path("mine.csv"), table.assign(labels=[[7.0], [8.5]]), dataset)


def planned(path: Path, **settings: object) -> list[str]:
    entry = {"path": str(path), "smiles": "smiles", "labels": ["y"], "task": "regression", **settings}
    given = {"own_datasets": {"mine": entry}, "datasets": ["mine"], "splits": ["random"], "budgets": [20]}
    return experiment(given).audit()


def test_labels_of_own_datasets_are_read_when_the_run_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("Our compounds,\n" + column([f'"{number},5"' for number in range(30)]))
    assert planned(path) == [
        "mine: The header is in line 2; above it 1 line is skipped: 'Our compounds'.",
        "mine: Column 'y' has decimal commas: '0,5' in line 3 is read as 0.5.",
    ]
    path.write_text(column(["6670.2", *(str(number) for number in range(17))]))
    assert planned(path) == []
    with pytest.raises(UserError, match=r"`potency: true` says .* 1 of 18 are beyond 16, first in line 2: 6670\.2"):
        planned(path, potency=True)
    with pytest.raises(UserError, match=r"no cell of column 'y' is 'ND', which `values` names\. Correct it, or leave"):
        planned(path, values={"ND": "missing"})
    path.write_text(RELATIONS)
    with pytest.raises(UserError, match="column 'relation' says of 10 of 30 labels"):
        planned(path)


WATER = "3\ny={} series=a\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"


def structures(path: Path, *labels: object) -> Path:
    """Water, once for each label, as XYZ or SDF."""
    text = "".join(WATER.format(label) for label in labels)
    if path.suffix == ".sdf":
        block = Chem.MolToMolBlock(Chem.MolFromSmiles("O"))
        text = "".join(f"{block}>  <y>\n{label}\n\n>  <series>\na\n\n$$$$\n" for label in labels)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["mine.xyz", "mine.sdf"])
def test_structures_are_read_when_the_run_is_planned(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = structures(tmp_path / name, 1, 2, 3)
    keys = {"smiles": "", "labels": ["y"]}
    assert planned(path, **keys) == []
    for settings, told in (
        ({"labels": ["z"]}, "no column 'z'. The columns are"),
        ({"split_column": "part"}, "no column 'part'"),
        ({"values": {"ND": "missing"}}, "no cell of column 'y' is 'ND', which `values` names"),
    ):
        with pytest.raises(UserError) as caught:
            planned(path, **{**keys, **settings})
        assert f"{path}: {told}" in str(caught.value)
    with pytest.raises(UserError, match="first in record 2: 30"):
        planned(structures(path, 1, 2, 30), **keys, potency=True)
    said = planned(structures(path, 1, "−2.5", 3), **keys)
    assert said == ["mine: Column 'y' has printed minus signs: '−2.5' in record 1 is read as -2.5."]
    structures(path, 1, 2, "wet", 4)
    with pytest.raises(UserError, match=r"column 'y', record 2: the label 'wet' is not a number\. Correct or empty it"):
        planned(path, **keys)
    # Of a large file the first records are read, and where these lack a column, all.
    monkeypatch.setattr(user_file, "STRUCTURES", path.stat().st_size * 3 // 5)
    (said,) = planned(path, **keys)
    assert said.startswith("mine: 2 records, which stand in the first ")
    with pytest.raises(UserError, match="no column 'z'"):
        planned(path, **{**keys, "labels": ["z"]})
    late = structures(tmp_path / f"late{path.suffix}", 1, 2, 3, 4)
    head, _, end = late.read_text().rpartition("series")
    late.write_text(f"{head}late=5 series{end}" if path.suffix == ".xyz" else f"{head}late>\n5\n\n>  <series{end}")
    assert planned(late, **{**keys, "labels": ["late"]}) == []
    monkeypatch.setattr(user_file, "STRUCTURES", path.stat().st_size * 9 // 10)
    with pytest.raises(UserError, match="record 2: the label 'wet'"):
        planned(path, **keys)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(UserError, match="record 2: the label 'wet'"):
        planned(path, **keys)


def test_a_recommendation_takes_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(RELATIONS)
    given = {"data": str(path), "target": "y"}
    with pytest.raises(UserError, match="`censored: drop` leaves them out"):
        experiment(given).audit()
    told = experiment({**given, "censored": "drop"}).audit()
    assert any("10 records have a label that only limits the value" in text for text in told)
    path.write_text(UNITS)
    assert experiment({**given, "units": {"nM": 1, "uM": 1000}}).datasets["mine"].units == {"nM": 1, "uM": 1000}
    with pytest.raises(UserError, match="units: it is about a file of your own"):
        experiment({"units": {"nM": 1}})


def test_a_recommendation_asks_about_every_limit(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(column(["1.5", ">10000", *(f"{number}.25" for number in range(28))]))
    with pytest.raises(UserError) as caught:
        experiment({"data": str(path)})
    told = (
        "column 'y', line 3: '>10000' is not a number. 1 of 30 labels only limit the value. Say what becomes of them: "
    )
    assert (
        told + "censored=drop leaves them out, censored=limit takes the number for the value, censored=one_sided"
        in str(caught.value)
    )
    kept = experiment({"data": str(path), "censored": "drop"})
    assert kept.recommendation is not None
    assert kept.recommendation.learnt == "target `y`, regression, 30 labels, column `smiles`"
    (said,) = kept.audit()
    assert said.startswith("1 record has a label that only limits the value, such as line 3")
    assert (
        experiment({"data": str(path), "censored": "limit"})
        .audit()[0]
        .endswith("0 are dropped, 1 kept; `censored` says which.")
    )
    path.write_text(column(["1.5", ">ND", *(f"{number}.25" for number in range(28))]))
    with pytest.raises(UserError, match=r"'>ND' is not a number\. Give numbers"):
        experiment({"data": str(path), "censored": "drop"})


def test_values_are_translated_before_limits_are_read(tmp_path: Path) -> None:
    text = column(["-1", "inactive", *(str(number) for number in range(10, 20))])
    kept, rejects, _ = read(tmp_path, text, own(values={"-1": "missing", "inactive": 0.0}))
    assert values(kept) == [0, *range(10, 20)]
    assert rejects["reason"].tolist() == ["missing_labels"]


def test_relations_and_units_are_never_taken_for_labels(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    for cells in ([">", "="], ["nM", "uM"]):
        path.write_text(column([f"{cells[number % 2]},{number}.25" for number in range(30)], "smiles,beside,y"))
        assert describe(path).target == "y"


def one_sided(**settings: object) -> Dataset:
    return own(censored="one_sided", **settings)


def told(kept: pd.DataFrame) -> list[tuple[int, float]]:
    """Return the side and the number of every label."""
    limits = TASKS["censored_regression"].limits
    assert limits is not None
    stored = np.concatenate(kept["labels"])
    return list(zip(limits.sides(stored).tolist(), limits.numbers(stored).round(3).tolist(), strict=True))


def test_a_limit_can_be_learnt_as_one(tmp_path: Path) -> None:
    kept, rejects, tasks = read(tmp_path, LIMITED, one_sided())
    assert told(kept) == [(1, 10000), (-1, 0.5), *((0, number) for number in range(28))]
    assert rejects["detail"].tolist()[0] == "'y' is > 10000: learnt as a limit"
    assert set(rejects["action"]) == {"kept"}
    assert tasks[["kind", "labelled"]].to_numpy().tolist() == [["censored_regression", 30]]
    _, _, counts = read(tmp_path, LIMITED.replace(",5\n", ",>5\n"), one_sided())
    assert counts[["lower_limits", "upper_limits"]].to_numpy().tolist() == [[2, 1]]
    assert tasks["mean"].item() == pytest.approx(13.5)  # of the values
    (said,) = (text for text in remarks(kept, rejects, tasks) if "limits the value" in text)
    assert "0 are dropped, 2 learnt as limits, and scores of errors are of values alone" in said


def test_the_task_says_it_too(tmp_path: Path) -> None:
    assert own(task="censored_regression") == one_sided()
    assert one_sided().metric == "rmse_of_values"
    with pytest.raises(
        UserError, match="censored is 'drop', and a censored_regression learns limits; say `censored: o"
    ):
        own(task="censored_regression", censored="drop")
    with pytest.raises(UserError, match="censored is for labels that are measured values, not a classification"):
        own(task="classification", censored="one_sided")


def test_a_relation_makes_a_limit_and_a_unit_moves_it(tmp_path: Path) -> None:
    text = RELATIONS.replace(">,0\n", "<,0\n")
    assert told(read(tmp_path, text, one_sided())[0]) == [
        (-1 if not number else 0 if number % 3 else 1, number) for number in range(30)
    ]
    text = "smiles,y,units\nC,>2,nM\nCC,>2,uM\nCCC,<2,logs\n"
    kept, _, _ = read(tmp_path, text, one_sided(units={"nM": 1, "uM": 1000, "logs": -1}))
    assert told(kept) == [(1, 2), (1, 2000), (1, -2)]  # minus what lies below 2 lies above -2


@pytest.mark.parametrize(
    ("labels", "averaged", "dropped"),
    [
        (["4", "6"], (0, 5), None),  # as in a regression
        (["4", ">2"], (0, 4), (0, 4)),  # a value says more than a limit that it agrees with
        ([">2", "4"], (0, 4), (0, 4)),
        (["4", "6", ">2"], (0, 5), None),
        (["4", ">10"], (0, 4), None),  # they contradict each other; a mean of both would be neither
        ([">2", ">5"], (1, 5), (1, 5)),  # what lies above 5 lies above 2
        (["<2", "<5"], (-1, 2), (-1, 2)),
        ([">2", "<5"], None, None),  # one label cannot say between
        (["<2", ">5"], None, None),
        (["", ">5"], (1, 5), (1, 5)),
    ],
)
def test_records_of_a_molecule_are_averaged_by_what_they_say(
    tmp_path: Path, labels: list[str], averaged: tuple[int, float] | None, dropped: tuple[int, float] | None
) -> None:
    text = "smiles,y,z\nC,1,1\nCCC,3,1\n" + "".join(f"CC,{label},1\n" for label in labels)
    for duplicates, expected in (("average", averaged), ("drop", dropped)):
        kept, rejects, _ = read(tmp_path, text, one_sided(duplicates=duplicates), 1)
        assert told(kept) == [(0, 1), (0, 3), *([expected] if expected else [])], duplicates
        repeated = rejects["reason"].isin(["duplicate", "contradicting_duplicate"])
        assert repeated.any() == (len([label for label in labels if label]) > 1)


def test_labels_too_large_are_named(tmp_path: Path) -> None:
    for settings in ({}, {"censored": "one_sided"}):
        with pytest.raises(UserError, match=r"column 'y', line 3: the label 1e\+39 is larger than 1e\+37"):
            read(tmp_path, "smiles,y\nC,1\nCC,1e39\n", own(**settings))


def test_a_recommendation_learns_limits(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    cells = [*(f">{number}.5" for number in range(8)), *(f"{number}.25" for number in range(22))]
    path.write_text(column(cells))
    planned = experiment({"data": str(path), "censored": "one_sided"})
    assert planned.recommendation is not None
    assert planned.recommendation.learnt == "target `y`, censored_regression, 30 labels, column `smiles`"
    assert (planned.datasets["mine"].task, planned.datasets["mine"].metric) == ("censored_regression", "rmse_of_values")
    (said,) = planned.audit()
    assert said.startswith("8 records have a label that only limits the value")
    assert "8 learnt as limits" in said
    same = experiment({"data": str(path), "task": "censored_regression"})
    assert same.datasets == planned.datasets
    path.write_text(column([f">{cell.lstrip('>')}" if row < 11 else cell for row, cell in enumerate(cells)]))
    with pytest.raises(UserError, match="19 molecules with a label that is a value, no limit, can be"):
        experiment({"data": str(path), "censored": "one_sided"}).audit()


def test_cliffs_and_rare_labels_are_of_values() -> None:
    table = pd.DataFrame({"molecule": [0, 1], "row": [0, 4], "canonical": ["CCCCCCCCCC", "CCCCCCCCCCC"]})
    limits = TASKS["censored_regression"].limits
    assert limits is not None
    for side, expected in ((0, True), (1, False)):
        stored = limits.encoded(np.array([[5.0], [9.0]]), np.array([[0], [side]])).tolist()
        found = activity_cliffs.find(Path("mine.csv"), table.assign(labels=stored), one_sided(potency=True))
        assert found["cliff"].tolist() == [expected] * 2
