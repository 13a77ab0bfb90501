"""A finished fit: what it gives, of a network or of a reference, and its rows in the tables."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from roftmol.core.run_origin import Origin
from roftmol.scoring import metrics
from roftmol.training.curve import Epoch
from roftmol.training.fit import Task

if TYPE_CHECKING:
    from torch import Tensor

    from roftmol.scoring.representation import Picture
    from roftmol.training.encoder_drift import Change

Predictions = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class FinishedFit:
    """What one fit gives, before it is saved."""

    valid: Predictions  #: molecules x tasks
    test: Predictions
    test_id: Predictions
    curve: tuple[Epoch, ...] = ()
    coefficients: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    best_epoch: int = 0
    trained_parameters: int = 0
    note: str = ""
    reason: str = ""  #: why there are no predictions; "" where there are
    picture: Picture | None = None

    @classmethod
    def failed(cls, reason: str, tasks: int) -> FinishedFit:
        """Return what a fit gives that ended without predictions, which is a result too."""
        nothing = np.empty((0, tasks), np.float32)
        return cls(nothing, nothing, nothing, reason=reason)

    def noted(self, note: str) -> FinishedFit:
        """Return the same with one more note."""
        return replace(self, note=_together(self.note, note))


@dataclass(frozen=True)
class Cost:
    """When a fit began, how long it took, and on what."""

    started: str
    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    device: str


class Stopwatch:
    """It measures from when it is made."""

    def __init__(self) -> None:
        self.started = datetime.now(UTC)
        self.wall = time.perf_counter()
        self.cpu = time.process_time()

    def cost(self, peak_memory_mb: float, device: str = "cpu") -> Cost:
        """Return the cost of what was done since."""
        return Cost(
            started=self.started.isoformat(timespec="seconds"),
            wall_seconds=time.perf_counter() - self.wall,
            cpu_seconds=time.process_time() - self.cpu,
            peak_memory_mb=peak_memory_mb,
            device=device,
        )


def fit_row(
    identity: Mapping[str, Any], finished: FinishedFit, truth: Predictions, task: Task, cost: Cost, origin: Origin
) -> dict[str, Any]:
    """Return the row of table "fits", but for `part`.

    `identity` are the columns of the run and its fold; `truth` the validation molecules' labels, molecules x tasks.
    """
    loss = metric = float("nan")
    note = finished.note
    if not finished.reason:
        loss = metrics.loss(task.kind, truth, finished.valid)
        metric = metrics.primary(task.metric, truth, finished.valid)
        if np.isnan(metric):
            note = _together(note, f"{task.metric} undefined on validation: selected by loss")
    return {
        **identity,
        "status": "failed" if finished.reason else "ok",
        "reason": finished.reason,
        "note": note,
        "best_epoch": finished.best_epoch,
        "epochs": sum(point.epoch > 0 for point in finished.curve),
        "valid_metric": metric,
        "valid_loss": loss,
        "trained_parameters": finished.trained_parameters,
        **asdict(cost),
        **asdict(origin),
    }


def prediction_rows(
    run: Mapping[str, Any], partition: str, molecules: npt.NDArray[np.integer], outputs: Predictions
) -> pd.DataFrame:
    """Return molecules' rows of table "predictions", from the folds' predictions: folds x molecules x tasks."""
    return pd.DataFrame({**run, "partition": partition, "molecule": molecules, **metrics.together(outputs)})


def _together(*notes: str) -> str:
    return "; ".join(filter(None, notes))
