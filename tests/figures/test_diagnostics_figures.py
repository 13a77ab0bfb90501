"""Figures and tables of the diagnostics: what is drawn when, with which numbers and words."""

import json
import math

import numpy as np
import pandas as pd
import pytest

import made_up_tables
from roftmol import figures, report
from roftmol.evaluation.diagnostics import calibration
from roftmol.evaluation.diagnostics.shift import shift
from roftmol.figures import cliffs, reliability, similarity
from roftmol.figures import shift as shift_figure
from roftmol.figures.cells import Condition, Diagnostics, Results, with_references
from roftmol.report import diagnostics
from roftmol.tables import schemas

CELL = list(schemas.CELL)
KINDS = ("shift", "cliffs", "reliability", "similarity")


def runs() -> pd.DataFrame:
    """Four methods on a classification under two splits and on a regression under one."""
    values = {"full_ft": [0.6, 0.64], "l2_sp": [0.7, 0.72], "bss": [0.65, 0.66], "fingerprint": [0.8, 0.81]}
    better = {name: [value + 0.1 for value in scores] for name, scores in values.items()}
    rmse = {name: [2 * (1 - value) for value in scores] for name, scores in values.items()}
    frames = [
        made_up_tables.selected_rows(values, dataset="bbbp", split="scaffold", budget="50"),
        made_up_tables.selected_rows(better, split="random", budget="50"),
        made_up_tables.selected_rows(rmse, dataset="esol", budget="50", seen=(0.1, "labels")),
    ]
    return pd.concat(frames, ignore_index=True)


