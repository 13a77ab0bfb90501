from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator

from molecule_tables import SMILES, molecule_table
from roftmol.core.errors import UserError
from roftmol.core.records import build
from roftmol.data import splits
from roftmol.features.fingerprints import BITS, morgan_counts
from roftmol.methods import METHODS, setting_text
from roftmol.methods.fingerprint import GRID, TREES, Settings, fit_predict
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.training.learners import LearnerSettings, run

#: log10 of the solubility in water, mol/l, at room temperature; textbook values, rounded.
SOLUBILITY = {
    "CCCO": 0.6, "CCCCO": 0.0, "CCCCCO": -0.6, "CCCCCCO": -1.2, "CCCCCCCO": -1.8, "CCCCCCCCO": -2.4,
    "CCCCCCCCCO": -3.0, "CCCCC": -3.2, "CCCCCC": -3.8, "CCCCCCC": -4.5, "CCCCCCCC": -5.2, "c1ccccc1": -1.6,
    "Cc1ccccc1": -2.2, "CCc1ccccc1": -2.8, "CCCc1ccccc1": -3.4, "CCCCc1ccccc1": -4.1, "c1ccc2ccccc2c1": -3.6,
    "c1ccc2cc3ccccc3cc2c1": -6.4, "Clc1ccccc1": -2.4, "Oc1ccccc1": 0.0, "Nc1ccccc1": -0.4, "C1CCCCC1": -3.1,
    "CC(=O)Nc1ccc(O)cc1": -1.0, "CC(=O)Oc1ccccc1C(=O)O": -1.7, "CN1C=NC2=C1C(=O)N(C(=O)N2C)C": -0.9,
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O": -3.8, "NC(N)=O": 0.9, "CCOC(C)=O": 0.0, "CCOCC": -0.1, "ClC(Cl)Cl": -1.2,
}  # fmt: skip
LOG_S = np.array([*SOLUBILITY.values()])
X = morgan_counts([*SOLUBILITY])
RIDGE, FOREST = Settings("linear", 1.0), Settings("forest")


def predict(setting: Settings, task: str, y: np.ndarray, smiles: list[str], seed: int = 0) -> np.ndarray:
    return fit_predict(setting, task, X, y.reshape(len(LOG_S), -1), morgan_counts(smiles), seed).predictions


def test_counts_are_rdkits_and_do_not_depend_on_the_order_of_atoms() -> None:
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS)
    for row, text in zip(X.toarray(), SOLUBILITY, strict=True):
        assert np.array_equal(row, generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(text)))
    aspirin = morgan_counts(["CC(=O)Oc1ccccc1C(=O)O", "OC(=O)c1ccccc1OC(C)=O"]).toarray()
    assert np.array_equal(*aspirin)
    assert morgan_counts(["c1ccccc1"]).max() == 6  # six equal atoms


@pytest.mark.parametrize("alpha", [1.0, 10.0])
def test_ridge_is_the_closed_form(alpha: float) -> None:
    new = ["CCCCCCCCCCO", "Cc1ccccc1C", "CCN"]
    Z = X.toarray() - X.toarray().mean(axis=0)
    Z_new = morgan_counts(new).toarray() - X.toarray().mean(axis=0)
    y = LOG_S - LOG_S.mean()
    expected = LOG_S.mean() + Z_new @ Z.T @ np.linalg.solve(Z @ Z.T + alpha * np.eye(len(y)), y)
    assert predict(Settings("linear", alpha), "regression", LOG_S, new)[:, 0] == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("setting", [RIDGE, FOREST])
def test_shifted_and_scaled_targets_shift_and_scale_the_predictions(setting: Settings) -> None:
    new = ["CCCCCCCCCCO", "Cc1ccccc1C"]
    plain = predict(setting, "regression", LOG_S, new)
    moved = predict(setting, "regression", 100 + 10 * LOG_S, new)
    assert moved == pytest.approx(100 + 10 * plain, abs=0.1)


def test_longer_alcohols_dissolve_less() -> None:
    predicted = predict(RIDGE, "regression", LOG_S, ["C" * length + "O" for length in (4, 6, 8, 10, 12)])[:, 0]
    assert (np.diff(predicted) < 0).all()


@pytest.mark.parametrize("setting", GRID)
def test_the_soluble_are_told_from_the_insoluble(setting: Settings) -> None:
    y = (LOG_S > -2).astype(float)
    new = ["CCCCN", "CC(C)O", "OCCO", "CC(N)=O", "CCCCCCCCC", "CC1CCCCC1", "CCCCCc1ccccc1", "Cc1ccc2ccccc2c1"]
    soluble = np.array([[1], [1], [1], [1], [0], [0], [0], [0]])
    probability = predict(setting, "classification", y, new)
    assert ((probability > 0) & (probability < 1)).all()
    assert metrics.primary("roc_auc", soluble, probability) > 0.9


