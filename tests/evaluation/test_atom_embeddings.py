"""Atoms before and after a fit on a plane: which atoms, what a part keeps of them, the stage's tables, the figure."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
from sklearn.metrics import davies_bouldin_score

import made_up_tables
from cell_jobs import FULL_FT, finetune, interpolate, parts
from roftmol import figures
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.seeds import generator, seed_of
from roftmol.evaluation.atom_embeddings import TABLES, embed
from roftmol.experiment.config import experiment
from roftmol.features.atom_kinds import CLASSES
from roftmol.figures import embeddings as embeddings_figure
from roftmol.scoring.representation import PICTURED, Picture, davies_bouldin, picture, planes, sample
from roftmol.tables import schemas
from small_results import truncate
from stage_settings import settings_for

ASKED = replace(FULL_FT, pictures=True)
WISE = replace(ASKED, method="wise_ft", grid=({"alpha": 0.5}, {"alpha": 1.0}))


def clouds(n: int = 12, d: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of `n` atoms of each class around a centre each, and the classes."""
    classes = np.repeat(np.arange(len(CLASSES), dtype=np.int8), n)
    random = np.random.default_rng(0)
    return 4 * random.normal(size=(len(CLASSES), d))[classes] + random.normal(size=(len(classes), d)), classes


def pictures(run: Path) -> dict[tuple[int, str], Picture]:
    """The pictures of a run's parts by seed and setting."""
    fits = schemas.read("fits", run / "fits.parquet")
    found = {}
    for seed, setting, part in zip(fits["seed"], fits["setting"], fits["part"], strict=True):
        arrays = load_file(run / "parts" / part)
        if any(name.startswith("tsne.") for name in arrays):
            found[seed, setting] = Picture(*(arrays[f"tsne.{name}"] for name in Picture._fields))
    return found


def select(out: Path, *runs: Path, last: bool = True) -> Path:
    """A folder with the table "selected" of some runs, of which the last or the first setting was chosen."""
    fits = pd.concat([schemas.read("fits", run / "fits.parquet") for run in runs])
    fits = fits.drop_duplicates([*schemas.CELL, "seed"], keep="last" if last else "first")
    values = {
        "valid_value": 0.0,
        "valid_loss": 0.0,
        "test_value": 0.0,
        "test_r2": 0.0,
        "seen": 0.0,
        "contamination": "none",
    }
    known = {"rule": "validation", "candidates": 1, "failed": 0, "metric": "rmse", "note": "", **values}
    schemas.write("selected", fits[list(schemas.RUN)].assign(**known), out / "selected.parquet")
    return out


def tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {name: schemas.read(name, folder / f"{name}.parquet") for name in TABLES}


# -- what a fit keeps ------------------------------------------------------------------------------------------------


def test_every_method_has_the_same_atoms_and_only_the_first_seed_and_fold_has_any(cell):
    schemas.write("splits", two_folds(cell), cell / "splits.parquet")
    full = finetune(cell, ASKED)
    runs = [full, interpolate(cell, WISE, full), finetune(cell, replace(ASKED, method="scratch"), "scratch")]
    found = [pictures(run) for run in runs]
    assert [list(of) for of in found] == [[(0, "{}")], [(0, '{"alpha":0.5}'), (0, '{"alpha":1.0}')], [(0, "{}")]]
    kept = [one for of in found for one in of.values()]
    for one in kept[1:]:
        np.testing.assert_array_equal(one.before, kept[0].before)
        np.testing.assert_array_equal(one.classes, kept[0].classes)
        assert one.before.shape == one.after.shape == (len(one.classes), 16)
    assert {one.before.dtype for one in kept} == {np.dtype(np.float16)}
    tuned, half, whole, _ = (one.after.astype(float) for one in kept)
    np.testing.assert_allclose(whole, tuned, atol=5e-3)  # WiSE-FT at 1 is full FT
    assert np.abs(half - tuned).max() > 0.05


def two_folds(cell: Path) -> pd.DataFrame:
    split = schemas.read("splits", cell / "splits.parquet")
    return pd.concat([split, split[split["seed"] == 0].assign(fold=1)])


def test_an_encoder_that_stays_has_the_same_vectors_after(cell):
    (one,) = pictures(finetune(cell, replace(ASKED, method="linear_probing"))).values()
    np.testing.assert_array_equal(one.before, one.after)
    assert len(np.unique(one.before, axis=0)) > 10


def test_where_none_are_asked_for_a_part_has_none_and_its_old_name(cell):
    plain = finetune(cell, FULL_FT)
    assert pictures(plain) == {}
    before = parts(plain)
    asked = parts(finetune(cell, ASKED))
    assert before.items() < asked.items()  # found again: one fit more, the first seed's
    assert len(asked) == len(before) + 1
    assert parts(finetune(cell, FULL_FT)) == asked


