"""METHOD+HEAD in one cell: a head fitted in closed form to the vectors of the encoders that METHOD's fits left.

Each seed and fold has an encoder of its own: of METHOD's hyperparameters, those that validation selects for the seed,
as in the tables. A mixture is mixed once more, from the weights that it was mixed from; that gives the same encoder.
Then all is as for a head on the frozen encoder (`learners.py`), with the fold's vectors: validation is predicted by a
head of the training molecules alone, the test by one of all labels that the budget counts.

An encoder has seen its training molecules' labels, so their vectors are nearer to them than a new molecule's are.
docs/methods.md says what was measured of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.core.errors import UserError
from roftmol.encoders.base import Encoder
from roftmol.methods import setting_text
from roftmol.scoring import metrics
from roftmol.scoring.selection import Candidate, select
from roftmol.tables import schemas
from roftmol.training import jobs
from roftmol.training.cell import RunSettings, folds
from roftmol.training.fit import DivergedError
from roftmol.training.jobs import Cell, Planned, Sources
from roftmol.training.learners import LearnerCell, LearnerSettings, Read, Rows
from roftmol.training.vectors import vectors

#: A row of table "fits".
Row = Mapping[str, Any]


@dataclass(frozen=True)
class TunedHeadSettings:
    """The settings of the stage `tuned_head`: the head's cell, and that of the method whose encoders it reads."""

    head: LearnerSettings
    encoders: RunSettings


def run(
    settings: TunedHeadSettings,
    data: Path,
    graphs: Path,
    splits: Path,
    checkpoint: Path,
    tuned: Path,
    out: Path,
    *,
    mixed: Path | None = None,
    descriptors: Path | None = None,
    gfn2: Path | None = None,
) -> None:
    """Fit a head for every seed and fold; write fits, predictions and (empty) curves to `out`.

    `tuned` is METHOD's run folder and, where METHOD mixes, `mixed` that of the method whose weights it mixes. Raises
    `UserError` if one of them lacks what is needed.
    """
    cell = LearnerCell(settings.head, data, splits, descriptors, gfn2)
    encoders = TunedEncoders(
        Cell(settings.encoders, graphs, checkpoint, None), tuned, mixed, cell.assigned, cell.labels
    )

    def read(seed: int, number: int, part: Mapping[str, Rows]) -> Read:
        row = encoders.row(seed, number)
        encoder = encoders.of(row)
        rows = np.concatenate(list(part.values()))
        seen = vectors(encoder, encoders.cell.molecules, cell.molecules[rows])
        of_fold = np.full((len(cell.molecules), seen.shape[1]), np.nan, seen.dtype)  # no other fold's is asked for
        of_fold[rows] = seen
        note = "" if row["setting"] == "{}" else f"encoder of {row['setting']}"
        return Read(cell.learner.features(replace(cell.inputs, vectors=of_fold)), note)

    cell.run(read, out)


class TunedEncoders:
    """The encoders of a method's cell: of each seed and fold, with the hyperparameters that validation selects."""

    def __init__(
        self, cell: Cell, tuned: Path, mixed: Path | None, assigned: pd.DataFrame, labels: NDArray[np.float64]
    ):
        """Read the run folder `tuned`; `assigned` is table "splits" with each molecule's row in `labels`."""
        self.cell, self.tuned, self.assigned = cell, tuned, assigned
        self.sources = Sources(mixed, cell.settings.metric) if mixed else None
        self.fits = schemas.read("fits", tuned / "fits.parquet")
        candidates = _candidates(cell, tuned, assigned, labels)
        selected = select(self.fits, candidates, cell.settings.metric, "validation")
        self.settings = {
            seed: setting for seed, setting in zip(selected["seed"], selected["setting"], strict=True) if setting
        }

    def row(self, seed: int, number: int) -> Row:
        """Return the row of table "fits" of a seed and fold.

        Raises `DivergedError` if there is no encoder, and `UserError` if there is no row.
        """
        method, fits = self.cell.method.name, self.fits
        of_fold = fits[(fits["seed"] == seed) & (fits["fold"] == number)]
        if of_fold.empty:
            file = self.tuned / "fits.parquet"
            raise UserError(f"{file}: seed {seed}, fold {number} is not in it. {schemas.ANEW}")
        if seed not in self.settings:
            reasons = filter(None, fits.loc[fits["seed"] == seed, "reason"])
            raise DivergedError(f"{method} failed: {'; '.join(dict.fromkeys(reasons))}")
        chosen = of_fold[of_fold["setting"] == self.settings[seed]]
        return {str(column): value for column, value in chosen.iloc[0].items()}

    def of(self, row: Row) -> Encoder:
        """Return the encoder that a fit ended with.

        Raises `UserError` if weights that it needs are not there, and `DivergedError` if they cannot be mixed.
        """
        if self.sources is None:
            return jobs.saved_encoder(self.cell, self.tuned / "parts" / row["part"])
        settings = self.cell.settings
        hyperparameters = next(
            chosen for chosen in map(self.cell.method.parse, settings.grid) if setting_text(chosen) == row["setting"]
        )
        fold = dict(folds(self.assigned, row["seed"]))[row["fold"]]
        planned = Planned(row["seed"], row["fold"], fold, hyperparameters)
        return jobs.mixture(self.cell, planned, self.sources)[0].encoder


def _candidates(
    cell: Cell, tuned: Path, assigned: pd.DataFrame, labels: NDArray[np.float64]
) -> dict[tuple[int, str], Candidate]:
    """Return the validation scores of every seed and setting whose folds were all fitted; out of fold, if several."""
    predictions = schemas.read("predictions", tuned / "predictions.parquet")
    predictions = predictions[predictions["partition"] == "valid"]
    row_of = assigned.drop_duplicates("molecule").set_index("molecule")["position"]
    settings = cell.settings
    candidates = {}
    for (seed, setting), rows in predictions.groupby(["seed", "setting"], sort=False):
        truth = labels[row_of[rows["molecule"]].to_numpy()]
        predicted = np.stack(rows["prediction"].tolist())
        value, loss = metrics.primary(settings.metric, truth, predicted), metrics.loss(settings.task, truth, predicted)
        candidates[int(str(seed)), str(setting)] = Candidate(str(setting), value, loss, np.nan)
    return candidates