@pytest.mark.parametrize("alpha", [1.0, 100.0])
def test_the_intercept_of_logistic_regression_is_not_penalised(alpha: float) -> None:
    y = (LOG_S > -4).astype(float)  # the gradient for the intercept is zero where probabilities sum to the positives
    assert predict(Settings("linear", alpha), "classification", y, [*SOLUBILITY]).mean() == pytest.approx(
        y.mean(), abs=1e-3
    )


@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_logistic_regression_is_the_least_of_its_log_losses_and_penalty(alpha: float) -> None:
    # At the least of sum of log losses + alpha / 2 ||w||^2, the weights are w = -X'(p - y) / alpha.
    y = (LOG_S > -2).astype(float)
    p = predict(Settings("linear", alpha), "classification", y, [*SOLUBILITY])[:, 0]
    w = -X.T @ (p - y) / alpha
    intercept = np.log(p / (1 - p)) - X @ w
    assert intercept == pytest.approx(intercept.mean(), abs=0.03)


def test_a_forest_whose_trees_agree_predicts_the_rate_of_one_more_tree() -> None:
    # Nine of one molecule, of class 0, and another of class 1: no tree puts the first into class 1.
    y = np.array([0.0] * 9 + [1.0])
    train = morgan_counts(["CCO"] * 9 + ["c1ccccc1"])
    fitted = fit_predict(FOREST, "classification", train, y[:, None], morgan_counts(["CCO"]), seed=0)
    assert fitted.predictions[0, 0] == pytest.approx(0.1 / (TREES + 1))


@pytest.mark.parametrize("setting", [RIDGE, FOREST])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_missing_label_leaves_out_the_molecule_in_that_task_alone(setting: Settings, task: str) -> None:
    y = LOG_S if task == "regression" else (LOG_S > -2).astype(float)
    some = np.where(np.arange(len(y)) % 3, y, np.nan)
    new = morgan_counts(["CCCCN", "CCCCCCCCC", "Cc1ccc2ccccc2c1"])
    both = fit_predict(setting, task, X, np.column_stack([some, y]), new, seed=0).predictions
    known = ~np.isnan(some)
    alone = fit_predict(setting, task, X[known], y[known, None], new, seed=0).predictions
    assert np.array_equal(both[:, 0], alone[:, 0])
    assert not np.array_equal(both[:, 0], both[:, 1])


@pytest.mark.parametrize("setting", [RIDGE, FOREST])
def test_a_task_with_one_class_or_none_is_constant_and_said_to_be(setting: Settings) -> None:
    y = np.column_stack([np.ones(len(LOG_S)), np.full(len(LOG_S), np.nan), LOG_S > -2])
    fitted = fit_predict(setting, "classification", X, y, morgan_counts(["CCN", "CCCCCC"]), seed=0)
    assert (fitted.predictions[:, :2] == [1.0, 0.5]).all()
    assert np.ptp(fitted.predictions[:, 2]) > 0
    assert fitted.note.startswith("2 of 3 tasks constant")


