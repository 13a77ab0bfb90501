"""What the page says of panels: joint against single, dataset by dataset, exposure, and weights over epochs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossed_grids
import made_up_tables
from roftmol import figures, report
from roftmol.figures import loss_weights
from roftmol.figures.cells import Results
from roftmol.report import panels
from roftmol.statistics import stage as statistics
from roftmol.tables import schemas

SEEDS = 10
#: By how much joint training is better in ROC-AUC, dataset by dataset, and the noise of a seed.
GAINS = {"bbbp": (0.08, 0.01), "bace": (-0.08, 0.01), "sider": (0.0, 0.01), "clintox": (0.02, 0.1)}
METHODS = ("full_ft", "hybrid", "joint_ft", "joint_ft+hybrid", "constant")


@pytest.fixture(scope="module")
def selected() -> pd.DataFrame:
    """Table "selected" of a panel: one dataset gains, one loses, one does neither, one varies."""
    random = np.random.default_rng(0)
    frames = []
    for dataset, (gain, noise) in GAINS.items():
        level = {"full_ft": 0.7, "hybrid": 0.8, "joint_ft": 0.7 + gain, "joint_ft+hybrid": 0.8 + gain, "constant": 0.5}
        values = {name: list(level[name] + random.normal(0, noise, SEEDS)) for name in METHODS}
        frames.append(made_up_tables.selected_rows(values, dataset=dataset, metric="roc_auc"))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def results(selected: pd.DataFrame) -> Results:
    empty = schemas.empty("alphas"), schemas.empty("coefficients")
    made = statistics.made(selected, replicates=100)
    return Results(made_up_tables.summarise(selected), selected, *empty, **made)


def test_a_joint_encoder_under_a_head_is_compared_with_that_head_on_the_frozen_one(results: Results) -> None:
    compared = results.comparisons[results.comparisons["dataset"] == "bbbp"].set_index(["method", "reference"])
    assert compared.loc[("joint_ft+hybrid", "hybrid"), "verdict"] == "better"
    assert set(compared.index[compared.index.get_level_values(1) == "hybrid"]) == {("joint_ft+hybrid", "hybrid")}


def test_gains_losses_and_what_may_be_chance_are_named(results: Results) -> None:
    words = panels.transfer(results)
    means = results.summary[results.summary["dataset"] == "clintox"].set_index("method")["mean"]
    titles = {("joint_ft", "full_ft"): "Joint FT against Full FT: "}
    titles[("joint_ft+hybrid", "hybrid")] = "Joint FT + hybrid head against Hybrid head: "
    for (joint, single), pair in titles.items():
        said = words.split(pair)[1].split(".")[0]
        way = "better" if means[joint] > means[single] else "worse"
        assert said.startswith("better on bbbp, beyond doubt; worse on bace, beyond doubt (negative transfer); "), words
        assert said.endswith(f"practically equal on sider; a {way} mean on clintox, which may be chance"), words


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((0.01, 0.02, -0.01), "better on 2 and worse on 1 of 3 datasets, which may be chance"),
        ((0.0, -0.02, -0.01), "worse on 2 and equal on 1 of 3 datasets, which may be chance"),
        ((0.0, 0.0, 0.0), "equal on 3 of 3 datasets"),
    ],
)
def test_many_datasets_that_may_differ_by_chance_are_counted(gains: tuple[float, ...], said: str) -> None:
    values = {"full_ft": [0.7], "joint_ft": [0.7]}  # one seed decides nothing
    frames = []
    for name, gain in zip("abc", gains, strict=True):
        table = made_up_tables.selected_rows(values, dataset=name, metric="roc_auc")
        frames.append(table.assign(test_value=table["test_value"] + gain * (table["method"] == "joint_ft")))
    chosen = pd.concat(frames, ignore_index=True)
    empty = schemas.empty("alphas"), schemas.empty("coefficients")
    made = statistics.made(chosen, replicates=100)
    found = Results(made_up_tables.summarise(chosen), chosen, *empty, **made)
    assert panels.transfer(found) == f"Joint FT against Full FT: the mean is {said}."


def test_the_table_has_a_row_a_pair_and_dataset_and_one_over_all(results: Results) -> None:
    table = panels.joint_table(results)
    assert "constant predictor" not in table.caption
    rows = [[cell.text for cell in row] for row in table.rows]
    method, against, dataset = (table.columns.index(name) for name in ("Method", "Against", "Datasets"))
    assert {(row[method], row[against]) for row in rows} == {
        ("Joint FT", "Full FT"),
        ("Joint FT + hybrid head", "Hybrid head"),
    }
    assert [row[dataset] for row in rows[:4]] == ["all 4", "bace", "bbbp", "clintox"]


def results_of(scores: pd.DataFrame) -> Results:
    chosen = crossed_grids.selected_of(scores)
    empty = schemas.empty("alphas"), schemas.empty("coefficients")
    made = statistics.made(chosen, replicates=100, scores=scores)
    return Results(made_up_tables.summarise(chosen), chosen, *empty, **made)


#: What two points of the grid gain in each of twelve datasets.
CLEAR = {("learned", "rdkit"): 0.05, ("equal", "both"): -0.05}
TWELVE = [f"set{number}" for number in range(12)]


def test_weightings_are_rows_descriptors_columns_and_a_difference_is_claimed_where_it_is_beyond_doubt() -> None:
    results = results_of(crossed_grids.scores_of(CLEAR, TWELVE))
    table = panels.crossed_table(results)
    assert table.columns == ["Metric", "Method", "Weighting", "#no descriptors", "#RDKit", "#RDKit and GFN2-xTB"]
    assert [row[2].text for row in table.rows] == ["equal", "learned"]
    assert table.rows[0][3].text == "reference"
    assert [cell.tone for row in table.rows for cell in row[3:]] == ["soft", "", "worse", "", "better", ""]
    rows = results.crossed.set_index("setting")
    for place, weighting in enumerate(crossed_grids.WEIGHTINGS):
        for column, descriptors in enumerate(crossed_grids.DESCRIPTORS, start=3):
            if (weighting, descriptors) != ("equal", "none"):
                row = rows.loc[crossed_grids.setting(weighting, descriptors)]
                text = table.rows[place][column].text.replace("−", "-")
                value, low, high = (float(part) for part in re.split(r" \(| to |\)", text)[:3])
                assert (value, low, high) == pytest.approx((row["difference"], row["low"], row["high"]), abs=5e-4)
    assert "better than equal weighting without descriptors: the mean" in table.caption
    best, worst = table.rows[1][4].text, table.rows[0][5].text
    assert panels.crossed(results) == (
        "Joint FT against equal weighting without descriptors: beyond doubt, equal weighting with RDKit and GFN2-xTB "
        f"is worse, {worst}; learned weighting with RDKit is better, {best}."
    )


def test_nothing_is_claimed_of_a_difference_that_may_be_chance_or_of_too_few_datasets() -> None:
    noisy = results_of(crossed_grids.scores_of({("learned", "rdkit"): 0.01}, TWELVE, noise=0.1))
    corner = "Joint FT against equal weighting without descriptors"
    assert panels.crossed(noisy) == f"{corner}: nothing differs beyond doubt."
    few = results_of(crossed_grids.scores_of(CLEAR, TWELVE[:7]))
    assert panels.crossed(few) == (
        f"{corner}: 7 datasets are too few to say whether anything differs; with 5 comparisons, that takes 8 or more."
    )
    assert all(cell.tone in ("", "soft") for row in panels.crossed_table(few).rows for cell in row)
    assert "(" in panels.crossed_table(few).rows[1][4].text


def test_a_better_rmse_is_a_lower_one() -> None:
    results = results_of(crossed_grids.scores_of({("learned", "rdkit"): -0.2}, TWELVE, metric="rmse"))
    text = panels.crossed_table(results).rows[1][4].text
    assert text.startswith("+28.")
    assert "is better, +28." in panels.crossed(results)


def test_a_page_without_a_crossed_grid_has_no_such_table(results: Results) -> None:
    assert not panels.crossed_table(results).rows
    assert panels.crossed(results) == ""


def test_exposure_is_the_mean_over_seeds_and_names_who_trains_most() -> None:
    context = {"protocol": "honest", "dataset": "sider", "split": "scaffold", "budget": "all", "panel": "safety"}
    counts = {"seed": [0, 1], "partition": "test", "molecules": [100, 50], "exposed": [80, 20]}
    exposure = pd.DataFrame({**context, **counts, "most_by": ["tox21", "clintox"], "most": [70, 20]})
    row = [cell.text for cell in panels.exposure_table(exposure).rows[0]]
    assert row == ["honest", "safety", "sider", "scaffold split", "all labels", "test", "75", "50", "60%", "tox21"]


def exposed_rows(excess: float, p_holm: float, **of_all: object) -> pd.DataFrame:
    """Table "exposed" of one joint method over six datasets, and of one of them."""
    parts = {"exposed": 0.02 + excess, "new": 0.02, "excess": excess, "explained": 0.25 * excess}
    family = {
        "protocol": "honest",
        "model": "gin_masking",
        "split": "leaderboard",
        "budget": "all",
        "metric": "roc_auc",
    }
    about = {"better": 1, "method": "joint_ft", "reference": "full_ft", "seeds": 3, "share": 0.25, "exposed": 30.0}
    rows = [
        {
            **family,
            **about,
            "dataset": dataset,
            "part": part,
            "datasets": datasets,
            "new": 90.0,
            "scale": "difference",
            "difference": value,
            "low": value - 0.03,
            "high": value + 0.03,
            "levels": "datasets, seeds, molecules",
            "p": p_holm if part == "excess" else np.nan,
            "p_holm": p_holm if (part, dataset) == ("excess", "all") else np.nan,
            **of_all,
        }
        for dataset, datasets in (("all", 6), ("bbbp", 1))
        for part, value in parts.items()
    ]
    return pd.DataFrame(rows)


def test_how_much_of_a_gain_is_exposure_is_a_sentence_and_a_row_a_dataset(results: Results) -> None:
    seen = replace(results, exposed=exposed_rows(0.08, 0.01))
    assert panels.explained(seen) == (
        "Joint FT against Full FT: test molecules that train another dataset (25%) gain +0.100 (+0.070 to +0.130), the "
        "others +0.020 (−0.010 to +0.050), in the mean over 6 datasets. Exposure explains +0.020 (−0.010 to +0.050) of "
        "the gain."
    )
    table = panels.exposed_table(seen)
    assert [row[table.columns.index("Datasets")].text for row in table.rows] == ["all 6", "bbbp"]
    assert table.rows[0][table.columns.index("#Excess")].text.startswith("+0.080 (")
    assert panels.explained(results) == ""
    assert not panels.exposed_table(results).rows


def test_a_difference_between_exposed_and_other_molecules_that_may_be_chance_explains_nothing(results: Results) -> None:
    assert panels.explained(replace(results, exposed=exposed_rows(0.08, 0.06))) == (
        "Joint FT against Full FT: the gain on test molecules that train another dataset (25%) and that on the others "
        "do not differ beyond doubt: +0.080 (+0.050 to +0.110), in the mean over 6 datasets."
    )


def test_less_error_on_exposed_molecules_is_a_gain(results: Results) -> None:
    lower = exposed_rows(-0.1, 0.01, metric="rmse", better=-1, scale="relative")
    seen = replace(results, exposed=lower)
    assert "Exposure explains +2.5% (−0.5 to +5.5%) of the gain" in panels.explained(seen)
    table = panels.exposed_table(seen)
    assert table.rows[0][table.columns.index("#Excess")].sort == pytest.approx(0.1)


def weights(selected: pd.DataFrame) -> pd.DataFrame:
    """Table "loss_weights" of two weightings: equal ones, and those whose exponents rise."""
    runs = selected.loc[selected["method"] == "joint_ft", [*schemas.RUN]].drop(columns="setting")
    epochs = runs.merge(pd.DataFrame({"epoch": range(1, 21)}), how="cross").assign(fold=0, panel="safety")
    equal = epochs.assign(setting='{"weighting":"equal"}', weight=1.0)
    shares = epochs["dataset"].map({"bbbp": 0.4, "bace": 0.3, "sider": 0.2, "clintox": 0.1})
    learned = epochs.assign(setting='{"weighting":"learned"}', weight=shares ** (0.7 + 0.05 * epochs["epoch"]))
    return pd.concat([equal, learned], ignore_index=True)


def test_only_weights_that_move_are_drawn(results: Results, selected: pd.DataFrame) -> None:
    drawn = list(
        loss_weights.drawings(
            Results(results.summary, selected, results.alphas, results.coefficients, loss_weights=weights(selected))
        )
    )
    assert len(drawn) == 1
    assert "safety: Joint FT, learned, scaffold split, all labels: bace" in drawn[0].alt
    assert "equal" not in drawn[0].alt
    axis = drawn[0].figure.axes[0]
    drawn[0].figure.canvas.draw()
    assert {"0.1", "0.2"} <= {label.get_text() for label in axis.get_yticklabels()}
    lines = axis.get_lines()
    assert [round(float(line.get_ydata()[0]), 3) for line in lines] == [round(r**0.75, 3) for r in (0.3, 0.4, 0.1, 0.2)]


def test_weights_are_drawn_for_each_choice_of_descriptors(results: Results, selected: pd.DataFrame) -> None:
    learned = weights(selected).query("setting.str.contains('learned')")
    both = pd.concat([learned, learned.assign(setting='{"descriptors":"rdkit","weighting":"learned"}')])
    tables = (results.summary, selected, results.alphas, results.coefficients)
    (drawn,) = loss_weights.drawings(Results(*tables, loss_weights=both))
    assert "safety: Joint FT, learned, scaffold split, all labels: bace" in drawn.alt
    assert "safety: Joint FT, learned, rdkit, scaffold split, all labels: bace" in drawn.alt


def test_the_page_has_the_panel_s_section_and_a_page_without_panels_has_none(
    tmp_path: Path, selected: pd.DataFrame
) -> None:
    tables = made_up_tables.write_tables(tmp_path / "tables", selected, loss_weights=weights(selected))
    figures.draw(tables, tmp_path / "figures", (loss_weights,))
    report.build(tables, tmp_path / "figures", {}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert 'id="panels"' in page
    assert "negative transfer" in page
    assert "loss_weights-honest-gin_masking.svg" in page
    made_up_tables.write_tables(tmp_path / "tables", selected[~selected["method"].str.startswith("joint")])
    report.build(tables, tmp_path / "figures", {}, tmp_path / "other.html")
    other = (tmp_path / "other.html").read_text()
    assert "negative transfer" not in other
    assert "Weightings and descriptors" not in page + other
    scores = crossed_grids.scores_of(CLEAR, TWELVE)
    chosen = crossed_grids.selected_of(scores)
    made_up_tables.write_tables(tmp_path / "tables", chosen, **statistics.made(chosen, replicates=100, scores=scores))
    report.build(tables, tmp_path / "figures", {}, tmp_path / "crossed.html")
    assert "Weightings and descriptors" in (tmp_path / "crossed.html").read_text()
