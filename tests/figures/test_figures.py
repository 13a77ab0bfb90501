"""Figures: what is drawn when, with which words, and that the same tables give the same bytes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.tri import TriContourSet

import made_up_tables
from roftmol import figures, statistics
from roftmol.core.errors import UserError
from roftmol.figures import changes as changes_figure
from roftmol.figures import (
    coefficients,
    collapse,
    critical_difference,
    embeddings,
    forest,
    path,
    plane,
    ranks,
    scores,
    time,
)
from roftmol.figures.cells import Results
from roftmol.figures.pages import cut
from roftmol.figures.style import in_order, limits, look
from roftmol.methods import ALL_METHODS
from roftmol.statistics import stage
from roftmol.tables import schemas


@pytest.fixture(scope="module")
def drawn(drawn_experiment: Path) -> tuple[Path, Path]:
    return drawn_experiment / "tables", drawn_experiment / "figures"


def manifest(folder: Path) -> list[dict[str, str]]:
    return json.loads((folder / "figures.json").read_text())


def test_every_kind_is_drawn_and_described(drawn):
    entries = manifest(drawn[1])
    kinds = ["scores", "budgets", "wise_path", "coefficients", "ranks", "time", "forest"]
    kinds += ["changes", "collapse", "embeddings", "embeddings", "path", "plane"]
    assert [entry["kind"] for entry in entries] == kinds
    for entry in entries:
        assert entry["file"].startswith(entry["kind"])
        assert (drawn[1] / entry["file"]).stat().st_size > 10_000
        assert (drawn[1] / entry["narrow"]).stat().st_size > 10_000
        assert (drawn[1] / entry["png"]).read_bytes().startswith(b"\x89PNG")
        assert all(entry[words] for words in ("title", "caption", "alt"))


def test_same_tables_same_bytes(drawn, tmp_path):
    """Of kinds that have points with a scatter, intervals, curves and pictures between them."""
    figures.draw(drawn[0], tmp_path, (scores, coefficients, forest, embeddings, plane))
    again = sorted(tmp_path.glob("*.svg"))
    assert len(again) > 10
    for file in again:
        assert file.read_bytes() == (drawn[1] / file.name).read_bytes(), file.name
    assert manifest(tmp_path) == [entry for entry in manifest(drawn[1]) if tmp_path.joinpath(entry["file"]).exists()]


def test_a_bars_points_are_in_order():
    # The library takes them from a set of names, whose order another process has not.
    rows = made_up_tables.experiment_rows(seeds=2, budgets=("all",))
    results = results_of(rows, **stage.made(rows, replicates=50))
    results = replace(results, mean_ranks=results.mean_ranks.assign(enough=True))
    (drawing,) = critical_difference.drawings(results)
    lines = [line for axis in drawing.figure.axes for line in axis.lines if line.get_linewidth() == 3]
    assert max(len(line.get_xdata()) for line in lines) > 5
    assert all(list(line.get_xdata()) == sorted(line.get_xdata()) for line in lines)


def test_only_what_was_run_is_drawn(tmp_path):
    """One budget, one seed, neither WiSE-FT nor DWiSE-FT, a name that is no mathematics, a method of one's own.

    Without a landscape there is neither path nor plane.
    """
    selected = made_up_tables.selected_rows(
        {"full_ft": [0.7], "scratch": [np.nan], "my_method": [0.8]}, dataset="a$b$ <i>c</i>", model="my/model"
    )
    tables = made_up_tables.write_tables(tmp_path / "tables", selected, paths=schemas.empty("paths"))
    figures.draw(tables, tmp_path / "figures")
    entries = manifest(tmp_path / "figures")
    assert [entry["file"] for entry in entries] == [
        f"{kind}-honest-my_model.svg" for kind in ("scores", "ranks", "time", "forest", "changes", "collapse")
    ]
    assert "best mean my_method at 0.800" in entries[0]["alt"]


def test_missing_table_is_named(tmp_path):
    with pytest.raises(UserError, match=r"summary\.parquet"):
        figures.draw(tmp_path, tmp_path / "figures")


def test_one_look_a_method():
    assert len({(look(name).colour, look(name).marker) for name in ALL_METHODS}) == len(ALL_METHODS)
    assert [look(name).title for name in ALL_METHODS] == [method.title for method in ALL_METHODS.values()]
    names = ["zeta", "fingerprint", "l2_sp", "full_ft+hybrid", "alpha", "full_ft"]
    assert in_order(names) == ["full_ft", "full_ft+hybrid", "l2_sp", "fingerprint", "alpha", "zeta"]


def test_fingerprint_is_ranked_beside_every_model():
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.7], "fingerprint": [0.8, 0.8]})
    other = made_up_tables.selected_rows({"full_ft": [0.9, 0.9]}, model="other")
    alone = made_up_tables.selected_rows({"fingerprint": [0.6]}, dataset="bace")
    selected = pd.concat([selected, other, alone], ignore_index=True)
    results = Results(
        made_up_tables.summarise(selected), selected, schemas.empty("alphas"), schemas.empty("coefficients")
    )
    places = results.cells.set_index(["dataset", "model", "method"])["place"].to_dict()
    assert places == {
        ("bbbp", "gin_masking", "full_ft"): 2,
        ("bbbp", "gin_masking", "fingerprint"): 1,
        ("bbbp", "other", "full_ft"): 1,
        ("bbbp", "other", "fingerprint"): 2,
        ("bace", "morgan", "fingerprint"): 1,
    }


def test_tied_methods_share_their_ranks_in_the_mean_alone():
    frames = [
        made_up_tables.selected_rows({"full_ft": [0.7], "wise_ft": [0.7], "bss": [bss]}, budget=budget)
        for budget, bss in (("50", 0.6), ("all", 0.8))
    ]
    selected = pd.concat(frames, ignore_index=True)
    results = Results(
        made_up_tables.summarise(selected), selected, schemas.empty("alphas"), schemas.empty("coefficients")
    )
    (drawing,) = ranks.drawings(results)
    texts = [text.get_text() for text in drawing.figure.axes[0].texts]
    # With 50 labels, with all, and the mean: full FT, WiSE-FT, BSS
    assert texts[:9] == ["1", "2", "2.0", "1", "2", "2.0", "3", "1", "2.0"]


def test_ranks_of_all_models_stand_in_one_figure():
    """Six conditions stand in a panel; the mean is over all of a model's, and stands after the last of them."""
    frames = [
        made_up_tables.selected_rows({"full_ft": [0.7], "bss": [0.6 + 0.02 * place]}, dataset=name, model=model)
        for model in ("one", "other")
        for place, name in enumerate("abcdefgh")
    ]
    (drawing,) = ranks.drawings(results_of(pd.concat(frames, ignore_index=True)))
    assert drawing.title == "Ranks: honest protocol"
    panels = [axis for axis in drawing.figure.axes if axis.texts]
    assert [axis.get_xlabel() for axis in panels] == ["one", "one", "other", "other"]
    assert [text.get_text() for text in panels[0].get_xticklabels()] == list("abcdef")
    assert [text.get_text() for text in panels[1].get_xticklabels()] == ["g", "h", "mean"]
    assert [text.get_text() for text in panels[1].texts] == ["2", "2", "1.3", "1", "1", "1.7"]
    assert "All conditions: scaffold split, all labels." in drawing.caption
    assert len(drawing.conditions) == 16


