"""The constant predictor: what it learns from, what it says, and its place among the methods."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from molecule_tables import SMILES, molecule_table
from roftmol.data import splits
from roftmol.methods import METHODS, WITHOUT_ENCODER
from roftmol.methods.base import NoSettings
from roftmol.methods.cells import Cells
from roftmol.methods.constant import fit_predict
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.tasks.classification import log_loss, roc_auc
from roftmol.tasks.regression import rmse
from roftmol.training.learners import LearnerSettings, run

CELL = {"protocol": "honest", "dataset": "own", "split": "random", "budget": "50"}
ANSWERS = np.array([[1.0, 4.0, np.nan], [2.0, np.nan, np.nan], [6.0, 5.0, np.nan]])


def test_it_predicts_the_mean_of_the_labels_that_are_there():
    fitted = fit_predict(NoSettings(), "regression", None, ANSWERS, np.empty((4, 0)), 0)
    assert fitted.predictions.tolist() == [[3.0, 4.5, 0.0]] * 4
    assert fitted.parameters == 2


def test_it_predicts_the_share_of_class_1_and_knows_no_order():
    Y = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, np.nan], [1.0, np.nan], [1.0, np.nan]])
    fitted = fit_predict(NoSettings(), "classification", None, Y, np.empty((5, 0)), 0)
    assert fitted.predictions[0].tolist() == [0.6, 0.0]
    assert metrics.primary("roc_auc", Y[:, :1], fitted.predictions[:, :1]) == 0.5
    share = 0.6
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert metrics.loss("classification", Y[:, :1], fitted.predictions[:, :1]) == pytest.approx(entropy)


@pytest.mark.parametrize(("task", "score"), [("regression", rmse), ("classification", log_loss)])
def test_no_other_constant_fits_better(task: str, score) -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0, 1.0])
    own = fit_predict(NoSettings(), task, None, y[:, None], y[:, None], 0).predictions[:, 0]
    assert all(score(y, own) <= score(y, np.full(6, other)) for other in np.linspace(0.05, 0.95, 19))


def arrange(folder: Path, protocol: str, validation: str, task: str = "regression") -> tuple[pd.DataFrame, np.ndarray]:
    """A dataset, its split, and the predictor's run; the split and the labels."""
    label = np.array([[len(text)] for text in SMILES], float)
    if task == "classification":
        label = (label > np.median(label)).astype(float)
    schemas.write("molecules", molecule_table(SMILES, label), folder / "molecules.parquet")
    cell = {**CELL, "protocol": protocol}
    assigned = splits.assign(
        molecule_table(SMILES, label), splits.SplitSettings(**cell, seeds=(0, 1), task=task, validation=validation)
    )
    schemas.write("splits", assigned, folder / "splits.parquet")
    metric = {"classification": "roc_auc", "regression": "rmse"}[task]
    told = LearnerSettings(**cell, seeds=(0, 1), task=task, metric=metric, method="constant", grid=({},))
    run(told, folder, folder / "splits.parquet", folder)
    return assigned, label[:, 0]


def predicted(folder: Path, partition: str, seed: int) -> pd.Series:
    found = schemas.read("predictions", folder / "predictions.parquet")
    assert set(found["model"]) == {"none"}
    here = found[(found["partition"] == partition) & (found["seed"] == seed)].set_index("molecule")
    return here["prediction"].map(lambda values: values[0])


@pytest.mark.parametrize("validation", ["holdout", "crossfit"])
def test_the_test_is_predicted_from_the_whole_budget_and_validation_from_training_alone(
    tmp_path: Path, validation: str
) -> None:
    assigned, labels = arrange(tmp_path, "honest", validation)
    for seed in (0, 1):
        mine = assigned[assigned["seed"] == seed]
        budget = mine.loc[mine["role"].isin(["train", "valid"]), "molecule"].unique()
        assert len(budget) == 50
        assert predicted(tmp_path, "test", seed).unique() == pytest.approx([labels[budget].mean()])
        on_valid = predicted(tmp_path, "valid", seed)
        for _, fold in mine.groupby("fold"):
            train, valid = (fold.loc[fold["role"] == role, "molecule"] for role in ("train", "valid"))
            assert on_valid[valid].unique() == pytest.approx([labels[train].mean()])


def test_in_protocol_paper_the_budget_is_the_training_part(tmp_path: Path) -> None:
    assigned, labels = arrange(tmp_path, "paper", "holdout")
    train = assigned.loc[(assigned["seed"] == 0) & (assigned["role"] == "train"), "molecule"]
    assert len(train) == 50
    assert predicted(tmp_path, "test", 0).unique() == pytest.approx([labels[train].mean()])


@pytest.mark.parametrize("validation", ["holdout", "crossfit"])
def test_its_auc_on_the_test_is_a_half_to_the_bit(tmp_path: Path, validation: str) -> None:
    _, labels = arrange(tmp_path, "honest", validation, "classification")
    for seed in (0, 1):
        found = predicted(tmp_path, "test", seed)
        assert roc_auc(labels[found.index], found.to_numpy()) == 0.5


def test_every_reference_without_an_encoder_has_a_name_that_stands_for_one() -> None:
    external = {name for name, method in METHODS.items() if method.kind == "external"}
    assert (
        external
        == {*WITHOUT_ENCODER}
        == {name for name, method in METHODS.items() if not (method.trains_encoder or method.reads_encoder)}
    )
    assert all(METHODS[name].mechanism == "reference" for name in external)


def test_it_runs_once_for_all_models() -> None:
    cells = Cells(("honest",), ("one", "two"), ("esol",), ("scaffold",), ("50",), ("full_ft", "constant"))
    assert [folder.as_posix() for folder in cells.runs(Path("results"))] == [
        "results/runs/honest/one/esol/scaffold-50/full_ft",
        "results/runs/honest/none/esol/scaffold-50/constant",
        "results/runs/honest/two/esol/scaffold-50/full_ft",
    ]
