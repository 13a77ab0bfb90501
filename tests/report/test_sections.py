"""The evidence of the report: what stands in which section, what can be filtered, and the chart's places and words."""

import numpy as np
import pandas as pd
import pytest

import made_up_tables
from roftmol import figures
from roftmol.figures import budgets, ranks, scores, time
from roftmol.figures.cells import Condition, Results, facets_of
from roftmol.methods import WITHOUT_ENCODER
from roftmol.report import audit, provenance, results
from roftmol.report.chart import LEFT, RIGHT, WIDTH, panels, words
from roftmol.report.sections import FURTHER, SECTIONS, Captioned, fill
from roftmol.report.table import Table, labels, lean, tight, word

TABLE = Captioned("a table", Table("", ["Word"], [[word("here")]]))


def read(selected) -> Results:
    return Results(
        made_up_tables.summarise(selected),
        selected,
        made_up_tables.alphas_of(selected),
        made_up_tables.coefficients_of(selected),
    )


def test_every_kind_that_is_drawn_has_one_section():
    kinds = [kind for section in SECTIONS for kind in section.kinds]
    assert len(kinds) == len(set(kinds))
    assert {module.__name__.rpartition(".")[2] for module in figures.KINDS} <= set(kinds)
    keys = [section.key for section in (*SECTIONS, FURTHER)]
    assert len(keys) == len(set(keys))


def test_figures_are_grouped_in_the_order_of_the_sections_and_unknown_kinds_are_last():
    drawn = [{"kind": kind, "title": kind} for kind in ("unheard_of", "time", "scores", "coefficients", "wise_path")]
    filled = fill(drawn, {"hyperparameters": [TABLE], "budgets": [Captioned("empty", Table("", ["Word"], []))]})
    assert [part.section.key for part in filled] == ["scores", "changes", "hyperparameters", "cost", "further"]
    shown = [figure for part in filled for figure in part.figures]
    assert [figure["kind"] for figure in shown] == ["scores", "wise_path", "coefficients", "time", "unheard_of"]
    assert [figure["number"] for figure in shown] == [1, 2, 3, 4, 5]


def test_a_table_of_no_section_is_refused():
    with pytest.raises(KeyError, match="nowhere"):
        fill([], {"nowhere": [TABLE]})


def test_a_figure_says_which_settings_it_shows():
    rows = made_up_tables.experiment_rows(seeds=2)
    rows = rows[rows["method"].isin(["full_ft", "l2_sp"]) & (rows["dataset"] != "bace")]
    rows = rows[~((rows["dataset"] == "esol") & (rows["budget"] == "50"))]  # so that only bbbp has several budgets
    drawn = [kind.drawings(read(rows)) for kind in (scores, ranks, time, budgets)]
    entries = {drawing.kind: drawing.facets for drawings in drawn for drawing in drawings}
    all_of_them = {"protocol": ["honest"], "model": ["gin_masking"], "split": ["scaffold"], "budget": ["50", "all"]}
    assert entries["scores"] == entries["ranks"] == entries["time"] == {**all_of_them, "dataset": ["bbbp", "esol"]}
    assert entries["budgets"] == {**all_of_them, "dataset": ["bbbp"]}


def test_facets_of_conditions():
    conditions = [Condition("honest", "m", dataset, "random", budget) for dataset in "ba" for budget in ("50", "all")]
    assert facets_of(conditions)["dataset"] == ["b", "a"]
    assert facets_of(conditions)["budget"] == ["50", "all"]
    assert facets_of([])["model"] == []


def test_rows_carry_what_they_say():
    selected = made_up_tables.experiment_rows(seeds=2)
    found = read(selected)
    tables = [
        results.results_table(found),
        results.hyperparameters_table(found.runs),
        audit.notes_table(found.runs),
        audit.failures_table(made_up_tables.timings_of(selected)),
        audit.undefined_table(made_up_tables.scores_of(selected), selected),
        provenance.overlaps_table(made_up_tables.overlaps_of(selected)),
    ]
    for table in tables:
        assert table.rows
        assert len(table.facets) == len(table.rows)
        place = list(table.columns).index("Dataset")
        assert [facets["dataset"] for facets in table.facets] == [row[place].text for row in table.rows]
        assert all({"protocol", "split", "budget"} <= facets.keys() for facets in table.facets)


def test_a_default_that_goes_without_saying_is_said_beside_others():
    rows = made_up_tables.experiment_rows(seeds=2)
    one = (rows["method"] == rows["method"].iloc[0]) & (rows["dataset"] == rows["dataset"].iloc[0])
    rows = rows[one & (rows["budget"] == rows["budget"].iloc[0])].assign(method="classical", candidates=2)
    rows.loc[rows["seed"] == 0, "setting"] = "{}"
    rows.loc[rows["seed"] == 1, "setting"] = '{"descriptors":"both"}'
    table = results.hyperparameters_table(rows)
    texts = {cell.text for row in table.rows for cell in row}
    assert {text for text in texts if "descriptors" in text} == {"descriptors = both (1×); descriptors = rdkit (1×)"}


