"""The estimators as scikit-learn uses them: its own checks where they fit lists of SMILES, and its cross-validation."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils import estimator_checks

import roftmol
from roftmol import RoftMolClassifier, RoftMolRegressor
from small_dataset import SMILES, labels_of_size

VALUES = labels_of_size()[:, 0]
GIN = "gin-zinc-qm9-supervised"
QUICK = {"encoder": GIN, "members": 2, "epochs": 2}
#: Checks that give no table of numbers; all others do, and a molecule is no row of numbers.
CHECKS = (
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_valid_tag_types",
    "check_get_params_invariance",
    "check_set_params",
    "check_mixin_order",
)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("estimator", [RoftMolRegressor(), RoftMolClassifier()], ids=lambda one: type(one).__name__)
def test_scikit_learns_own_checks(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)


def test_regression():
    model = RoftMolRegressor("linear_probing", encoder=GIN, members=3, epochs=100, learning_rate=0.01)
    assert model.fit(SMILES, VALUES) is model
    assert model.predict(SMILES).shape == VALUES.shape
    assert model.score(SMILES, VALUES) > 0.1
    again = clone(model).fit(SMILES, VALUES)
    np.testing.assert_array_equal(again.predict(SMILES), model.predict(SMILES))
    np.testing.assert_allclose(pickle.loads(pickle.dumps(model)).predict(SMILES), model.predict(SMILES), rtol=1e-6)


def test_a_salt_tells_nothing_of_how_well_its_parent_is_predicted():
    """Labels that nothing decides, each given twice: a model that had the other form of a molecule would know it."""
    values = np.random.default_rng(0).normal(size=len(SMILES))
    forms = [*SMILES, *(f"{text}.Cl" for text in SMILES)]
    card = RoftMolRegressor("classical").fit(forms, np.tile(values, 2)).bundle_.card
    assert card["out_of_sample"]["score"] > 0.9 * card["out_of_sample"]["constant"]


def test_the_default_is_what_a_recommendation_takes_by_default(tmp_path, monkeypatch):
    """The hybrid head, on the encoder that comes with the package where there is no network."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no archive from elsewhere
    rows = np.arange(len(SMILES)) % 3 > 0
    train, test = np.array(SMILES)[rows], np.array(SMILES)[~rows]
    with pytest.warns(UserWarning, match="The encoder is gin-distilled, which comes with the package"):
        model = RoftMolRegressor().fit(train, VALUES[rows])
    assert (model.bundle_.card["method"], model.bundle_.card["model"]) == ("hybrid", "gin-distilled")
    mean, std = model.predict(test, return_std=True)
    np.testing.assert_array_equal(mean, model.predict(test))
    low, high = model.predict_interval(test).T
    assert std.shape == mean.shape
    assert len(np.unique(std)) > 1
    np.testing.assert_allclose(std * 2 * 1.6448536, high - low, rtol=1e-6)  # the normal distribution's 90%
    assert ((low <= VALUES[~rows]) & (VALUES[~rows] <= high)).mean() > 0.7
    classes = np.where(np.median(VALUES) < VALUES, "large", "small")
    with pytest.warns(UserWarning, match="ROFTMOL_OFFLINE is set"):
        classifier = RoftMolClassifier().fit(train, classes[rows])
    assert classifier.score(test, classes[~rows]) > 0.7


def test_classification_with_any_two_labels():
    y = np.where(np.median(VALUES) < VALUES, "large", "small")
    model = RoftMolClassifier("fingerprint", setting={"learner": "forest"}, members=3).fit(SMILES, y)
    assert model.classes_.tolist() == ["large", "small"]
    p = model.predict_proba(SMILES)
    np.testing.assert_allclose(p.sum(1), 1)
    assert (model.predict(SMILES) == np.where(p[:, 0] > p[:, 1], "large", "small")).mean() == 1
    assert model.score(SMILES, y) > 0.7


