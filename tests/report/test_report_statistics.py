"""What the report says of the statistics: how many datasets it would take, what is beyond chance."""

from __future__ import annotations

import pandas as pd

import made_up_tables
from made_up_effects import selected
from roftmol.figures.cells import Results
from roftmol.report import statistics as report
from roftmol.statistics import stage
from roftmol.tables import schemas


def read(rows: pd.DataFrame) -> Results:
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    return Results(made_up_tables.summarise(rows), rows, *blank, **stage.made(rows, replicates=50))


def test_the_report_says_how_many_data_sets_it_would_take():
    results = read(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.0}, 3))
    assert report.power(results) == (
        "3 datasets are too few to tell methods apart over datasets: 2 comparisons need 7 or more."
    )
    assert report.beyond_chance(results) == ""
    table = report.comparisons_table(results)
    assert len(table.rows) == len(table.facets) == len(results.comparisons)
    place = list(table.columns).index("Verdict")
    over = [row for row in table.rows if row[place - 3].text == "all 3"]
    assert [row[place].text for row in over] == ["too few datasets", "equivalent"]
    assert [row[place + 1].text for row in over] == ["–"] * 2  # a p that could not have been small is not shown
    enough = read(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.0}, 8))
    assert report.power(enough) == ""


def test_the_report_says_how_many_differences_are_beyond_chance():
    def said(effects: dict[str, float], datasets: int) -> str:
        return report.beyond_chance(read(selected(effects, datasets)))

    assert said({"full_ft": 0.0, "bss": 0.0}, 7) == (
        "Of 1 comparison with full FT over datasets, none is beyond chance."
    )
    effects = {"full_ft": 0.0, "l2_sp": 0.2, "scratch": -0.3}
    assert said(effects, 9) == ("Of 2 comparisons with full FT over datasets, corrected together, 2 are beyond chance.")
    assert said(effects, 2) == ""
    both = {"full_ft": 0.0, "l2_sp": 0.2, "fingerprint": 0.0}
    references = "full FT and the fingerprint baseline over datasets"
    assert said(both, 9) == f"Of 3 comparisons with {references}, corrected together, 2 are beyond chance."
    assert said({"full_ft": 0.0}, 2) == ""


def test_one_data_set_is_one_row_of_the_report():
    rows = selected({"full_ft": 0.0, "l2_sp": 0.2}, 1)
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    results = Results(made_up_tables.summarise(rows), rows, *blank, **stage.made(rows, replicates=50))
    (row,) = report.comparisons_table(results).rows
    assert "set00" in [cell.text for cell in row]