def test_references_without_an_encoder_stay_whichever_model_is_chosen():
    selected = made_up_tables.experiment_rows(seeds=2)
    timings = made_up_tables.timings_of(selected)
    timings.loc[timings["method"].isin(WITHOUT_ENCODER), "status"] = "failed"
    cost = results.timings_table(timings)
    failed = audit.failures_table(timings)
    for table, column in ((cost, "Method"), (failed, "Method")):
        place = list(table.columns).index(column)
        rows = zip(table.rows, table.facets, strict=True)
        models = {row[place].text in ("Fingerprint", "Constant"): facets.get("model") for row, facets in rows}
        assert models == {True: None, False: "gin_masking"}


def test_the_chart_shades_what_is_worse_than_the_constant_predictor():
    for metric, levels in {"roc_auc": (0.4, 0.5, 0.7), "rmse": (1.5, 1.2, 1.0)}.items():
        values = dict(zip(("full_ft", "constant", "bss"), ([level, level] for level in levels), strict=True))
        (panel,) = panels(read(made_up_tables.selected_rows(values, metric=metric)))
        rows = {row.title: row for row in panel.rows}
        assert panel.below
        low, high = panel.below
        constant = rows["Constant"].mean
        assert constant
        assert constant.x in (low, high)
        inside = {title: low < row.mean.x < high for title, row in rows.items() if row.mean}
        assert inside["Full FT"]
        assert not inside["BSS"]
        assert rows["Full FT"].words.endswith("worse than predicting the mean")
        assert "worse" not in rows["BSS"].words
    (without,) = panels(read(made_up_tables.selected_rows({"full_ft": [0.7, 0.8]})))
    assert without.below is None


def test_the_table_of_scores_has_r2_and_the_constant_predictor():
    values = {"full_ft": [1.5, 1.6], "bss": [1.0, 1.1], "constant": [1.3, 1.3]}
    table = results.results_table(read(made_up_tables.selected_rows(values, metric="rmse")))
    titles = [column.removeprefix("#") for column in table.columns]
    rows = {row[titles.index("Method")].text: dict(zip(titles, row, strict=True)) for row in table.rows}
    assert rows["BSS"]["R²"].text == "0.72"
    # RMSE: 0.25 more is worse, 0.25 less is better
    assert rows["Full FT"]["Better than Constant by"].text == "−0.250"
    assert rows["Full FT"]["Better than Constant by"].tone == "worse"
    assert rows["BSS"]["Better than Constant by"].text == "+0.250"
    assert rows["Constant"]["Better than Constant by"].text == ""
    assert rows["Constant"]["Better than Full FT by"].text == ""  # full FT's row says it of the pair
    assert rows["BSS"]["Better than Full FT by"].text == "+0.500"
    plain = results.results_table(read(made_up_tables.selected_rows({"full_ft": [0.7, 0.8]})))
    assert not {"#R²", "#Better than Constant by"} & {*plain.columns}


def test_the_table_of_heads_puts_the_frozen_encoder_and_refitted_methods_side_by_side():
    values = {"full_ft": [1.5, 1.6], "linear_probing": [1.3, 1.4], "hybrid": [0.9, 1.0], "bss": [0.1, 0.1]}
    values |= {"full_ft+hybrid": [0.8, 0.9], "full_ft+ridge": [np.nan, np.nan], "constant": [1.3, 1.3]}
    both = pd.concat(
        [made_up_tables.selected_rows(values, dataset="esol"), made_up_tables.selected_rows({"full_ft": [0.7, 0.8]})]
    )
    table = results.heads_table(read(both))
    titles = [column.removeprefix("#") for column in table.columns]
    assert titles == ["Dataset", "Encoder", "Metric", "Own head", "Ridge head", "Hybrid head"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["esol", "Frozen", "RMSE ↓", "1.350 ± 0.071", "", "0.950 ± 0.071"],
        ["esol", "Full FT", "RMSE ↓", "1.550 ± 0.071", "–", "0.850 ± 0.071"],
    ]
    assert [cell.text for row in table.rows for cell in row if cell.tone == "best"] == ["0.850 ± 0.071"]
    assert [facets["dataset"] for facets in table.facets] == ["esol", "esol"]
    values.pop("full_ft+hybrid"), values.pop("full_ft+ridge")
    assert not results.heads_table(read(made_up_tables.selected_rows(values, dataset="esol"))).rows


