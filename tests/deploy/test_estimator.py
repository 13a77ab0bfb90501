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
from estimator_checks import CHECKS
from roftmol import RoftMolClassifier, RoftMolRegressor
from small_dataset import SMILES, labels_of_size

VALUES = labels_of_size()[:, 0]
GIN = "gin-zinc-qm9-supervised"
QUICK = {"encoder": GIN, "members": 2, "epochs": 2}
LINEAR = {"members": 2, "setting": {"learner": "linear", "alpha": 1.0}}


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
    found = GridSearchCV(RoftMolRegressor("full_ft", encoder=GIN), {"method": ["ridge", "classical"]}, cv=2)
    assert found.fit(SMILES, VALUES).best_params_["method"] in ("ridge", "classical")


def test_a_column_of_a_frame_is_a_list_of_smiles():
    frame = pd.DataFrame({"name": range(len(SMILES)), "SMILES": SMILES, "size": VALUES}).sample(frac=1, random_state=0)
    values = frame["size"].to_list()
    expected = RoftMolRegressor("fingerprint", **LINEAR).fit(frame["SMILES"].to_list(), values).predict(SMILES)
    for X, y in [
        (frame["SMILES"], frame["size"]),
        (frame["SMILES"].astype("category"), frame["size"]),
        (frame[["SMILES"]], frame[["size"]]),
        (frame, frame["size"]),
        (frame["SMILES"].to_numpy()[:, None], frame["size"].to_numpy()[:, None]),
    ]:
        np.testing.assert_array_equal(RoftMolRegressor("fingerprint", **LINEAR).fit(X, y).predict(SMILES), expected)
    model = RoftMolRegressor("fingerprint", **LINEAR)
    with pytest.warns(UserWarning, match="SMILES are read from 'what'"):
        model.fit(frame.rename(columns={"SMILES": "what"}).astype({"name": str}), values)
    np.testing.assert_array_equal(model.predict(SMILES), expected)
    with pytest.raises(ValueError, match="'CCO' is one text; give a list of SMILES"):
        model.predict("CCO")
    table = model.bundle_.predict(frame)
    assert table.index.tolist() == frame.index.tolist()
    np.testing.assert_allclose(table["prediction"].sort_index(), expected, rtol=1e-6)


def test_what_is_no_smiles_is_nan_where_that_is_asked():
    rows = ["CCO", "C(", None, float("nan"), pd.NA, "", "c1ccccc1"]
    readable = np.array([True, *5 * [False], True])
    values = RoftMolRegressor("fingerprint", **LINEAR).fit(SMILES, VALUES)
    halves = np.where(np.median(VALUES) < VALUES, "large", "small")
    for predict, width in [(values.predict, ()), (values.predict_interval, (2,))]:
        found = predict(rows, errors="coerce")
        assert found.shape == (len(rows), *width)
        assert np.isfinite(found[readable]).all()
        assert np.isnan(found[~readable]).all()
        np.testing.assert_array_equal(found[readable], predict(["CCO", "c1ccccc1"]))
    assert values.predict(pd.Series(dtype=str), errors="coerce").shape == (0,)
    for y, kind in [(halves, object), (halves == "large", float)]:
        classes = RoftMolClassifier("fingerprint", **LINEAR).fit(SMILES, y)
        assert np.isnan(classes.predict_proba(rows, errors="coerce")).any(1).tolist() == (~readable).tolist()
        found = classes.predict(rows, errors="coerce")
        assert found.dtype == kind
        assert pd.isna(found).tolist() == (~readable).tolist()
        assert found[readable].tolist() == classes.predict(["CCO", "c1ccccc1"]).tolist()
    with pytest.raises(ValueError, match=r"row 1, 'C\('"):
        values.predict(["C", "C("])
    with pytest.raises(ValueError, match="row 1, None, is no text"):
        values.predict(["C", None], errors="raise")
    with pytest.raises(ValueError, match="errors: 'ignore' is not known; choose raise or coerce"):
        values.predict(["C"], errors="ignore")


def test_a_bar_shows_fits_and_predictions_where_that_is_asked(capsys):
    model = RoftMolRegressor("fingerprint", **LINEAR, verbose=True)
    model.fit(SMILES, VALUES)
    shown = capsys.readouterr().err
    assert "12/12" in shown  # two members, with all labels and five times without a part
    model.predict(SMILES)
    assert f"{len(SMILES)}/{len(SMILES)}" in capsys.readouterr().err
    model.set_params(verbose=False).predict(SMILES)
    assert not capsys.readouterr().err
    RoftMolRegressor("classical", verbose=1).fit(SMILES, VALUES)
    assert "6/6" in capsys.readouterr().err