def test_the_trees_follow_the_seed() -> None:
    first, again, other = (predict(FOREST, "regression", LOG_S, ["CCN", "CCCCCC"], seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"learner": "svm"}, r"'svm'.*linear or forest"),
        ({"learner": "linear", "alpha": 0.0}, r"alpha 0\.0"),
    ],
)
def test_wrong_settings_are_named(setting: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Settings(**setting)


CELL = {"protocol": "honest", "dataset": "own", "split": "scaffold", "budget": "100"}
SEEDS = (0, 1)


def arrange(folder: Path, task: str, validation: str) -> tuple[LearnerSettings, pd.DataFrame]:
    """Write a dataset and its split; two tasks, the first with missing labels."""
    label = np.array([[len(text), text.lower().count("n")] for text in SMILES], float)
    if task == "classification":
        label = (label > np.median(label, axis=0)).astype(float)
    label[::7, 0] = np.nan
    table = molecule_table(SMILES, label)
    schemas.write("molecules", table, folder / "molecules.parquet")
    split = splits.SplitSettings(**CELL, seeds=SEEDS, task=task, validation=validation, folds=3)
    schemas.write("splits", splits.assign(table, split), folder / "splits.parquet")
    metric = {"classification": "roc_auc", "regression": "rmse"}[task]
    grid = tuple(map(asdict, GRID))
    return LearnerSettings(**CELL, seeds=SEEDS, task=task, metric=metric, method="fingerprint", grid=grid), table


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("validation", ["holdout", "crossfit"])
def test_run_writes_every_fit_and_prediction(tmp_path: Path, task: str, validation: str) -> None:
    settings, table = arrange(tmp_path, task, validation)
    run(settings, tmp_path, tmp_path / "splits.parquet", tmp_path / "out")
    fits, predictions, curves = (
        schemas.read(name, tmp_path / "out" / f"{name}.parquet") for name in ("fits", "predictions", "curves")
    )
    assigned = schemas.read("splits", tmp_path / "splits.parquet")
    folds = 3 if validation == "crossfit" else 1
    assert len(fits) == len(SEEDS) * len(GRID) * folds
    assert curves.empty
    assert set(fits["model"]) == {"morgan"}
    assert set(fits["method"]) == {"fingerprint"}
    assert [json.loads(text) for text in dict.fromkeys(fits["setting"])] == [
        {"learner": "linear", "alpha": 1.0},
        {"learner": "linear", "alpha": 10.0},
        {"learner": "linear", "alpha": 100.0},
        {"learner": "forest", "alpha": 0.0},
    ]
    assert np.isfinite(fits[["valid_metric", "valid_loss", "wall_seconds", "cpu_seconds"]]).all(axis=None)
    for (seed, _, partition), rows in predictions.groupby(["seed", "setting", "partition"]):
        role = (assigned["seed"] == seed) & (assigned["role"] == partition)
        assert rows["molecule"].is_unique
        assert set(rows["molecule"]) == set(assigned.loc[role, "molecule"])
    labels = np.array(table["labels"].tolist())
    for fit in fits[fits["seed"] == 0].itertuples():
        role = (assigned["seed"] == 0) & (assigned["fold"] == fit.fold) & (assigned["role"] == "valid")
        mine = predictions[
            (predictions["seed"] == 0)
            & (predictions["setting"] == fit.setting)
            & (predictions["partition"] == "valid")
            & predictions["molecule"].isin(assigned.loc[role, "molecule"])
        ]
        predicted = np.array(mine["prediction"].tolist())
        truth = labels[mine["molecule"]]
        assert fit.valid_metric == pytest.approx(metrics.primary(settings.metric, truth, predicted), rel=1e-5)
        assert fit.valid_loss == pytest.approx(metrics.loss(task, truth, predicted), rel=1e-4)


def test_in_cross_fitting_validation_is_out_of_fold_and_test_the_mean(tmp_path: Path) -> None:
    settings, table = arrange(tmp_path, "regression", "crossfit")
    run(replace(settings, grid=(asdict(RIDGE),), seeds=(1,)), tmp_path, tmp_path / "splits.parquet", tmp_path)
    predictions = schemas.read("predictions", tmp_path / "predictions.parquet").set_index(["partition", "molecule"])
    assigned = schemas.read("splits", tmp_path / "splits.parquet")
    features, labels = morgan_counts(SMILES), np.array(table["labels"].tolist(), float)
    tested = []
    for fold in range(3):
        mine = assigned[(assigned["seed"] == 1) & (assigned["fold"] == fold)]
        train, valid, test = (mine.loc[mine["role"] == role, "molecule"] for role in ("train", "valid", "test"))
        rest = np.concatenate([valid, test])
        fitted = fit_predict(RIDGE, "regression", features[train], labels[train], features[rest], seed=0)
        out_of_fold = predictions.loc["valid"].loc[valid, "prediction"].tolist()
        assert np.array(out_of_fold) == pytest.approx(fitted.predictions[: len(valid)], rel=1e-5)
        tested.append(fitted.predictions[len(valid) :])
    averaged = predictions.loc["test"].loc[test, "prediction"].tolist()
    assert np.array(averaged) == pytest.approx(np.mean(tested, axis=0), rel=1e-5)


def test_run_gives_the_same_twice(tmp_path: Path) -> None:
    settings, _ = arrange(tmp_path, "classification", "holdout")
    for out in ("first", "again"):
        run(settings, tmp_path, tmp_path / "splits.parquet", tmp_path / out)
    first, again = (schemas.read("predictions", tmp_path / out / "predictions.parquet") for out in ("first", "again"))
    pd.testing.assert_frame_equal(first, again)


def test_a_seed_that_was_not_split_is_named(tmp_path: Path) -> None:
    settings, _ = arrange(tmp_path, "regression", "holdout")
    with pytest.raises(UserError, match="seed 7 is not in the table"):
        run(replace(settings, seeds=(7,)), tmp_path, tmp_path / "splits.parquet", tmp_path)


def test_the_forest_is_grown_once_whatever_alpha(tmp_path: Path) -> None:
    settings, _ = arrange(tmp_path, "regression", "holdout")
    product = tuple(Settings(learner, alpha) for learner in ("linear", "forest") for alpha in (1.0, 3.0))
    run(replace(settings, grid=tuple(map(asdict, product))), tmp_path, tmp_path / "splits.parquet", tmp_path)
    texts = schemas.read("fits", tmp_path / "fits.parquet")["setting"]
    assert texts.value_counts().to_dict() == {setting_text(setting): len(SEEDS) for setting in product}


def test_settings_come_from_json() -> None:
    cell = {**CELL, "seeds": [0], "task": "regression", "metric": "rmse", "method": "fingerprint"}
    grid = [{"learner": "linear", "alpha": 3.0}, {"learner": "forest"}]
    told = build(LearnerSettings, {**cell, "grid": grid})
    assert [METHODS["fingerprint"].parse(setting) for setting in told.grid] == [Settings("linear", 3.0), FOREST]
    assert setting_text(Settings("linear")) == '{"alpha":10.0,"learner":"linear"}'