def test_the_chart_is_true_to_scale():
    values = {"full_ft": [0.70, 0.72, 0.74], "l2_sp": [0.80, 0.82, 0.84], "bss": [np.nan] * 3}
    (panel,) = panels(read(made_up_tables.selected_rows(values, seen=(0.1, "structures"))))
    assert (panel.metric, panel.mark) == ("ROC-AUC (higher is better)", "†")
    rows = {row.title: row for row in panel.rows}
    own = {"Full FT": values["full_ft"], "L2-SP": values["l2_sp"]}
    points = [(dot.x, value) for name in own for dot, value in zip(rows[name].seeds, own[name], strict=True)]
    scale = np.polyfit([value for _, value in points], [x for x, _ in points], 1)
    assert scale[0] > 0
    assert np.polyval(scale, [v for _, v in points]) == pytest.approx([x for x, _ in points], abs=0.11)  # to a tenth
    ticks = [(x, float(title)) for x, title in panel.ticks]
    assert len(ticks) >= 2
    assert np.polyval(scale, [v for _, v in ticks]) == pytest.approx([x for x, _ in ticks], abs=0.2)
    assert all(LEFT <= x <= WIDTH - RIGHT for x, _ in [*points, *ticks])
    assert rows["Full FT"].mean
    assert rows["Full FT"].mean.x == pytest.approx(np.polyval(scale, 0.72), abs=0.2)
    assert [line.x for line in panel.lines] == [rows["Full FT"].mean.x]
    assert rows["Full FT"].words == "mean 0.720 ± 0.020 †\nseed 0: 0.700\nseed 1: 0.720\nseed 2: 0.740"
    assert "seed 0: 0.800 (lam = " in rows["L2-SP"].words
    assert rows["BSS"].mean is None
    assert rows["BSS"].words == "no score"


def test_what_is_far_away_stands_at_the_edge_with_its_value():
    values = {name: [0.70, 0.71, 0.72] for name in ("full_ft", "linear_probing", "lp_ft", "l2_sp", "scratch")}
    (panel,) = panels(read(made_up_tables.selected_rows({**values, "feature_map": [14.0, 15.0, 0.71]}, metric="rmse")))
    row = next(row for row in panel.rows if row.title == "Feature-map")
    assert [dot.beyond for dot in row.seeds] == [">", ">", ""]
    assert row.seeds[0].x == WIDTH - RIGHT
    assert "seed 1: 15.000" in row.words


def test_dots_stand_behind_the_longest_title():
    values = {"full_ft": [0.7, 0.8], "lp_ft_closed+hybrid": [0.6, 0.7]}
    (short,) = panels(read(made_up_tables.selected_rows({"full_ft": values["full_ft"]})))
    (panel,) = panels(read(made_up_tables.selected_rows(values)))
    assert short.left == LEFT < panel.left < WIDTH - RIGHT
    assert panel.left > 6 * max(len(row.title) for row in panel.rows)
    assert min(dot.x for row in panel.rows for dot in row.seeds) >= panel.left


def test_a_setting_without_a_score_has_no_panel():
    assert panels(read(made_up_tables.selected_rows({"full_ft": [np.nan, np.nan]}))) == []


def test_one_seed_has_no_mean_of_its_own():
    (panel,) = panels(read(made_up_tables.selected_rows({"full_ft": [0.7]})))
    assert panel.rows[0].words == "seed 0: 0.700"


def test_what_is_equal_in_all_rows_is_said_once():
    rows = [[word("a"), word("3"), word(""), word(str(number))] for number in range(3)]
    table = Table("A table. In all rows: honest protocol.", ["Dataset", "#Seeds", "Note", "#Score"], rows)
    thin, same = lean(table)
    assert list(thin.columns) == ["#Score"]
    assert [[cell.text for cell in row] for row in thin.rows] == [["0"], ["1"], ["2"]]
    assert thin.caption == "A table. In all rows: honest protocol; Dataset: a; Seeds: 3."
    assert same == {"Dataset": "a", "Seeds": "3"}
    without = lean(Table("", table.columns, rows)).table
    assert without.caption == "In all rows: Dataset: a; Seeds: 3."
    # of one row nothing is equal in all rows, and an empty column still says nothing
    assert list(lean(Table("", table.columns, rows[:1])).table.columns) == ["Dataset", "#Seeds", "#Score"]
    # a table that would be left without a column stays as it is
    assert lean(Table("", ["Word"], [[word("here")]] * 2)).table.columns == ["Word"]
    full = Table("", ["#Score", "Word"], [[word("1"), word("b")], [word("2"), word("c")]])
    assert lean(full) == (full, {})