def test_conditions_are_in_reading_order():
    frames = [
        made_up_tables.selected_rows({"full_ft": [0.7]}, budget=budget, split=split)
        for budget in ("all", "100", "50")
        for split in ("size", "scaffold")
    ]
    selected = pd.concat(frames, ignore_index=True)
    results = Results(
        made_up_tables.summarise(selected), selected, schemas.empty("alphas"), schemas.empty("coefficients")
    )
    assert [(condition.split, condition.budget) for condition in results.conditions] == [
        (split, budget) for split in ("scaffold", "size") for budget in ("50", "100", "all")
    ]


def test_marks_say_what_pretraining_has_seen_and_nothing_where_nobody_can_tell():
    verdicts = {"bbbp": "structures", "bace": "labels", "esol": "unknown", "lipo": "none"}
    frames = [
        made_up_tables.selected_rows({"full_ft": [0.7], "scratch": [0.7]}, dataset=name, seen=(0.1, kind))
        for name, kind in verdicts.items()
    ]
    selected = pd.concat(frames, ignore_index=True)
    results = Results(
        made_up_tables.summarise(selected), selected, schemas.empty("alphas"), schemas.empty("coefficients")
    )
    bace, bbbp, esol, lipo = results.conditions
    assert [results.mark(condition) for condition in (bace, bbbp, esol, lipo)] == ["‡", "†", "", ""]
    assert results.mark(bbbp, bace) == "‡"
    assert results.mark_lines([esol, lipo]) == ""
    assert results.mark_lines([bbbp, esol]).startswith(
        " † pretraining saw some of these test molecules, without labels"
    )


def test_axis_leaves_off_only_what_is_far_away():
    values = np.array([0.70, 0.71, 0.72, 0.73, 0.60, 14.0, np.nan])
    low, high = limits(values)
    assert low < 0.60
    assert 0.73 < high < 1
    assert limits(np.array([0.5, 0.5]))[0] < 0.5 < limits(np.array([0.5, 0.5]))[1]
    assert limits(np.array([np.nan])) == (0.0, 1.0)


