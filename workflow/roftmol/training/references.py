"""The references without an encoder, in one cell: every setting, seed and fold fitted and written as any run.

What a reference learns is its own (`methods`). A fit learns from the training molecules; one that selects nothing also
from the validation molecules whose labels the budget counts, when it predicts the test: its budget buys no less than a
network's, which spends a part of it on choosing. Its validation predictions are of training molecules' labels alone.
In protocol `paper` the budget counts training labels only, so there these are all.
"""

from __future__ import annotations

import resource
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.core import run_origin
from roftmol.core.errors import UserError
from roftmol.core.seeds import seed_of
from roftmol.methods import METHODS, Settings, setting_text
from roftmol.methods.base import Fitted, Learner
from roftmol.scoring import metrics
from roftmol.tables import schemas

Array = NDArray[np.float64]
Rows = NDArray[np.integer]


@dataclass(frozen=True)
class BaselineSettings:
    """What the stage is told."""

    protocol: str
    dataset: str
    split: str
    budget: str
    seeds: tuple[int, ...]
    task: str
    metric: str
    method: str
    grid: tuple[dict[str, Any], ...]

    @property
    def cell(self) -> dict[str, str]:
        """The identity of the run."""
        names = ("protocol", "dataset", "split", "budget")
        return {name: getattr(self, name) for name in names} | {
            "model": METHODS[self.method].model,
            "method": self.method,
        }

    @property
    def budget_has_validation(self) -> bool:
        """Whether the labels of validation are among those that the budget counts."""
        return self.protocol == "honest"


def run(settings: BaselineSettings, data: Path, splits: Path, out: Path) -> None:
    """Fit every setting, seed and fold of a cell and write fits, predictions and (empty) curves to `out`.

    Raises `UserError` if the table `splits` lacks a seed.
    """
    molecules = schemas.read("molecules", data / "molecules.parquet").set_index("molecule")
    assigned = schemas.read("splits", splits)
    used = np.unique(assigned["molecule"])
    method = METHODS[settings.method]
    assert method.learner
    learner = method.learner()
    features = learner.features(molecules.loc[used, "smiles"].tolist())
    labels = np.array(molecules.loc[used, "labels"].tolist(), dtype=np.float64)
    assigned["place"] = np.searchsorted(used, assigned["molecule"])  # the row in `features` and `labels`

    fits: list[dict[str, Any]] = []
    predictions: list[pd.DataFrame] = []
    for seed in settings.seeds:
        folds = [fold for _, fold in assigned[assigned["seed"] == seed].groupby("fold")]
        if not folds:
            raise UserError(f"{splits}: seed {seed} is not in the table. Delete it and run the workflow again.")
        for setting in dict.fromkeys(map(method.parse, settings.grid)):  # a product of axes repeats the forest
            rows, frame = _run_folds(settings, learner, setting, seed, folds, features, labels)
            fits += rows
            predictions.append(frame)
    schemas.write("predictions", pd.concat(predictions, ignore_index=True), out / "predictions.parquet", settings)
    schemas.write("curves", schemas.empty("curves"), out / "curves.parquet", settings)
    schemas.write("fits", pd.DataFrame(fits), out / "fits.parquet", settings)


def _run_folds(
    settings: BaselineSettings,
    learner: Learner,
    setting: Settings,
    seed: int,
    folds: list[pd.DataFrame],
    features: Any,
    labels: Array,
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """The rows of `fits` and `predictions` of one setting and seed: validation out of fold, test the folds' mean."""
    identity: dict[str, Any] = {**settings.cell, "setting": setting_text(setting), "seed": seed}
    fits: list[dict[str, Any]] = []
    valid: list[pd.DataFrame] = []
    tested: list[list[Array]] = []
    origin = asdict(run_origin.origin({"task": settings.task, "metric": settings.metric}))
    for fold in folds:
        number = int(fold["fold"].iloc[0])
        parts = {str(role): rows for role, rows in fold.groupby("role")}
        place = {role: rows["place"].to_numpy() for role, rows in parts.items()}
        held = [place.get(role, np.empty(0, np.int64)) for role in ("valid", "test", "test_id")]
        own = seed_of(*settings.cell.values(), seed, number)

        def fitted_on(learnt: Rows, asked: list[Rows], own: int = own) -> Fitted:
            X, X_new = features[learnt], features[np.concatenate(asked)]
            return learner.fit_predict(setting, settings.task, X, labels[learnt], X_new, own)

        started, wall, cpu = datetime.now(UTC), time.perf_counter(), time.process_time()
        fitted = fitted_on(place["train"], held)
        on_valid, *on_test = np.split(fitted.predictions, np.cumsum([len(rows) for rows in held[:2]]))
        if not learner.selects and settings.budget_has_validation:
            fitted = fitted_on(np.concatenate([place["train"], place["valid"]]), held[1:])
            on_test = np.split(fitted.predictions, [len(held[1])])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
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
        valid.append(_rows(identity, "valid", parts["valid"]["molecule"].to_numpy(), on_valid[None]))
        tested.append(on_test)
    # The test parts are the same in every fold of a seed.
    tests = [
        _rows(identity, role, parts[role]["molecule"].to_numpy(), np.stack(predictions))
        for role, predictions in zip(("test", "test_id"), zip(*tested, strict=True), strict=True)
        if role in parts
    ]
    return fits, pd.concat([*valid, *tests])


def _rows(identity: dict[str, Any], partition: str, molecules: Rows, outputs: Array) -> pd.DataFrame:
    """The rows of some molecules, from the folds' predictions: folds x molecules x tasks."""
    columns = {"partition": partition, "molecule": molecules, **metrics.together(outputs)}
    return pd.DataFrame({**identity, **columns})
