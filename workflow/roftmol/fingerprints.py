"""The fingerprint baseline: Morgan counts with a linear model or a random forest, one model a task.

Features are the counts of the environments of radius 2, hashed to 2048, as they are: log(1 + count) is no better for
classification, and worse for ridge where a property adds up over the atoms (ESOL). A missing label leaves its molecule
out of that task. A task with one value in training is predicted by it, one without a label by 0.5 (regression: 0).

Regression targets need no standardising: shifted and scaled targets shift and scale the predictions of both learners.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from scipy.sparse import csr_matrix
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from roftmol import machine, metrics, schemas
from roftmol.errors import UserError
from roftmol.methods.base import setting_text
from roftmol.methods.fingerprint import GRID, Settings
from roftmol.seeds import seed_of
from roftmol.similarity import BITS, RADIUS

TREES, FEW_TREES, MANY_TASKS = 100, 20, 30  # few trees for each of ToxCast's 617 tasks

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FingerprintSettings:
    """What the baseline's stage is told."""

    protocol: str
    dataset: str
    split: str
    budget: str
    seeds: tuple[int, ...]
    task: str
    metric: str
    grid: tuple[Settings, ...] = GRID

    @property
    def cell(self) -> dict[str, str]:
        """The identity of the run."""
        names = ("protocol", "dataset", "split", "budget")
        return {name: getattr(self, name) for name in names} | {"model": "morgan", "method": "fingerprint"}


@dataclass(frozen=True, eq=False)
class Fitted:
    """Predictions of one fit for all molecules asked for, n x t, and what to say about it."""

    predictions: Array
    parameters: int
    note: str


def run(settings: FingerprintSettings, data: Path, splits: Path, out: Path) -> None:
    """Fit every setting, seed and fold of a cell and write fits, predictions and (empty) curves to `out`.

    Raises `UserError` if the table `splits` lacks a seed.
    """
    molecules = schemas.read("molecules", data / "molecules.parquet").set_index("molecule")
    assigned = schemas.read("splits", splits)
    used = np.unique(assigned["molecule"])
    features = morgan_counts(molecules.loc[used, "smiles"].tolist())
    labels = np.array(molecules.loc[used, "labels"].tolist(), dtype=np.float64)
    assigned["place"] = np.searchsorted(used, assigned["molecule"])  # the row in `features` and `labels`

    fits: list[dict[str, Any]] = []
    predictions: list[pd.DataFrame] = []
    for seed in settings.seeds:
        folds = [fold for _, fold in assigned[assigned["seed"] == seed].groupby("fold")]
        if not folds:
            raise UserError(f"{splits}: seed {seed} is not in the table. Delete it and run the workflow again.")
        for setting in dict.fromkeys(settings.grid):  # a product of axes repeats the forest
            rows, frame = _run_folds(settings, setting, seed, folds, features, labels)
            fits += rows
            predictions.append(frame)
    schemas.write("predictions", pd.concat(predictions, ignore_index=True), out / "predictions.parquet", settings)
    schemas.write("curves", schemas.empty("curves"), out / "curves.parquet", settings)
    schemas.write("fits", pd.DataFrame(fits), out / "fits.parquet", settings)


