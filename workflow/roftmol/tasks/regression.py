"""Measured values: standardised, and learnt by their squared error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from roftmol.tasks.base import Array, Doubles, Metric, Primary, Region, SquaredError, Strata, TaskType, tenths

if TYPE_CHECKING:
    from torch import Tensor


def rmse(y: Array, p: Array) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((y - p) ** 2)))


def weighted_rmse(y: Array, p: Array, weights: Array) -> Array:
    """Return the root of the weighted mean squared error, one for each row of weights."""
    with np.errstate(invalid="ignore"):
        return np.sqrt(weights @ (y - p) ** 2 / weights.sum(1))


def mae(y: Array, p: Array) -> float:
    """Mean absolute error."""
    return float(np.mean(np.abs(y - p)))


def r2(y: Array, p: Array) -> float:
    """Coefficient of determination; undefined for constant labels, which covers fewer than two molecules."""
    from sklearn.metrics import r2_score

    return float(r2_score(y, p)) if np.ptp(y) > 0 else np.nan


def spearman(y: Array, p: Array) -> float:
    """Spearman's rank correlation; undefined where labels or predictions are constant."""
    from scipy.stats import spearmanr

    return float(spearmanr(y, p).statistic) if np.ptp(y) > 0 and np.ptp(p) > 0 else np.nan


def squared_error(y: Array, p: Array) -> float:
    """Mean squared error."""
    return float(np.mean((y - p) ** 2))


def read(label: str | float) -> float | None:
    """Return a finite number; None for any other."""
    number = float(label)
    return number if math.isfinite(number) else None


def training_loss(output: Tensor, labels: Tensor, root: bool) -> Tensor:
    """Return the mean squared error, or its root."""
    from torch.nn.functional import mse_loss

    error = mse_loss(output, labels)
    return error.sqrt() if root else error


def scaling(labels: Doubles) -> tuple[Doubles, Doubles]:
    """Return mean and deviation of each label column; the deviation is 1 where all labels are equal."""
    deviation = np.nanstd(labels, 0)
    return np.nanmean(labels, 0), np.where(deviation > 0, deviation, 1.0)


def strata(labels: Doubles) -> Strata:
    """Return a tenth of the label; with several label columns, of the mean of the standardised ones."""
    labels = labels[:, ~np.isnan(labels).all(axis=0)]
    spread = np.nanstd(labels, axis=0)
    value = np.nanmean((labels - np.nanmean(labels, axis=0)) / np.where(spread > 0, spread, 1.0), axis=1)
    return Strata(tenths(value), classes=False)


def counted(labels: Doubles) -> int:
    """Return how many molecules have a label."""
    return int((~np.isnan(labels)).sum(axis=0).max())


RMSE = Primary(
    name="rmse",
    title="RMSE",
    better="lower",
    score=rmse,
    range=(0.0, math.inf),
    in_label_units=True,
    weighted=weighted_rmse,
    counted=counted,
    region=Region(
        0.05, "an RMSE of 0.8 log units moves by 0.04, a tenth or less of what repeated measurements differ by"
    ),
)
MAE = Metric(name="mae", title="MAE", better="lower", score=mae, range=(0.0, math.inf), in_label_units=True)
R2 = Metric(name="r2", title="R²", better="higher", score=r2, range=(-math.inf, 1.0))
SPEARMAN = Metric(name="spearman", title="Spearman's ρ", better="higher", score=spearman, range=(-1.0, 1.0))

TASK = TaskType(
    name="regression",
    classes=False,
    primary=RMSE,
    further=(MAE, R2, SPEARMAN),
    read=read,
    labels_are="a number",
    loss=squared_error,
    loss_title="squared error, label units²",
    training_loss=training_loss,
    scaling=scaling,
    predictions=lambda output, shift, scale: output * scale + shift,
    strata=strata,
    squared_error=SquaredError("rmse", "RMSE", root=True),
    unknown=0.0,
    constant_title="the mean of the labels",
    explained=R2,
    with_limits="censored_regression",
)
