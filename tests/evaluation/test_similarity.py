"""Errors by similarity to what was learnt: similarities of real molecules, and bins by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import TanimotoSimilarity

from cell_entries import CELL, cell_of, entries_of
from roftmol.core.errors import UserError
from roftmol.evaluation.diagnostics import similarity
from roftmol.evaluation.diagnostics.cells import Data, entries
from roftmol.tables import schemas


def test_known_similarities(tmp_path):
    # ethanol was learnt; in folds 0 and 1 together, so was benzene
    roles = [(0, 0, "train"), (0, 1, "test"), (0, 2, "test"), (0, 3, "valid"), (0, 4, "test")]
    roles += [(1, 5, "train"), *((1, molecule, "test") for molecule in (1, 2, 4))]
    smiles = ["CCO", "OCC", "CCN", "CCCCCC", "c1ccccc1C", "c1ccccc1"]
    cell = cell_of([0, 0, 0], [1, 2, 4], [0, 0, 0])
    write_split(tmp_path, [(0, *role) for role in roles])
    data = {"d": Data("regression", smiles, np.zeros((6, 1)), np.ones(1))}
    found = similarity.Neighbours(tmp_path, data).of(cell, entries(cell, data["d"]))
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint
    prints = [make(Chem.MolFromSmiles(text)) for text in smiles]
    assert found == pytest.approx(
        [1.0, TanimotoSimilarity(prints[2], prints[0]), TanimotoSimilarity(prints[4], prints[5])]
    )
    # ethanol has six environments: O, CH2, CH3, and those of radius 1 about each
    assert found[1] == pytest.approx(1 / 3)


def test_what_only_validates_was_not_learnt(tmp_path):
    # The test molecule's twin is validated, and trained on with another seed.
    rows = [(0, 0, 0, "train"), (0, 0, 1, "valid"), (0, 0, 2, "test")]
    write_split(tmp_path, [*rows, (1, 0, 1, "train"), (1, 0, 0, "valid"), (1, 0, 2, "test")])
    data = {"d": Data("regression", ["CCCCCC", "OCC", "CCO"], np.zeros((3, 1)), np.ones(1))}
    cell = cell_of([0, 1], [2, 2], [0, 0])
    first, second = similarity.Neighbours(tmp_path, data).of(cell, entries(cell, data["d"]))
    assert first < 0.5
    assert second == 1


def write_split(folder, rows, dataset: str = "d") -> None:
    frame = pd.DataFrame(rows, columns=["seed", "fold", "molecule", "role"])
    frame = frame.assign(protocol="honest", dataset=dataset, split="random", budget="50")
    schemas.write("splits", frame, folder / "honest" / dataset / "random-50.parquet")


def test_molecules_of_two_data_sets_have_the_same_numbers_and_are_not_the_same(tmp_path):
    # What was learnt is ethanol in both; tested are ethanol in the first and hexane in the second.
    sets = {"d": ["CCO", "OCC"], "e": ["CCO", "CCCCCC"]}
    data = {name: Data("regression", smiles, np.zeros((2, 1)), np.ones(1)) for name, smiles in sets.items()}
    for name in sets:
        write_split(tmp_path, [(0, 0, 0, "train"), (0, 0, 1, "test")], name)
    cells = {name: cell_of([0], [1], [0], name) for name in sets}
    neighbours = similarity.Neighbours(tmp_path, data)
    found = {name: neighbours.of(cell, entries(cell, data[name])).item() for name, cell in cells.items()}
    assert found["d"] == 1
    assert found["e"] < 0.5


def test_a_split_of_another_run_is_refused(tmp_path):
    write_split(tmp_path, [(0, 0, 0, "train"), (0, 0, 1, "test")])
    cell = cell_of([0], [2], [0])
    data = {"d": Data("regression", ["CCO", "CCN", "CCC"], np.zeros((3, 1)), np.ones(1))}
    with pytest.raises(UserError, match=r"random-50\.parquet: its test molecules of seed 0"):
        similarity.Neighbours(tmp_path, data).of(cell, entries(cell, data["d"]))


def test_errors_by_bin_by_hand():
    found = entries_of([0.0] * 5, [1.0, 3.0, 0.5, 1.5, 2.0])
    rows = similarity.errors(CELL, found, np.array([0.05, 0.15, 0.2, 0.25, 1.0]), "regression")
    assert [(row["lower"], row["upper"], row["entries"]) for row in rows] == [(0, 0.2, 2), (0.2, 0.3, 2), (0.8, 1, 1)]
    assert rows[0]["value"] == pytest.approx(math.sqrt(5))
    # squared errors 1 and 9: deviation sqrt(32), standard error 4, by the derivative of the root 4 / (2 sqrt 5)
    assert rows[0]["error"] == pytest.approx(2 / math.sqrt(5))
    assert np.isnan(rows[2]["error"])
    (brier, *_) = similarity.errors(CELL, found, np.zeros(5), "classification")
    assert brier["value"] == pytest.approx(np.mean([1, 9, 0.25, 2.25, 4]))


def test_the_standard_error_does_not_shrink_by_repeating():
    values = np.random.default_rng(0).normal(size=40)
    mean, error = similarity.clustered(values, np.arange(40))
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(40))
    assert similarity.clustered(np.tile(values, 5), np.tile(np.arange(40), 5)) == pytest.approx((mean, error))