def test_only_what_asks_for_pictures_is_told_so():
    cell = ("honest", "gin-zinc-masking", "esol", "scaffold", "50", "full_ft")
    silent, plain, asked = (experiment(change) for change in ({}, {"tsne": False}, {"tsne": True}))
    assert settings_for("finetune", silent, *cell) == settings_for("finetune", plain, *cell)
    assert "pictures" not in settings_for("finetune", plain, *cell)
    assert settings_for("finetune", asked, *cell) == settings_for("finetune", plain, *cell) | {"pictures": True}
    assert [settings_for("embeddings", made)["pictures"] for made in (plain, asked)] == [False, True]
    with pytest.raises(UserError, match="tsne"):
        experiment({"tsne": "yes"})


# -- the plane -------------------------------------------------------------------------------------------------------


def test_a_picture_keeps_distances_wherever_the_vectors_lie_and_in_any_unit():
    vectors, classes = clouds()
    for unit, shift in ((1.0, 0.0), (1e-9, 1e-6), (1e6, 1e9)):
        one = picture(unit * vectors + shift, unit * 2 * vectors + shift, classes)
        scale = math.sqrt(np.square(vectors - vectors.mean(0)).sum(1).mean())
        for side, factor in ((one.before, 1), (one.after, 2)):
            wanted = factor * (vectors - vectors[0]) / scale
            np.testing.assert_allclose(side.astype(float) - side[0].astype(float), wanted, atol=3e-3)


def test_a_picture_of_what_is_no_number_or_all_the_same():
    vectors, classes = clouds(2)
    far = picture(vectors, 1e9 * vectors, classes)
    assert np.isinf(far.after).any()
    assert all(np.isnan(plane).all() for plane in planes(far, 0))
    same = picture(np.ones_like(vectors), vectors, classes)
    assert not same.before.any()
    assert np.isfinite(same.after).all()
    assert planes(picture(vectors[:0], vectors[:0], classes[:0]), 0)[0].shape == (0, 2)


def test_both_sides_lie_on_one_plane():
    vectors, classes = clouds()
    random = np.random.default_rng(1)
    moved = np.where(classes[:, None] == 0, vectors + 200, vectors + 1e-3 * random.normal(size=vectors.shape))
    before, after = planes(picture(vectors, moved, classes), 0)
    still = classes != 0
    extent = np.ptp(before, axis=0).max()
    steps = np.linalg.norm(after - before, axis=1)
    assert np.median(steps[still]) < 0.01 * extent < steps[~still].min()


def test_a_hardly_moved_encoder_has_a_ratio_near_1_and_a_collapsed_one_a_larger():
    vectors, classes = clouds()
    random = np.random.default_rng(1)

    def ratio(after: np.ndarray) -> float:
        before, after = planes(picture(vectors, after, classes), 0)
        return davies_bouldin(after, classes) / davies_bouldin(before, classes)

    assert ratio(vectors) == 1
    assert ratio(vectors + 1e-3 * random.normal(size=vectors.shape)) == pytest.approx(1, abs=0.05)
    assert ratio(random.permutation(vectors)) > 3


def test_a_picture_has_at_most_so_many_atoms_of_a_class():
    classes = np.repeat(np.arange(3, dtype=np.int8), (PICTURED - 1, PICTURED, PICTURED + 1))
    drawn = sample(classes, PICTURED, generator("tsne", 0, 0))
    assert np.bincount(classes[drawn]).tolist() == [PICTURED - 1, PICTURED, PICTURED]


# -- the stage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cells(cell: Path) -> list[Path]:
    """The runs of three methods of one cell."""
    full = finetune(cell, ASKED)
    still = finetune(cell, replace(ASKED, method="linear_probing"), "probe")
    return [full, still, interpolate(cell, WISE, full)]


