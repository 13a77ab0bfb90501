"""Methods that train no encoder, in one cell: all hyperparameters, seeds and folds, written as any run.

These are the references, and the heads that are fitted in closed form to a frozen encoder's vectors. What each learns
is its own (`methods`). A fit learns from the training molecules. One that selects nothing also learns from the
validation molecules whose labels the budget counts, when it predicts the test: its budget buys no less than a
network's, which spends a part of it on choosing. Its validation predictions are of training molecules' labels alone.
In protocol `paper` the budget counts training labels only, so there these are all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.core import run_origin
from roftmol.core.errors import UserError
from roftmol.core.peak_memory import peak_mib
from roftmol.core.seeds import seed_of
from roftmol.features import array_file
from roftmol.features.descriptors import MADE as DESCRIPTORS
from roftmol.features.fingerprints import morgan_counts
from roftmol.features.inputs import GFN2, VECTORS, Inputs
from roftmol.methods import ALL_METHODS, Settings, setting_text
from roftmol.methods.base import Fitted, Learner
from roftmol.tables import schemas
from roftmol.tasks import TASKS
from roftmol.training.cell import FitConfiguration
from roftmol.training.finished_fit import FinishedFit, Stopwatch, fit_row, prediction_rows
from roftmol.training.fit import DivergedError, Task

Array = NDArray[np.float64]
Rows = NDArray[np.integer]


@dataclass(frozen=True)
class LearnerSettings:
    """The settings of the stage `baseline`: a cell, its seeds and grid."""

    protocol: str
    dataset: str
    split: str
    budget: str
    seeds: tuple[int, ...]
    task: str
    metric: str
    method: str
    grid: tuple[dict[str, Any], ...]
    model: str = ""  #: of the encoder whose vectors are read, for methods that do; or that it was fine-tuned from

    @property
    def cell(self) -> dict[str, str]:
        """The identity of the run."""
        return {name: getattr(self, name) for name in schemas.CONTEXT} | {
            "model": ALL_METHODS[self.method].model or self.model,
            "method": self.method,
        }

    @property
    def budget_has_validation(self) -> bool:
        """Whether the labels of validation are among those that the budget counts."""
        return self.protocol == "honest"


@dataclass(frozen=True, eq=False)
class Read:
    """What a learner reads for the fit of one fold."""

    features: Any  #: of the molecules of the table of splits, in ascending order
    note: str = ""  #: what to say of them


#: Of a seed and a fold: its number, and the molecules of its roles, as rows of the features. It may raise
#: `DivergedError`.
Reader = Callable[[int, int, Mapping[str, Rows]], Read]


def run(
    settings: LearnerSettings,
    data: Path,
    splits: Path,
    out: Path,
    descriptors: Path | None = None,
    vectors: Path | None = None,
    gfn2: Path | None = None,
) -> None:
    """Fit a cell for all its hyperparameters, seeds and folds; write fits, predictions and (empty) curves to `out`.

    `descriptors`, `vectors` and `gfn2` are the dataset's files of what the method reads beside SMILES. Raises
    `UserError` if one of them is missing, or a seed in the table `splits`.
    """
    cell = LearnerCell(settings, data, splits, descriptors, gfn2)
    rows = array_file.load("vectors", VECTORS, vectors)[cell.molecules] if vectors else None
    read = Read(cell.learner.features(replace(cell.inputs, vectors=rows)))
    cell.run(lambda _seed, _fold, _part: read, out, alike=True)


class LearnerCell:
    """A cell, and what does not depend on the fold: labels, and what is read of molecules but for vectors."""

    def __init__(
        self,
        settings: LearnerSettings,
        data: Path,
        splits: Path,
        descriptors: Path | None = None,
        gfn2: Path | None = None,
    ):
        """Read a cell. Raises `UserError` if its grid reads descriptors of which no file is given."""
        molecules = schemas.read("molecules", data / "molecules.parquet").set_index("molecule")
        self.settings, self.splits = settings, splits
        self.assigned = schemas.read("splits", splits)
        self.molecules = np.unique(self.assigned["molecule"])  #: ascending
        self.assigned["position"] = np.searchsorted(self.molecules, self.assigned["molecule"])
        self.method = ALL_METHODS[settings.method]
        self.learner = self.method.new_learner()
        used = molecules.loc[self.molecules]
        self.labels: Array = np.array(used["labels"].tolist(), dtype=np.float64)
        # A product of axes repeats the forest.
        self.grid = tuple(dict.fromkeys(map(self.method.parse, settings.grid)))
        reads = frozenset[str]().union(*map(self.method.reads_with, self.grid))

        def described(name: str, made: Mapping[str, str], path: Path | None) -> NDArray[np.float32] | None:
            if name not in reads:
                return None
            if path is None:
                raise UserError(f"{settings.method} reads a file of {name}, and none is given. Give one by --{name}.")
            return array_file.load(name, made, path)[self.molecules]

        self.inputs = Inputs(
            len(used),
            counts=morgan_counts(used["smiles"].tolist()) if "counts" in reads else None,
            descriptors=described("descriptors", DESCRIPTORS, descriptors),
            gfn2=described("gfn2", GFN2, gfn2),
        )

    def run(self, reader: Reader, out: Path, alike: bool = False) -> None:
        """Fit all hyperparameters, seeds and folds; write fits, predictions and (empty) curves to `out`.

        `alike` says that the same is read for all folds. Raises `UserError` if the table of splits lacks a seed.
        """
        settings = self.settings
        learnt = self.labels if self.learner.limits else TASKS[settings.task].values(self.labels)
        fitting = _Fitting(settings, self.learner, reader, self.labels, learnt, alike)
        fits: list[dict[str, Any]] = []
        predictions = [schemas.empty("predictions")]
        for seed in settings.seeds:
            folds = [fold for _, fold in self.assigned[self.assigned["seed"] == seed].groupby("fold")]
            if not folds:
                raise UserError(f"{self.splits}: seed {seed} is not in the table. {schemas.ANEW}")
            for hyperparameters in self.grid:
                rows, frame = fitting.run(hyperparameters, seed, folds)
                fits += rows
                predictions.append(frame)
        together = pd.concat(predictions[1:] or predictions, ignore_index=True)
        schemas.write("predictions", together, out / "predictions.parquet", settings)
        schemas.write("curves", schemas.empty("curves"), out / "curves.parquet", settings)
        schemas.write("fits", pd.DataFrame(fits), out / "fits.parquet", settings)


@dataclass(frozen=True, eq=False)
class _Fitting:
    """What all fits of a cell share."""

    settings: LearnerSettings
    learner: Learner
    reader: Reader
    labels: Array  #: n x t
    learnt: Array  #: the labels that are learnt from
    alike: bool  #: whether the same is read for all folds

    @property
    def learns_from_validation(self) -> bool:
        """Whether the test is predicted by what all labels of the budget teach."""
        return not self.learner.selects and self.settings.budget_has_validation

    def fit(self, hyperparameters: Settings, seed: int, read: Read, part: Mapping[str, Rows]) -> FinishedFit:
        """Return what a method learns of a fold, whose `part` has the rows of its roles in the features."""
        settings = self.settings
        held_out = [part.get(role, np.empty(0, np.int64)) for role in ("valid", "test", "test_id")]

        def fitted_on(labelled: Rows, predicted: list[Rows]) -> Fitted:
            X = read.features[labelled]
            X_new = read.features[np.concatenate(predicted)]
            return self.learner.fit_predict(hyperparameters, settings.task, X, self.learnt[labelled], X_new, seed)

        fitted = fitted_on(part["train"], held_out)
        ends = np.cumsum([len(rows) for rows in held_out[:2]])
        valid, *tests = np.split(fitted.predictions, ends)
        if self.learns_from_validation:
            fitted = fitted_on(np.concatenate([part["train"], part["valid"]]), held_out[1:])
            tests = np.split(fitted.predictions, [len(held_out[1])])
        test, test_id = tests
        finished = FinishedFit(valid, test, test_id, trained_parameters=fitted.parameters, note=fitted.note)
        return finished.noted(read.note) if read.note else finished

    def run(
        self, hyperparameters: Settings, seed: int, folds: list[pd.DataFrame]
    ) -> tuple[list[dict[str, Any]], pd.DataFrame]:
        """Return the rows of "fits" and "predictions" of a seed: validation out of fold, test the folds' mean."""
        settings = self.settings
        run = {**settings.cell, "setting": setting_text(hyperparameters), "seed": seed}
        task = Task(settings.task, settings.metric)
        origin = run_origin.origin(FitConfiguration(settings.task, settings.metric))
        rows: list[dict[str, Any]] = []
        valid: list[pd.DataFrame] = []
        finished: list[FinishedFit] = []
        # Where validation teaches too, and nothing else differs, all folds have the same labels. One fit predicts the
        # test, as one is handed out.
        for fold in folds[:1] if self.learns_from_validation and self.alike else folds:
            number = int(fold["fold"].iloc[0])
            roles = {str(role): part for role, part in fold.groupby("role")}
            part = {role: rows_of["position"].to_numpy() for role, rows_of in roles.items()}
            stopwatch = Stopwatch()
            try:
                read = self.reader(seed, number, part)
                finished.append(self.fit(hyperparameters, seed_of(*settings.cell.values(), seed, number), read, part))
            except DivergedError as error:
                finished.append(FinishedFit.failed(str(error), self.labels.shape[1]))
            cost = stopwatch.cost(peak_mib())
            row = fit_row({**run, "fold": number}, finished[-1], self.labels[part["valid"]], task, cost, origin)
            rows.append({**row, "part": ""})
            if not finished[-1].reason:
                held = roles["valid"]["molecule"].to_numpy()
                valid.append(prediction_rows(run, "valid", held, finished[-1].valid[None]))
        if any(fit.reason for fit in finished):  # no predictions: what is not there by all folds is nowhere
            return rows, schemas.empty("predictions")
        # The test parts are the same in every fold of a seed.
        outputs = {"test": [fit.test for fit in finished], "test_id": [fit.test_id for fit in finished]}
        tests = [
            prediction_rows(run, role, roles[role]["molecule"].to_numpy(), np.stack(predicted))
            for role, predicted in outputs.items()
            if role in roles
        ]
        return rows, pd.concat([*valid, *tests])