def test_a_page_holds_so_many_settings():
    rows = made_up_tables.experiment_rows(seeds=2)
    rows = rows[rows["method"].isin(["full_ft", "dwise_ft"])]
    tables = {"changes": made_up_tables.changes_of(rows), "planes": made_up_tables.planes_of(rows)}
    results = results_of(rows, **tables, **made_up_tables.pictures_of(rows))
    for kind, size in ((changes_figure, 4), (collapse, 4), (embeddings, 3), (plane, 4)):
        first = next(kind.drawings(results))  # of six settings
        assert (first.page, len(first.conditions)) == ("1 of 2", size), first.kind


def test_pages():
    assert list(cut([1, 2], 2)) == [("", [1, 2])]
    assert list(cut([1, 2, 3], 2)) == [("1 of 2", [1, 2]), ("2 of 2", [3])]


def test_the_words_of_changes_paths_and_planes_are_those_of_the_tables(drawn):
    words = {entry["kind"]: entry["alt"] for entry in reversed(manifest(drawn[1]))}
    assert "bace, scaffold split, 50 labels, farthest From scratch at 0.23, nearest Full FT at 0.14" in words["changes"]
    assert "bace, scaffold split, 50 labels, at α = 0.75" in words["path"]
    # 0.3 + 0.1 ((x - 4)^2 + y^2) + 0.2 at (0, 0), (5, 0) and (3, 1)
    assert "bace, scaffold split, 50 labels, 2.10, 0.60, 0.70" in words["plane"]
    captions = {entry["kind"]: entry["caption"] for entry in manifest(drawn[1])}
    assert "statistics are estimated on the training molecules" in captions["path"]
    assert "The losses are of 32 molecules" in captions["plane"]


def test_paths_of_the_paper_protocol_say_what_it_does_with_batchnorm():
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.8], "dwise_ft": [0.7, 0.8]}, protocol="paper")
    landscapes = {"paths": made_up_tables.paths_of(selected), "planes": made_up_tables.planes_of(selected)}
    results = results_of(selected, **landscapes)
    captions = {kind: drawing.caption for kind in (path, plane) for drawing in kind.drawings(results)}
    assert "mixed like the weights" in captions[path]
    assert "estimated" not in captions[path] + captions[plane]


def test_ticks_of_a_loss_over_decades_are_numbers():
    """No text is read as mathematics, so a tick must not be written as such."""
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.8]})
    wide = made_up_tables.paths_of(selected).assign(loss=lambda rows: 10.0 ** (4 * rows["alpha"].abs()))
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    (drawing,) = path.drawings(Results(made_up_tables.summarise(selected), selected, *blank, paths=wide))
    loss = drawing.figure.axes[0]
    drawing.figure.draw_without_rendering()
    assert loss.get_yscale() == "log"
    labels = [text.get_text() for text in loss.get_yticklabels(which="both")]
    assert "1" in labels
    assert not any("$" in label for label in labels)


def test_ticks_of_time_keep_apart():
    assert time.ticks(0.002, 30) == [0.01, 0.1, 1, 20]
    assert time.ticks(50, 400) == [60, 300]


def test_many_parts_losses_over_decades_and_an_encoder_that_nothing_moved():
    selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.8], "linear_probing": [0.7, 0.8]})
    changes = made_up_tables.changes_of(selected)
    deep = [changes.assign(part=changes["part"].str.replace("blocks.0", f"blocks.{n}")) for n in range(5, 16)]
    deep_encoder = pd.concat([changes, *deep]).drop_duplicates(["method", "seed", "part", "quantity"])
    wide = made_up_tables.paths_of(selected).assign(loss=lambda rows: 10.0 ** (4 * rows["alpha"].abs()))
    for kind, tables in (
        (changes_figure, {"changes": deep_encoder}),
        (path, {"paths": wide}),
        (changes_figure, {"changes": changes[changes["method"] == "linear_probing"]}),
    ):
        (drawing,) = kind.drawings(results_of(selected, **tables))
        for figure in (drawing.figure, drawing.narrow()):
            figure.draw_without_rendering()
    assert "no encoder moved" in drawing.alt


def results_of(rows: pd.DataFrame, **tables: pd.DataFrame) -> Results:
    blank = [schemas.empty(name) for name in ("alphas", "coefficients")]
    return Results(made_up_tables.summarise(rows), rows, *blank, **tables)


