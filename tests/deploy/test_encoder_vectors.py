"""The frozen encoder as scikit-learn's other transformers: in pipelines, with names, with errors that say the row."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks

from estimator_checks import CHECKS
from roftmol import EncoderVectors
from small_dataset import SMILES, labels_of_size

VALUES = labels_of_size()[:, 0]
GIN = "gin-distilled"


@pytest.mark.parametrize("check", CHECKS)
def test_scikit_learns_own_checks(check: str):
    getattr(estimator_checks, check)("EncoderVectors", EncoderVectors())


def test_a_pooled_vector_is_the_mean_of_what_is_summed():
    vectors = EncoderVectors(GIN).fit(SMILES)
    names = vectors.get_feature_names_out()
    pooled, summed = (np.flatnonzero([name.startswith(part) for name in names]) for part in ("pooled", "summed"))
    found = vectors.transform(SMILES)
    assert found.shape == (len(SMILES), len(names))
    sizes = np.exp(VALUES)[:, None]  # their logarithms are the labels
    np.testing.assert_allclose(found[:, pooled] * sizes, found[:, summed], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(vectors)).transform(SMILES), found)
    np.testing.assert_array_equal(clone(vectors).fit_transform(SMILES), found)
    with pytest.raises(ValueError, match=r"X: row 1, 'C\('"):
        vectors.transform(["C", "C("])


def test_other_models_of_scikit_learn_learn_from_the_vectors():
    pipeline = make_pipeline(EncoderVectors(GIN), StandardScaler(), RidgeCV(np.logspace(0, 4, 9)))
    assert cross_val_score(pipeline, SMILES, VALUES, cv=3).mean() > 0
    frame = pd.DataFrame({"SMILES": SMILES, "size": VALUES}, index=range(7, 7 + len(SMILES)))
    beside = ColumnTransformer([("vectors", EncoderVectors(GIN), "SMILES")], remainder="passthrough")
    table = beside.set_output(transform="pandas").fit_transform(frame)
    assert table.index.equals(frame.index)
    assert table.columns[[0, -1]].tolist() == ["vectors__pooled0", "remainder__size"]


def test_parameters_are_checked():
    with pytest.raises(ValueError, match=r"'encoder' parameter .* Got 3"):
        EncoderVectors(3).fit(SMILES)
    with pytest.raises(ValueError, match="'bert' is neither a file nor registered"):
        EncoderVectors("bert").fit(SMILES)
