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
    assert report.power(results) == [
        "3 datasets are too few to say which method is better over datasets in general. "
        "With 2 comparisons, that takes 7 or more."
    ]
    assert report.beyond_chance(results) == ""
    table = report.comparisons_table(results)
    assert len(table.rows) == len(table.facets) == len(results.comparisons)
    place = list(table.columns).index("Verdict")
    over = [row for row in table.rows if row[place - 3].text == "all 3"]
    assert [row[place].text for row in over] == ["too few datasets", "equivalent"]
    assert [row[place + 1].text for row in over] == ["–"] * 2  # a p that could not have been small is not shown
    enough = read(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.0}, 8))
    assert report.power(enough) == []


def test_the_report_says_how_many_differences_are_beyond_chance():
    def said(effects: dict[str, float], datasets: int) -> str:
        return report.beyond_chance(read(selected(effects, datasets)))

    assert said({"full_ft": 0.0, "bss": 0.0}, 7) == (
        "Of 1 comparison with full FT over datasets, none shows a difference beyond chance."
    )
    effects = {"full_ft": 0.0, "l2_sp": 0.2, "scratch": -0.3}
    assert said(effects, 9) == ("Of 2 comparisons with full FT over datasets, 2 show a difference beyond chance.")
    assert said(effects, 2) == ""
    both = {"full_ft": 0.0, "l2_sp": 0.2, "fingerprint": 0.0}
    references = "full FT and the fingerprint baseline over datasets"
    assert said(both, 9) == f"Of 3 comparisons with {references}, 2 show a difference beyond chance."
    assert said({"full_ft": 0.0}, 2) == ""


def test_one_data_set_is_one_row_of_the_report():
    rows = selected({"full_ft": 0.0, "l2_sp": 0.2}, 1)
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    results = Results(made_up_tables.summarise(rows), rows, *blank, **stage.made(rows, replicates=50))
    (row,) = report.comparisons_table(results).rows
    assert "set00" in [cell.text for cell in row]


def test_leads_are_positive_where_the_method_is_better():
    """RMSE falls by a tenth and ROC-AUC rises by a tenth: both are leads."""
    ahead = {"full_ft": 0.0, "fingerprint": 0.0, "l2_sp": 0.1}
    for metric, effects in {"roc_auc": ahead, "rmse": ahead | {"l2_sp": -0.1}}.items():
        table = report.comparisons_table(read(selected(effects, 9, metric=metric)))
        titles = [column.removeprefix("#") for column in table.columns]
        rows = [dict(zip(titles, row, strict=True)) for row in table.rows]
        (over,) = (
            row
            for row in rows
            if (row["Method"].text, row["Against"].text, row["Datasets"].text) == ("L2-SP", "Full FT", "all 9")
        )
        assert over["Verdict"].text == "better"
        assert over["Better by"].text.startswith("+")
        assert over["Better by"].sort > 0
        low, high = (float(end.strip("%")) for end in over["95% interval"].text.split(" to "))
        assert 0 < low < high
        pairs = [(row["Method"].text, row["Against"].text) for row in rows]
        assert ("Full FT", "Fingerprint") in pairs
        assert ("Fingerprint", "Full FT") not in pairs


def test_an_interval_is_given_where_it_can_tell():
    few = report.comparisons_table(read(selected({"full_ft": 0.0, "l2_sp": 0.2, "bss": 0.2}, 3)))
    place = [*few.columns].index("#95% interval")
    over = [row for row in few.rows if row[place - 2].text == "all 3"]
    assert len(over) == 2
    assert [row[place].text for row in over] == ["", ""]


def test_two_references_are_one_pair_beside_all_models():
    frames = [selected({"full_ft": 0.0, "fingerprint": 0.1, "classical": 0.2}, 2, model=name) for name in ("a", "b")]
    rows = pd.concat(frames, ignore_index=True).drop_duplicates(["model", "dataset", "method", "seed"])
    table = report.comparisons_table(read(rows))
    titles = [column.removeprefix("#") for column in table.columns]
    pair = [
        (row[titles.index("Model")].text, facets.get("model"))
        for row, facets in zip(table.rows, table.facets, strict=True)
        if (row[titles.index("Method")].text, row[titles.index("Against")].text) == ("Classical", "Fingerprint")
        and row[titles.index("Datasets")].text == "set00"
    ]
    assert pair == [("any", None)]