def test_titles_end_no_string_of_the_style_sheet():
    assert labels(["#Score", "Method"]) == '--c1:"Score ";--c2:""'
    hostile = labels(['a"; } </style><script>\\n\n'])
    assert hostile == r'--c1:"a\22 ; } \3c /style>\3c script>\5c n\a  "'


def test_a_number_stays_with_what_belongs_to_it():
    broken = {"0.7 ± 0.1": "0.7 ±_0.1", "RMSE ↓": "RMSE_↓", "+0.1 ▲": "+0.1_▲", "12 s": "12_s", "1.5 min": "1.5_min"}
    assert {text: tight(text).replace("\xa0", "_") for text in broken} == broken
    assert tight("Linear probing") == "Linear probing"
    assert tight("3 seeds") == "3 seeds"


def test_the_chart_is_explained_as_it_is_drawn():
    def said(values, **cell) -> str:
        return words(panels(read(made_up_tables.selected_rows(values, **cell))))

    plain = said({"bss": [0.7, 0.8]})
    assert plain.startswith("A small dot is a seed, the large one the mean. Point at a row")
    assert "A line marks the mean of full FT (dashed)." in said({"full_ft": [0.7, 0.8]})
    both = said({"full_ft": [0.7, 0.8], "fingerprint": [0.7, 0.8], "constant": [0.5, 0.5]})
    assert "Lines mark the means of full FT (dashed) and of the fingerprint (dotted)." in both
    assert "worse than predicting the mean label" in both
    assert "arrow stands" not in both
    far = {name: [0.70, 0.71, 0.72] for name in ("full_ft", "linear_probing", "lp_ft", "l2_sp", "scratch")}
    assert "An arrow stands for a score far outside" in said({**far, "bss": [14.0, 15.0, 0.71]}, metric="rmse")


def test_notes_and_reasons_are_words():
    rows = made_up_tables.selected_rows({"full_ft": [0.7, 0.8]}).assign(note='encoder of {"alpha":0.9}; {unreadable}')
    (row,) = audit.notes_table(rows).rows
    assert "encoder of alpha = 0.9; {unreadable}" in [cell.text for cell in row]
    rejects = made_up_tables.data_tables("bbbp", "classification")["rejects"].assign(reason="contradicting_duplicate")
    assert "contradicting duplicate" in [cell.text for cell in audit.reasons_table(rejects).rows[0]]
    listed = audit.rejected_table(rejects)
    assert "contradicting duplicate" in [cell.text for cell in listed.rows[0]]
    assert [row[1].text for row in listed.rows] == rejects["position"].tolist()
    older = audit.rejected_table(rejects.assign(position=""))  # a file that was written without it
    assert older.rows[0][1].text == f"record {rejects['row'].iloc[0]}"


def test_limits_are_counted_where_there_are_any():
    data = made_up_tables.data_tables("assay", "regression")
    selected = made_up_tables.selected_rows({"full_ft": [0.7]})
    scores = pd.DataFrame({name: [] for name in ("dataset", "task", "partition", "metric", "undefined")})

    def shown(tasks):
        table = audit.data_table(data["molecules"], data["rejects"], tasks, scores, selected)
        columns = audit.tasks_table(tasks)
        return [dict(zip(one.columns, [cell.text for cell in one.rows[0]], strict=True)) for one in (table, columns)]

    for row in shown(data["tasks"].assign(lower_limits=3, upper_limits=0)):
        assert (row["#Lower limits"], row["#Upper limits"]) == ("3", "0")
    older = data["tasks"].assign(lower_limits=np.nan, upper_limits=np.nan)  # a file that was written without them
    for tasks in (data["tasks"], older):
        for row in shown(tasks):
            assert not any("limits" in title for title in row)


def test_what_was_run_is_told_in_words():
    told = dict(audit.facts({"tsne": False, "max_rejected": 0.1, "seeds": [], "title": "x", "own_key": 1}))
    assert told == {"t-SNE pictures of atoms": False, "Unusable records allowed": 0.1, "Own key": 1}


def test_the_header_says_when_with_what_and_on_what():
    timings = made_up_tables.timings_of(made_up_tables.selected_rows({"full_ft": [0.7, 0.8]}))
    told = audit.origin(timings, [("Datasets", ["a", "b"]), ("Labels", [])])
    assert told == [("Fits made", "2026-11-25"), ("Commit", "0123456789ab (version 0.1.0)"), ("Datasets", "a, b")]
    later = pd.concat([timings, timings.assign(started="2026-11-27T00:00:00+00:00", code="")])
    assert audit.origin(later, [])[0] == ("Fits made", "2026-11-25 to 2026-11-27")
    assert audit.origin(timings.assign(started="", code=""), []) == []