def tables_of(selected: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Made-up tables of diagnostics for every cell of `selected`."""
    curves, measures, bins, cliffs = [], [], [], []
    for _, row in selected.drop_duplicates(CELL).iterrows():
        cell, regression = row[CELL].to_dict(), row["metric"] == "rmse"
        common = {"seed_mean": math.nan if regression else 0.2, "seed_std": math.nan if regression else 0.05}
        names = calibration.SPREAD if regression else calibration.PROBABILITIES
        values = {name: 0.1 + 0.01 * place for place, name in enumerate(names)}
        measures += [
            {**cell, "measure": name, "value": value, **common, "seeds": 2, "molecules": 60, "note": ""}
            for name, value in values.items()
        ]
        for place in range(4):
            predicted = 0.2 * (place + 1)
            point = {"predicted": predicted, "observed": 0.9 * predicted, "low": 0.7 * predicted, "high": predicted}
            kind = "regression" if regression else "classification"
            curves.append({**cell, "kind": kind, "bin": place, **point, "entries": 30, "molecules": 15})
            lower = 0.2 * place
            error = {"measure": "rmse" if regression else "brier", "value": 0.5 - 0.1 * place, "error": 0.03}
            count = {"entries": 30, "molecules": 20 if place else 2}
            bins.append({**cell, "lower": lower, "upper": lower + 0.2, "similarity": lower + 0.1, **error, **count})
        if regression:
            size = {"origin": "published", "seeds": 2, "cliff_molecules": 12.0, "other_molecules": 30.5}
            score = {"cliff_rmse": 1.25, "cliff_std": 0.1, "other_rmse": 1.0, "other_std": 0.1}
            cliffs.append({**cell, **size, **score, "gap": 0.25, "gap_std": 0.05})
    found = {"reliability": curves, "calibration": measures, "similarity": bins, "cliffs": cliffs}
    return {"shift": shift(selected), **{name: pd.DataFrame(rows) for name, rows in found.items()}}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beyond")
    selected = runs()
    made_up_tables.write_tables(folder / "tables", selected, **tables_of(selected))
    kinds = [kind for kind in figures.KINDS if kind.__name__.rpartition(".")[2] in KINDS]
    figures.draw(folder / "tables", folder / "figures", kinds)
    report.build(folder / "tables", folder / "figures", {}, folder / "report.html")
    return folder


def entries(folder) -> list[dict]:
    found = json.loads((folder / "figures" / "figures.json").read_text())
    return [entry for entry in found if entry["kind"] in KINDS]


def test_each_question_has_its_figure(drawn):
    found = entries(drawn)
    assert [entry["kind"] for entry in found] == ["shift", "cliffs", "reliability", "reliability", "similarity"]
    for entry in found:
        assert (drawn / "figures" / entry["file"]).stat().st_size > 10_000
    shifted, cliffs, probabilities, errors, similarity = found
    assert shifted["facets"]["split"] == ["scaffold"]
    assert cliffs["facets"]["dataset"] == errors["facets"]["dataset"] == ["esol"]
    assert probabilities["facets"]["dataset"] == ["bbbp"]
    assert similarity["facets"]["dataset"] == ["bbbp", "esol"]
    assert "Full FT loses most, 0.100" in shifted["alt"]
    assert "Full FT from 0.400 at 0.30 to 0.200 at 0.70" in similarity["alt"]  # a bin of two molecules is not drawn
    assert all("‡ pretraining saw" in entry["caption"] for entry in (cliffs, errors, similarity))
    assert "‡ pretraining saw" not in probabilities["caption"]


def test_nothing_is_drawn_of_nothing(tmp_path):
    tables = made_up_tables.write_tables(tmp_path / "tables", runs())
    figures.draw(tables, tmp_path / "figures", kinds=(shift_figure, cliffs, reliability, similarity))
    assert entries(tmp_path) == []


def test_the_best_of_the_others_stands_out():
    selected = runs()
    results = Results(
        made_up_tables.summarise(selected), selected, schemas.empty("alphas"), schemas.empty("coefficients")
    )
    assert results.emphasised(Condition("honest", "gin_masking", "bbbp", "scaffold", "50")) == [
        "full_ft",
        "fingerprint",
        "l2_sp",
    ]
    assert results.emphasised(Condition("honest", "gin_masking", "elsewhere", "scaffold", "50")) == []


def test_the_page_has_the_tables_shut(drawn):
    page = (drawn / "report.html").read_text()
    section = page[page.index('<section id="beyond">') : page.index("</section>", page.index('<section id="beyond">'))]
    for name, rows in {
        "Shift of distribution": 4,
        "Activity cliffs": 4,
        "Calibration of probabilities": 8,
        "Calibration of errors": 4,
        "Similarity to the training molecules": 12,
    }.items():
        assert f"<summary>{name}: {rows} rows</summary>" in section
    assert section.count("<details>") == 5 + section.count(" figure</summary>")
    assert section.count(" figure</summary>") == section.count("<figure ")


def test_tables_say_the_numbers(drawn):
    found = Diagnostics.read(drawn / "tables")
    shifts = diagnostics.shift_table(found.shift)
    row = dict(zip(shifts.columns, (cell.text for cell in shifts.rows[0]), strict=True))
    assert (row["Method"], row["Metric"], row["#Loss"]) == ("Full FT", "ROC-AUC ↑", "+0.100 ± 0.028")
    assert shifts.rows[0][list(shifts.columns).index("#Loss")].tone == "worse"
    assert shifts.facets[-1] == {
        "protocol": "honest",
        "model": "gin_masking",  # the fingerprint stands beside the model
        "dataset": "bbbp",
        "split": "scaffold",
        "budget": "50",
    }
    (first, *_) = diagnostics.errors_table(found.calibration).rows
    assert [cell.text for cell in first[-9:]] == [
        *("10% of 14%", "11% of 15%", "12% of 16%", "13% of 17%"),
        *("0.18", "0.190", "0.200", "60", ""),
    ]
    (first, *_) = diagnostics.similarity_table(found.similarity).rows
    errors = ["0.500 ± 0.030", "0.400 ± 0.030", "0.300 ± 0.030", "0.200 ± 0.030"]
    assert [cell.text for cell in first[-5:]] == ["Brier score", *errors]


def test_why_there_is_no_calibration_is_said_once_a_setting():
    selected = runs()
    table = with_references(tables_of(selected)["calibration"])
    esol = table["dataset"] == "esol"
    blank = table.assign(
        value=np.where(esol, np.nan, table["value"]), note=np.where(esol, "5 test molecules, 30 needed", "")
    )
    found = diagnostics.errors_table(blank)
    method = list(found.columns).index("Method")
    said = [(row[method].text, row[-1].text) for row in found.rows]
    assert said == [("every method", "5 test molecules, 30 needed")]
    # one method alone keeps its own row
    one = table.assign(value=np.where(esol & (table["method"] == "bss"), np.nan, table["value"]))
    assert [row[method].text for row in diagnostics.errors_table(one).rows] == [
        "Full FT",
        "L2-SP",
        "BSS",
        "Fingerprint",
    ]


def test_empty_tables_have_no_rows():
    assert all(captioned.table.rows == [] for captioned in diagnostics.tables(Diagnostics()))
