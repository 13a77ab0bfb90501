"""How good predictions are: scores of one task, and their macro mean over the tasks where they are defined.

Labels and predictions are `n x t` arrays (molecules by tasks), NaN for a missing label. A score is NaN where it is
undefined: no label, one class, a constant that it divides by, or a prediction that is not finite.

The scores themselves, and losses, are those of the task types (`tasks/`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.tasks import METRICS, TASKS

Array = NDArray[np.floating]

MACRO = "macro"


def per_task(score: Callable[[Array, Array], float], labels: Array, predictions: Array) -> Array:
    """One score a task, over the molecules with a label; NaN where it is undefined."""
    labels, predictions = _pair(labels, predictions)
    values = np.full(labels.shape[1], np.nan)
    for task in range(labels.shape[1]):
        known = ~np.isnan(labels[:, task])
        y, p = labels[known, task], predictions[known, task]
        if len(y) and np.isfinite(p).all():
            values[task] = score(y, p)
    return values


def macro(values: Array) -> float:
    """Return the mean over the tasks where the score is defined; NaN if it is nowhere."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan


def primary(metric: str, labels: Array, predictions: Array) -> float:
    """Return the macro mean of a metric, NaN if it is undefined for every task."""
    return macro(per_task(METRICS[metric].score, labels, predictions))


def loss(task: str, labels: Array, predictions: Array) -> float:
    """Return the loss over all labelled entries, as the task type has it."""
    labels, predictions = _pair(labels, predictions)
    known = ~np.isnan(labels)
    if not known.any():
        return np.nan
    return TASKS[task].loss(labels[known], predictions[known])


def all_scores(task: str, labels: Array, predictions: Array, names: list[str]) -> pd.DataFrame:
    """Every metric for every task and their macro mean: columns metric, task, value, molecules, tasks, undefined.

    `molecules` counts those with a label (macro: with any), `undefined` the tasks whose metric is NaN.
    """
    known = ~np.isnan(labels)
    rows = []
    for metric in TASKS[task].metrics:
        values = per_task(metric.score, labels, predictions)
        missing = np.isnan(values)
        rows.append((metric.name, MACRO, macro(values), int(known.any(axis=1).sum()), len(names), int(missing.sum())))
        rows += [
            (metric.name, name, value, int(count), 1, int(gone))
            for name, value, count, gone in zip(names, values, known.sum(axis=0), missing, strict=True)
        ]
    return pd.DataFrame(rows, columns=["metric", "task", "value", "molecules", "tasks", "undefined"])


def together(outputs: Array) -> dict[str, Any]:
    """Return what members say together, as the columns of table "predictions", from members x molecules x tasks."""
    mean = np.asarray(np.mean(outputs, axis=0, dtype=outputs.dtype), np.float32)
    if len(outputs) < 2:
        return {"prediction": list(mean), "spread": None}
    spread = np.asarray(np.std(outputs, axis=0, ddof=1, dtype=np.float64), np.float32)
    return {"prediction": list(mean), "spread": list(spread)}


def _pair(labels: Array, predictions: Array) -> tuple[Array, Array]:
    labels, predictions = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    if labels.ndim != 2 or labels.shape != predictions.shape:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must be n x t alike")
    return labels, predictions