def test_cross_validation_and_grid_search():
    assert np.isfinite(cross_val_score(RoftMolRegressor("linear_probing", **QUICK), SMILES, VALUES, cv=2)).all()
    found = GridSearchCV(RoftMolRegressor("full_ft", **QUICK), {"method": ["fingerprint", "linear_probing"]}, cv=2)
    assert found.fit(SMILES, VALUES).best_params_["method"] in ("fingerprint", "linear_probing")


def test_a_column_of_a_frame_is_a_list_of_smiles():
    frame = pd.DataFrame({"smiles": SMILES, "size": VALUES})
    expected = RoftMolRegressor("fingerprint", members=2).fit(SMILES, VALUES).predict(SMILES)
    for X, y in [
        (frame["smiles"], frame["size"]),
        (frame[["smiles"]], frame[["size"]]),
        (frame["smiles"].to_numpy()[:, None], VALUES[:, None]),
    ]:
        model = RoftMolRegressor("fingerprint", members=2).fit(X, y)
        np.testing.assert_array_equal(model.predict(X), expected)
    with pytest.raises(ValueError, match="'CCO' is one text; give a list of SMILES"):
        model.predict("CCO")


def test_a_bundle_names_classes_that_are_not_0_and_1():
    halves = (np.median(VALUES) < VALUES).astype(int)
    plain = RoftMolClassifier("fingerprint", members=2).fit(SMILES, halves)
    assert "classes" not in plain.bundle_.card
    named = RoftMolClassifier("fingerprint", members=2).fit(SMILES, np.where(halves, "active", "inactive"))
    assert named.bundle_.card["classes"] == ["active", "inactive"]
    p = named.bundle_.predict(SMILES)["probability"]
    np.testing.assert_allclose(p, named.predict_proba(SMILES)[:, 1])


def test_a_saved_model_is_a_bundle(tmp_path):
    model = RoftMolRegressor("linear_probing", **QUICK).fit(SMILES, VALUES)
    model.save(tmp_path / "a.roftmol")
    found = roftmol.read_bundle(str(tmp_path / "a.roftmol")).predict(SMILES)["prediction"]
    np.testing.assert_allclose(found, model.predict(SMILES), rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "X", "y", "told"),
    [
        (RoftMolRegressor(), ["C", "C("], [1, 2], "row 1, 'C\\('"),
        (RoftMolRegressor(), ["C", 3], [1, 2], "a list of SMILES"),
        (RoftMolRegressor(), ["C", "CC"], [1, np.nan], "one finite number"),
        (RoftMolRegressor(), ["C", "CC"], [1], "2 SMILES and 1 labels"),
        (RoftMolRegressor("full"), ["C", "CC"], [1, 2], "'full' is not known; choose auto or one of full_ft"),
        (
            RoftMolRegressor(encoder="bert"),
            SMILES,
            VALUES,
            "'bert' is neither a file nor registered; choose one of gin",
        ),
        (RoftMolClassifier(), ["C", "CC"], [1, 1], "1 classes"),
        (RoftMolClassifier(), ["C", "CC", "CCC"], [1, np.nan, 0], "the label in row 1 is missing"),
        (RoftMolClassifier(), ["C", "CC"], ["a", None], "the label in row 1 is missing"),
        (RoftMolRegressor(), "CCO", [1, 2, 3], "'CCO' is one text; give a list of SMILES"),
        (RoftMolRegressor(), pd.DataFrame({"a": ["C"], "b": ["C"]}), [1], "X: 2 columns were given; give one"),
        (RoftMolRegressor(members=0), SMILES, VALUES, r"'members' parameter .* range \[2, 100\]. Got 0"),
        (RoftMolRegressor(members=1), SMILES, VALUES, r"'members' parameter .* range \[2, 100\]. Got 1"),
        (RoftMolRegressor(members=101), SMILES, VALUES, r"'members' parameter .* range \[2, 100\]. Got 101"),
        (RoftMolRegressor(level=90), SMILES, VALUES, r"'level' parameter .* range \(0.0, 1.0\). Got 90"),
    ],
)
def test_bad_input_is_named(model, X, y, told):
    with pytest.raises(ValueError, match=told):
        model.fit(X, y)