def morgan_counts(smiles: Sequence[str]) -> csr_matrix:
    """How often each molecule has each hashed Morgan environment, n x 2048."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    columns: list[int] = []
    counts: list[int] = []
    ends = [0]
    with rdBase.BlockLogs():  # what is odd about a molecule is told where it is read
        for text in smiles:
            found = generator.GetCountFingerprint(Chem.MolFromSmiles(text)).GetNonzeroElements()
            columns += found.keys()
            counts += found.values()
            ends.append(len(columns))
    matrix = csr_matrix((np.array(counts, np.float64), columns, ends), shape=(len(smiles), BITS))
    matrix.sort_indices()
    return matrix


def fit_predict(setting: Settings, task: str, X: csr_matrix, Y: Array, X_new: csr_matrix, seed: int) -> Fitted:
    """Fit each task on the molecules with its label and predict others: probabilities, or values in label units.

    X: n x 2048, Y: n x t with NaN for a missing label, X_new: m x 2048.
    """
    tasks = Y.shape[1]
    trees = TREES if tasks <= MANY_TASKS else FEW_TREES
    predictions = np.empty((X_new.shape[0], tasks))
    parameters = constant = 0
    for number in range(tasks):
        known = ~np.isnan(Y[:, number])
        y = Y[known, number]
        if len(np.unique(y)) < 2:
            unknown = 0.5 if task == "classification" else 0.0
            predictions[:, number] = y[0] if len(y) else unknown
            constant += 1
            continue
        # Trees are drawn for each task by itself, whatever the other tasks are.
        model = learner(setting, task, trees, seed_of("forest", seed, number) % 2**32).fit(X[known], y)
        p = model.predict_proba(X_new)[:, 1] if task == "classification" else model.predict(X_new)
        if setting.learner == "forest":
            parameters += sum(tree.tree_.node_count for tree in model.estimators_)
            if task == "classification":
                # One more tree, which knows the rate alone: no probability is 0 or 1, and the order is as it was.
                p = (trees * p + y.mean()) / (trees + 1)
        else:
            parameters += BITS + 1
        predictions[:, number] = p
    note = f"{constant} of {tasks} tasks constant in training, predicted so" if constant else ""
    return Fitted(predictions, parameters, note)


def learner(setting: Settings, task: str, trees: int, seed: int) -> Any:
    """The untrained scikit-learn model of a setting."""
    if setting.learner == "forest":
        if task == "classification":
            return RandomForestClassifier(trees, random_state=seed, n_jobs=1)
        # A third of the features a split, Breiman's rule: as good as all of them on ESOL and Lipo, and far faster.
        return RandomForestRegressor(trees, max_features=1 / 3, random_state=seed, n_jobs=1)
    assert setting.alpha is not None
    if task == "classification":
        return LogisticRegression(C=1 / setting.alpha, max_iter=1000)
    return Ridge(setting.alpha)


def _run_folds(
    settings: FingerprintSettings,
    setting: Settings,
    seed: int,
    folds: list[pd.DataFrame],
    features: csr_matrix,
    labels: Array,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """The rows of `fits` and `predictions` of one setting and seed: validation out of fold, test the folds' mean."""
    identity: dict[str, Any] = {**settings.cell, "setting": setting_text(setting), "seed": seed}
    fits: list[dict[str, Any]] = []
    valid: list[pd.DataFrame] = []
    tested: list[list[Array]] = []
    origin = asdict(machine.origin({"task": settings.task, "metric": settings.metric}))
    for fold in folds:
        number = int(fold["fold"].iloc[0])
        parts = {str(role): rows for role, rows in fold.groupby("role")}
        place = {role: rows["place"].to_numpy() for role, rows in parts.items()}
        held = [place.get(role, np.empty(0, np.int64)) for role in ("valid", "test", "test_id")]
        asked = features[np.concatenate(held)]
        started, wall, cpu = datetime.now(UTC), time.perf_counter(), time.process_time()
        fitted = fit_predict(
            setting,
            settings.task,
            features[place["train"]],
            labels[place["train"]],
            asked,
            seed_of(*settings.cell.values(), seed, number),
        )
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        on_valid, *on_test = np.split(fitted.predictions, np.cumsum([len(rows) for rows in held[:2]]))
        truth = labels[place["valid"]]
        metric = metrics.primary(settings.metric, truth, on_valid)
        undefined = f"{settings.metric} undefined on validation: selected by loss" if np.isnan(metric) else ""
        fits.append(
            {
                **identity,
                "fold": number,
                "status": "ok",
                "reason": "",
                "note": "; ".join(filter(None, (fitted.note, undefined))),
                "best_epoch": 0,
                "epochs": 0,
                "valid_metric": metric,
                "valid_loss": metrics.loss(settings.task, truth, on_valid),
                "trained_parameters": fitted.parameters,
                "started": started.isoformat(timespec="seconds"),
                "wall_seconds": wall,
                "cpu_seconds": cpu,
                "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                "device": "cpu",
                **origin,
                "part": "",
            }
        )
        valid.append(_rows(identity, "valid", parts["valid"]["molecule"].to_numpy(), on_valid))
        tested.append(on_test)
    # The test parts are the same in every fold of a seed.
    tests = [
        _rows(identity, role, parts[role]["molecule"].to_numpy(), np.mean(predictions, axis=0))
        for role, predictions in zip(("test", "test_id"), zip(*tested, strict=True), strict=True)
        if role in parts
    ]
    return fits, pd.concat([*valid, *tests])


def _rows(identity: dict[str, Any], partition: str, molecules: NDArray[np.integer], values: Array) -> pd.DataFrame:
    columns = {"partition": partition, "molecule": molecules, "prediction": list(values.astype(np.float32))}
    return pd.DataFrame({**identity, **columns})