def test_what_is_shown_of_a_model_is_short(capsys):
    model = RoftMolRegressor("fingerprint", **LINEAR).fit(SMILES, VALUES)
    assert repr(model).startswith("RoftMolRegressor(members=2, method='fingerprint',")
    assert repr(model.bundle_).startswith("<Bundle: Fingerprint, predicts y from 24 molecules, RMSE ")
    head = RoftMolClassifier("classical").fit(SMILES, np.median(VALUES) < VALUES)
    assert repr(head.bundle_).startswith("<Bundle: Classical, predicts y from 24 molecules, ROC-AUC ")
    for fitted in (model, head):
        assert len(repr(fitted.bundle_.members)) < 300


def test_parameters_of_numpy_can_be_saved(tmp_path):
    numbers = {"members": np.int64(2), "level": np.float32(0.8), "random_state": np.random.RandomState(0)}
    numbers |= {"epochs": np.int64(3), "setting": LINEAR["setting"]}
    RoftMolRegressor("fingerprint", **numbers).fit(SMILES, VALUES).save(tmp_path / "a.roftmol")
    assert roftmol.read_bundle(tmp_path / "a.roftmol").card["training"]["epochs"] == 3


def test_none_draws_another_seed_each_time():
    drawn = {RoftMolRegressor("constant", random_state=None).fit(SMILES, VALUES).bundle_.card["seed"] for _ in range(2)}
    assert len(drawn) == 2


def test_a_bundle_names_classes_that_are_not_0_and_1():
    halves = (np.median(VALUES) < VALUES).astype(int)
    plain = RoftMolClassifier("fingerprint", **LINEAR).fit(SMILES, halves)
    assert "classes" not in plain.bundle_.card
    named = RoftMolClassifier("fingerprint", **LINEAR).fit(SMILES, np.where(halves, "active", "inactive"))
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
        (RoftMolRegressor(), ["C", "CC"], [1, np.nan], "y: row 1 is nan; give a finite number a molecule"),
        (RoftMolRegressor(), ["C", "CC"], [1, None], "y: row 1, None, is no number"),
        (RoftMolRegressor(), ["C", "CC"], [1, "high"], "y: row 1, 'high', is no number"),
        (RoftMolRegressor(), ["C", "CC"], [1, 1e38], "y: row 1 is 1e"),
        (RoftMolRegressor(), ["C", "CC"], 3.0, "y: give a list of numbers"),
        (RoftMolRegressor(), ["C", "CC"], [[1, 2], [3, 4]], r"y: row 0, \[1, 2\], is no number"),
        (RoftMolRegressor(), ["C", "CC"], np.ones((2, 2)), "y: 2 columns were given; give one"),
        (RoftMolRegressor(), [], [], "this one is empty"),
        (RoftMolRegressor(), None, [], "a NoneType was given; give a list of SMILES"),
        (RoftMolRegressor(), {"C", "CC"}, [1, 2], "a set was given; give a list of SMILES"),
        (RoftMolRegressor(), {"smiles": ["C"]}, [1], "a dict was given; give a list of SMILES"),
        (RoftMolRegressor(), SMILES[:4], VALUES[:4], "4 different molecules are too few; hybrid needs 5 at least"),
        (
            RoftMolRegressor("full_ft"),
            SMILES[:6],
            VALUES[:6],
            "5 different molecules .*; full_ft needs 7",
        ),
        (RoftMolRegressor("ridge", setting={"x": 1}, encoder=GIN), SMILES, VALUES, "unknown setting 'x'"),
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
        (RoftMolRegressor(), pd.DataFrame({"a": ["CCC"], "b": ["CCC"]}), [1], "which of its 2 columns holds SMILES"),
        (RoftMolRegressor(), pd.DataFrame([["C", "C"]], columns=["smi", "smi"]), [1], "which of its 2 columns"),
        (RoftMolRegressor(), pd.DataFrame([["CCC", "CCC"]], columns=["a", "a"]), [1], "2 columns are called 'a'"),
        (RoftMolRegressor(), np.array([["C", "C"]]), [1], "X: 2 columns were given; give one"),
        (RoftMolRegressor(members=0), SMILES, VALUES, r"'members' parameter .* range \[2, 100\]. Got 0"),
        (RoftMolRegressor(members=1), SMILES, VALUES, r"'members' parameter .* range \[2, 100\]. Got 1"),
        (RoftMolRegressor(members=101), SMILES, VALUES, r"'members' parameter .* range \[2, 100\]. Got 101"),
        (RoftMolRegressor(epochs=0), SMILES, VALUES, r"'epochs' parameter .* range \[1, inf\). Got 0"),
        (RoftMolRegressor(random_state=-1), SMILES, VALUES, r"'random_state' parameter .* Got -1"),
        (RoftMolRegressor(encoder=None), SMILES, VALUES, r"'encoder' parameter .* Got None"),
        (RoftMolClassifier(), ["C", "CC"], np.array([1, "a"], object), "labels of several types"),
        (RoftMolRegressor(level=90), SMILES, VALUES, r"'level' parameter .* range \(0.0, 1.0\). Got 90"),
    ],
)
def test_bad_input_is_named(model, X, y, told):
    with pytest.raises(ValueError, match=told):
        model.fit(X, y)
