"""Kernels: by hand and against RDKit and scikit-learn; what training has not seen changes nothing of it."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import TanimotoSimilarity
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import rbf_kernel

from roftmol.features.fingerprints import BITS, RADIUS, morgan_counts
from roftmol.features.inputs import Inputs
from roftmol.heads.kernels import Kernels, linear, rbf, tanimoto
from roftmol.heads.standardiser import CLIP, Standardiser

SMILES = ["CCO", "CCCCCCCC", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C1CCNCC1", "OC(=O)c1ccccc1"]


def made_up(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_tanimoto_of_counts_is_rdkits():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    prints = [generator.GetCountFingerprint(Chem.MolFromSmiles(text)) for text in SMILES]
    expected = [[TanimotoSimilarity(one, other) for other in prints] for one in prints]
    counts = morgan_counts(SMILES)
    assert tanimoto(counts, counts) == pytest.approx(np.array(expected), abs=1e-12)


def test_tanimoto_is_by_hand():
    """min / max of (2, 0, 1) and (1, 3, 1): 2 / 6; two molecules without any environment are alike."""
    counts, others = csr_matrix([[2.0, 0, 1], [0, 0, 0]]), csr_matrix([[1.0, 3, 1], [0, 0, 0]])
    assert tanimoto(counts, others) == pytest.approx(np.array([[1 / 3, 0.0], [0.0, 1.0]]))
    assert tanimoto(counts[1:], others[1:]) == pytest.approx(np.ones((1, 1)))


def test_linear_and_rbf_are_scikit_learns():
    X, others = made_up(7, 5), made_up(4, 5, seed=1)
    assert rbf(X, others) == pytest.approx(rbf_kernel(X, others, gamma=1 / 10))
    assert linear(X, others) == pytest.approx(X @ others.T / 5)


def test_the_standardiser_knows_the_training_molecules_alone():
    X = made_up(20, 4)
    X[:, 1] = 3.0  # constant: left out
    X[2, 2] = np.nan  # undefined: as if it were the mean
    standardiser = Standardiser.of(X)
    Z = standardiser(X)
    assert standardiser.columns.tolist() == [0, 2, 3]
    assert Z[:, [0, 2]].mean(0) == pytest.approx(0, abs=1e-12)
    assert Z[:, [0, 2]].std(0) == pytest.approx(1)
    assert Z[2, 1] == 0
    assert standardiser(np.array([[1e6, 0, -np.inf, -1e6]])).tolist() == [[CLIP, 0, -CLIP]]


@pytest.mark.parametrize("value", [0.1, 1e8, 1e-12])
def test_what_rounding_leaves_of_a_constant_is_no_column(value: float):
    assert not len(Standardiser.of(np.full((7, 1), value)).columns)


def test_kernels_go_over_what_there_is():
    counts = morgan_counts(SMILES)
    train = Inputs(6, vectors=made_up(6, 3), descriptors=made_up(6, 4), counts=counts)
    kernels = Kernels.of(train)
    assert kernels.names == (
        *("vectors, linear", "vectors, RBF", "descriptors, linear", "descriptors, RBF"),
        "counts, Tanimoto",
    )
    square = kernels.between()
    assert square.shape == (5, 6, 6)
    assert square == pytest.approx(kernels.between(train))
    assert kernels.diagonal(train) == pytest.approx(np.diagonal(square, axis1=1, axis2=2))
    assert np.linalg.eigvalsh(square).min() > -1e-9  # each is a kernel
    others = train[np.array([4, 1])]
    assert kernels.between(others) == pytest.approx(square[:, [4, 1]])
    assert Kernels.of(Inputs(6, counts=counts)).names == ("counts, Tanimoto",)
    assert Kernels.of(Inputs(6, counts=counts, vectors=np.ones((6, 3)))).names == ("counts, Tanimoto",)