def test_the_tables_of_a_setting(cells, tmp_path):
    chosen = select(tmp_path, *cells, last=False)
    embed(cells, chosen, tmp_path / "once")
    found = tables(tmp_path / "once")
    points, measured = found["embeddings"].groupby("method"), found["tsne"].set_index("method")
    kept = {run.name: pictures(run) for run in cells}
    chosen_pictures = {
        "full_ft": kept["run"][0, "{}"],
        "linear_probing": kept["probe"][0, "{}"],
        "wise_ft": kept["mixed"][0, '{"alpha":0.5}'],
    }
    assert set(points.groups) == set(measured.index) == set(chosen_pictures)
    assert set(found["embeddings"]["seed"]) == set(found["tsne"]["seed"]) == {0}
    for method, one in chosen_pictures.items():
        rows, row = points.get_group(method), measured.loc[method]
        assert rows["kind"].tolist() == [CLASSES[index] for index in one.classes]
        sides = [rows[[f"{side}_x", f"{side}_y"]].to_numpy() for side in ("before", "after")]
        for found_side, wanted in zip(sides, planes(one, seed_of("tsne", 0)), strict=True):
            np.testing.assert_array_equal(found_side, wanted)
        several = np.isin(one.classes, np.flatnonzero(np.bincount(one.classes) > 1))
        scores = [davies_bouldin_score(side[several].astype(float), one.classes[several]) for side in sides]
        assert row[["davies_bouldin_before", "davies_bouldin_after"]].tolist() == pytest.approx(scores, rel=1e-5)
        assert row["ratio"] == pytest.approx(scores[1] / scores[0], rel=1e-5)
    assert measured.loc["linear_probing", "ratio"] == 1
    assert measured.loc["full_ft", "ratio"] != 1
    embed(cells[::-1], chosen, tmp_path / "twice")
    for name, table in tables(tmp_path / "twice").items():
        pd.testing.assert_frame_equal(table, found[name], check_exact=True)


def test_what_was_not_selected_or_has_no_picture_has_no_row(cells, cell, tmp_path):
    full, still, mixed = cells
    embed(cells, select(tmp_path / "a", full), tmp_path / "a")
    assert set(tables(tmp_path / "a")["tsne"]["method"]) == {"full_ft"}
    embed([], tmp_path / "a", tmp_path / "b")
    assert all(table.empty for table in tables(tmp_path / "b").values())
    plain = finetune(cell, FULL_FT, "plain")
    embed([plain], select(tmp_path / "c", plain), tmp_path / "c")
    assert all(table.empty for table in tables(tmp_path / "c").values())
    # Of a method whose first seed is not there, no other one's atoms are shown beside the others'.
    later = finetune(cell, replace(ASKED, method="l2_sp", grid=({"lam": 0.1},), seeds=(1,)), "later")
    assert list(pictures(later)) == [(1, '{"lam":0.1}')]
    embed([still, mixed, later], select(tmp_path / "d", still, mixed, later), tmp_path / "d")
    assert set(tables(tmp_path / "d")["tsne"]["method"]) == {"linear_probing", "wise_ft"}


def test_parts_that_were_left_out_have_no_picture_and_damaged_ones_are_named(cells, tmp_path):
    full, still, _ = cells
    chosen = select(tmp_path, full, still)
    part = schemas.read("fits", full / "fits.parquet")["part"][0]
    truncate(full / "parts" / part)
    with pytest.raises(UserError, match=f"{part}: the finished fit cannot be read .* run the workflow again"):
        embed([full, still], chosen, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (full / "parts" / part).unlink()
    embed([full, still], chosen, tmp_path / "out")
    assert tables(tmp_path / "out")["tsne"]["method"].tolist() == ["linear_probing"]


def test_the_command_reads_runs_only_where_pictures_are_asked_for(tmp_path):
    schemas.write("selected", schemas.empty("selected"), tmp_path / "selected.parquet")
    settings = settings_for("embeddings", experiment({"tsne": False}))
    paths = ["--tables", str(tmp_path), "--results", str(tmp_path), "--out", str(tmp_path / "out")]
    main(["embeddings", "--settings", json.dumps(settings), *paths])
    assert all(table.empty for table in tables(tmp_path / "out").values())
    with pytest.raises(SystemExit):
        main(["embeddings", "--settings", json.dumps(settings | {"pictures": True}), *paths])


# -- the figure ------------------------------------------------------------------------------------------------------


def test_the_figure_says_the_ratios_and_shows_what_is_no_number_as_empty(tmp_path):
    selected = made_up_tables.selected_rows(
        {name: [0.7, 0.8] for name in ("scratch", "full_ft", "fingerprint", "my_own")}
    )
    made = made_up_tables.pictures_of(selected)
    tables = made_up_tables.write_tables(tmp_path / "tables", selected, **made)
    figures.draw(tables, tmp_path / "figures", kinds=(embeddings_figure,))
    entries = {entry["kind"]: entry for entry in json.loads((tmp_path / "figures" / "figures.json").read_text())}
    assert "Full FT 2.00, From scratch undefined, my_own 2.00" in entries["embeddings"]["alt"]
    assert entries["embeddings"]["facets"]["dataset"] == ["bbbp"]
    without = made_up_tables.write_tables(tmp_path / "none", selected)
    figures.draw(without, tmp_path / "no_figures", kinds=(embeddings_figure,))
    assert "embeddings" not in {e["kind"] for e in json.loads((tmp_path / "no_figures" / "figures.json").read_text())}