def test_captions_speak_of_what_is_drawn():
    plain = made_up_tables.selected_rows({"bss": [0.7, 0.8]})
    far = {name: [0.70, 0.71, 0.72] for name in ("full_ft", "linear_probing", "lp_ft", "wise_ft", "fingerprint")}
    crowded = made_up_tables.selected_rows({**far, "bss": [14.0, 15.0, np.nan], "constant": [1.0] * 3}, metric="rmse")
    crowded = crowded[~((crowded["method"] == "lp_ft") & (crowded["seed"] == 0))]
    crowded.loc[crowded["method"] == "linear_probing", "test_value"] = np.nan
    words = {
        scores: ["Lines mark", "shaded part", "an arrow at the edge"],
        ranks: ["asterisk", "dash"],
        time: ["WiSE-FT starts from full FT", "edge beside an arrow"],
    }
    for kind, phrases in words.items():
        (little,), (much,) = (list(kind.drawings(results_of(rows))) for rows in (plain, crowded))
        assert [phrase in little.caption for phrase in phrases] == [False] * len(phrases), kind
        assert [phrase in much.caption for phrase in phrases] == [True] * len(phrases), kind


def test_collapse_explains_its_measures(drawn):
    (caption, *_) = (entry["caption"] for entry in manifest(drawn[1]) if entry["kind"] == "collapse")
    assert "linear CKA" in caption
    assert "Force drift" not in caption  # no encoder of the made-up experiment has a force field


def test_leads_over_full_ft_point_to_the_right_and_have_intervals_where_they_tell():
    rows = made_up_tables.selected_rows({"full_ft": [2.0, 2.1, 2.2], "bss": [1.0, 1.1, 1.2]}, dataset="esol")
    tables = stage.made(rows, replicates=50)
    comparisons = tables["comparisons"]
    for enough in (True, False):
        tables["comparisons"] = comparisons.assign(enough=enough, verdict="undecided")
        (drawing,) = forest.drawings(results_of(rows, **tables))
        (axis,) = drawing.figure.axes
        means = [line.get_xdata() for line in axis.lines if line.get_marker() == look("bss").marker]
        assert len(means) == 1
        assert means[0][0] == pytest.approx(100 * (1 - 1.1 / 2.1), rel=0.05)  # lower RMSE is to the right
        bars = [line for line in axis.lines if line.get_linewidth() == 1.6]
        assert len(bars) == enough
        assert all(line.get_xdata()[0] < means[0][0] < line.get_xdata()[1] for line in bars)
        assert ("intervals; the comparisons table" in drawing.caption) == enough
        assert ("no intervals are drawn" in drawing.caption) != enough


def test_mean_ranks_are_drawn_where_methods_can_be_told_apart(drawn):
    names = ("summary", "selected", "alphas", "coefficients", *statistics.TABLES)
    read = {name: schemas.read(name, drawn[0] / f"{name}.parquet") for name in names}
    assert not read["mean_ranks"]["enough"].any()
    assert list(critical_difference.drawings(Results(**read))) == []
    ranks_ = read["mean_ranks"].sort_values("mean_rank", kind="stable").assign(enough=True)
    half = ranks_.groupby(list(schemas.FAMILY)).cumcount() % 2 == 0
    read["mean_ranks"] = ranks_.assign(groups=["a" if even else "b" for even in half])
    (drawing,) = critical_difference.drawings(Results(**read))
    assert any(line.get_linewidth() == 3 for line in drawing.figure.axes[0].lines)
    # A narrow figure has a row a method, and beside it a dot for each that a bar joins.
    axis, *_ = drawing.narrow().axes
    bars = [list(line.get_ydata()) for line in axis.lines if len(line.get_ydata()) > 1]
    rows = len(axis.get_yticks())
    assert bars == [list(range(0, rows, 2)), list(range(1, rows, 2))]


def test_the_colours_of_a_plane_are_its_numbers(drawn):
    """The colour around a point is that of the loss written there, and one colour is one loss in both panels."""
    names = ("summary", "selected", "alphas", "coefficients", "planes")
    results = Results(**{name: schemas.read(name, drawn[0] / f"{name}.parquet") for name in names})
    drawing, *_ = plane.drawings(results)
    panels = [axis for axis in drawing.figure.axes if axis.get_label() != "<colorbar>"]
    assert len(panels) == 2 * len(drawing.conditions)
    scales = []
    for axis in panels:
        filled = next(one for one in axis.collections if isinstance(one, TriContourSet) and one.filled)
        scales.append((tuple(filled.levels), filled.norm.vmin, filled.norm.vmax))
        for point in (text for text in axis.texts if ": " in text.get_text()):
            loss = float(point.get_text().rpartition(": ")[2])
            bands = [band for band, path in enumerate(filled.get_paths()) if path.contains_point(point.xy, radius=1e-9)]
            low, high = filled.levels[min(bands)], filled.levels[max(bands) + 1]
            assert low - 0.006 <= loss <= high + 0.006, point.get_text()
    assert scales[::2] == scales[1::2]
