"""The kernel head, and the methods that fit it, in a cell: what teaches, what is predicted, what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem.Crippen import MolLogP

from molecule_tables import SMILES, molecule_table
from roftmol.core.errors import UserError
from roftmol.data.splits import SplitSettings, assign
from roftmol.features import array_file, descriptors, inputs
from roftmol.features.fingerprints import morgan_counts
from roftmol.features.inputs import Inputs
from roftmol.heads import forest, kernel_head
from roftmol.heads.kernel_head import Column
from roftmol.methods import METHODS
from roftmol.tables import schemas
from roftmol.tasks import TASKS
from roftmol.training.learners import LearnerSettings, run

LOG_P = np.array([MolLogP(Chem.MolFromSmiles(text)) for text in SMILES])
DESCRIPTORS = descriptors.descriptors(SMILES)
#: Made-up vectors, which know logP but for some noise.
VECTORS = np.random.default_rng(0).normal(size=(len(SMILES), 8)).astype(np.float32)
VECTORS[:, 0] = LOG_P + 0.3 * VECTORS[:, 0]
ALL = Inputs(len(SMILES), counts=morgan_counts(SMILES), descriptors=DESCRIPTORS, vectors=VECTORS)
TRAIN, TEST = np.arange(0, len(SMILES), 2), np.arange(1, len(SMILES), 2)
HEADS = ("ridge", "kernel", "hybrid", "classical", "descriptors")


def labels(classes: bool) -> np.ndarray:
    return (np.median(LOG_P) < LOG_P).astype(np.float32) if classes else LOG_P.astype(np.float32)


@pytest.mark.parametrize("classes", [False, True])
def test_a_column_learns_from_the_molecules_with_its_label_alone(classes: bool):
    y = labels(classes)
    Y = np.stack([y, np.where(np.arange(len(y)) % 3 == 0, np.nan, y), np.full(len(y), np.nan), np.ones(len(y))], 1)
    head = kernel_head.fit(ALL[TRAIN], Y[TRAIN], TASKS["classification" if classes else "regression"], 0)
    labelled = ~np.isnan(Y[TRAIN, 1])
    both = [column.rows for column in head.columns if isinstance(column, Column)]
    assert [len(rows) for rows in both] == [len(TRAIN), labelled.sum()]
    assert head.columns[2:] == (0.5 if classes else 0.0, 1.0)
    assert head.note == "2 of 4 tasks constant in training, predicted so"
    # Its kernels are standardised by all training molecules, so that fitting it alone differs by that at most.
    changed = Y[TRAIN].copy()
    changed[~labelled, 1] = np.nan
    again = kernel_head.fit(ALL[TRAIN], changed, TASKS["classification" if classes else "regression"], 0)
    assert np.array_equal(head.predict(ALL[TEST]).mean, again.predict(ALL[TEST]).mean)


def test_it_predicts_and_knows_how_surely():
    head = kernel_head.fit(ALL[TRAIN], labels(False)[TRAIN, None], TASKS["regression"], 0)
    predicted = head.predict(ALL[TEST])
    error = np.abs(predicted.mean[:, 0] - LOG_P[TEST])
    assert np.sqrt((error**2).mean()) < 0.5 * LOG_P[TEST].std()
    assert (error <= 1.645 * predicted.deviation[:, 0]).mean() > 0.8
    assert np.ptp(predicted.deviation) > 0.05 * predicted.deviation.mean()


def test_many_molecules_are_taken_in_parts_and_some_of_them_teach(monkeypatch: pytest.MonkeyPatch):
    y = labels(False)[:, None]
    whole = kernel_head.fit(ALL[TRAIN], y[TRAIN], TASKS["regression"], 0).predict(ALL[TEST])
    monkeypatch.setattr(kernel_head, "AT_ONCE", 7)
    parts = kernel_head.fit(ALL[TRAIN], y[TRAIN], TASKS["regression"], 0).predict(ALL[TEST])
    assert parts.mean == pytest.approx(whole.mean)
    assert parts.deviation == pytest.approx(whole.deviation)
    monkeypatch.setattr(kernel_head, "MOST", 30)
    few = kernel_head.fit(ALL[TRAIN], y[TRAIN], TASKS["regression"], 0)
    assert few.note == f"30 of {len(TRAIN)} training molecules teach, drawn"
    assert few.predict(ALL[TEST[:0]]).mean.shape == (0, 1)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("method", HEADS)
def test_heads_run_in_a_cell_and_learn(method: str, task: str, tmp_path: Path):
    y = labels(task == "classification")
    seeds = (0, 1) if method == "ridge" else (0,)  # that each seed is fitted does not hang on the head
    schemas.write("molecules", table := molecule_table(SMILES, y), tmp_path / "molecules.parquet")
    splits = assign(table, SplitSettings("honest", "own", "random", "60", seeds, task))
    schemas.write("splits", splits, tmp_path / "splits.parquet")
    array_file.save("descriptors", DESCRIPTORS, descriptors.MADE, tmp_path / "descriptors.safetensors")
    array_file.save("vectors", VECTORS, inputs.VECTORS, tmp_path / "vectors.safetensors")
    reads = METHODS[method].reads
    settings = LearnerSettings(
        **{"protocol": "honest", "dataset": "own", "split": "random", "budget": "60"},
        **{"seeds": seeds, "task": task, "metric": "rmse" if task == "regression" else "roc_auc"},
        **{"method": method, "grid": ({},), "model": METHODS[method].model or "an-encoder"},
    )
    run(
        settings,
        tmp_path,
        tmp_path / "splits.parquet",
        tmp_path / "out",
        tmp_path / "descriptors.safetensors" if "descriptors" in reads else None,
        tmp_path / "vectors.safetensors" if "vectors" in reads else None,
    )
    predictions = schemas.read("predictions", tmp_path / "out" / "predictions.parquet")
    assert set(predictions["model"]) == {METHODS[method].model or "an-encoder"}
    assert set(predictions["seed"]) == set(seeds)
    tested = predictions[predictions["partition"] == "test"]
    predicted = tested["prediction"].map(lambda values: values[0]).to_numpy()
    assert np.corrcoef(predicted, y[tested["molecule"]])[0, 1] > 0.5
    if task == "classification":
        assert ((predicted > 0) & (predicted < 1)).all()
    # The test is predicted by what both parts of the budget teach, validation by the training molecules alone.
    first = splits[splits["seed"] == 0]
    taught = first[first["role"].isin(["train", "valid"])]["molecule"].to_numpy()
    learner = METHODS[method].new_learner()
    given = Inputs(
        len(SMILES),
        counts=ALL.counts if "counts" in reads else None,
        descriptors=DESCRIPTORS if "descriptors" in reads else None,
        vectors=VECTORS if "vectors" in reads else None,
    )
    seed = seed_of_first_fit(settings)
    order = np.concatenate([first[first["role"] == role]["molecule"].to_numpy() for role in ("train", "valid")])
    assert set(order) == set(taught)
    test = tested[tested["seed"] == 0]
    fitted = learner.fit_predict(
        METHODS[method].parse({}),
        task,
        learner.features(given[order]),
        y[order, None].astype(np.float64),
        learner.features(given[test["molecule"].to_numpy()]),
        seed,
    )
    expected = test["prediction"].map(lambda values: values[0]).to_numpy()
    assert fitted.predictions[:, 0] == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("method", ["classical", "descriptors"])
def test_the_descriptors_that_a_head_reads_are_a_setting(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """RDKit's and GFN2-xTB's, each or neither: four settings in a cell, and the default is what it was without them."""
    monkeypatch.setattr(forest, "TREES", 5)
    y = labels(False)
    schemas.write("molecules", table := molecule_table(SMILES, y), tmp_path / "molecules.parquet")
    splits = assign(table, SplitSettings("honest", "own", "random", "60", (0,), "regression"))
    schemas.write("splits", splits, tmp_path / "splits.parquet")
    array_file.save("descriptors", DESCRIPTORS, descriptors.MADE, tmp_path / "descriptors.safetensors")
    gfn2 = np.ones((len(SMILES), len(inputs.GFN2_NAMES)), np.float32)
    gfn2[:, 0] = LOG_P  # made up
    array_file.save("gfn2", gfn2, inputs.GFN2, tmp_path / "gfn2.safetensors")
    settings = LearnerSettings(
        **{"protocol": "honest", "dataset": "own", "split": "random", "budget": "60", "seeds": (0,)},
        **{"task": "regression", "metric": "rmse", "method": method, "grid": ({},)},
    )
    paths = (tmp_path, tmp_path / "splits.parquet", tmp_path / "out")
    rdkit = tmp_path / "descriptors.safetensors"

    def predicted(settings: LearnerSettings, gfn2: Path | None = None) -> dict[str, np.ndarray]:
        run(settings, *paths, rdkit, gfn2=gfn2)
        rows = schemas.read("predictions", paths[-1] / "predictions.parquet")
        return {str(of): np.concatenate(part["prediction"].tolist()) for of, part in rows.groupby("setting")}

    alone = predicted(settings)
    choices = ("none", "rdkit", "gfn2", "both")
    all_four = replace(settings, grid=tuple({"descriptors": choice} for choice in choices))
    with pytest.raises(UserError, match=rf"{method} reads a file of gfn2, and none is given. Give one by --gfn2"):
        predicted(all_four)
    together = predicted(all_four, tmp_path / "gfn2.safetensors")
    assert together.keys() == {"{}", *(f'{{"descriptors":"{choice}"}}' for choice in choices if choice != "rdkit")}
    assert np.array_equal(together["{}"], alone["{}"])
    assert len({values.tobytes() for values in together.values()}) == 4
    counts = predicted(replace(settings, grid=({"descriptors": "none"},)))
    assert np.array_equal(counts['{"descriptors":"none"}'], together['{"descriptors":"none"}'])


def seed_of_first_fit(settings: LearnerSettings) -> int:
    from roftmol.core.seeds import seed_of

    return seed_of(*settings.cell.values(), 0, 0)


def test_shuffled_labels_are_not_learnt():
    """Of ten shuffles, none is predicted much better than by the mean."""
    ratios = []
    for seed in range(10):
        y = np.random.default_rng(seed).permutation(LOG_P)
        head = kernel_head.fit(ALL[TRAIN], y[TRAIN, None], TASKS["regression"], seed)
        error = head.predict(ALL[TEST]).mean[:, 0] - y[TEST]
        ratios.append(np.sqrt((error**2).mean()) / np.sqrt(((y[TEST] - y[TRAIN].mean()) ** 2).mean()))
    assert 0.97 < np.mean(ratios) < 1.1


def test_a_missing_file_of_descriptors_is_named(tmp_path: Path):
    table: pd.DataFrame = molecule_table(SMILES, labels(False))
    schemas.write("molecules", table, tmp_path / "molecules.parquet")
    splits = assign(table, SplitSettings("honest", "own", "random", "60", (0,), "regression"))
    schemas.write("splits", splits, tmp_path / "splits.parquet")
    settings = LearnerSettings("honest", "own", "random", "60", (0,), "regression", "rmse", "classical", ({},))
    (tmp_path / "d.safetensors").write_bytes(b"half")
    from roftmol.core.errors import UserError

    with pytest.raises(UserError, match=r"d\.safetensors: no file of descriptors"):
        run(replace(settings), tmp_path, tmp_path / "splits.parquet", tmp_path / "out", tmp_path / "d.safetensors")
    assert not (tmp_path / "out").exists()
