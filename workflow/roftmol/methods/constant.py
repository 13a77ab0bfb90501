"""The constant predictor: what a model is worth that has read no structure.

    regression      y_hat = mean of the training labels
    classification  p_hat = share of class 1 among them

It is the least of all squared errors and log losses that one number for all molecules can have on the training labels.
On a test part its R2 is at most 0 and its ROC-AUC 0.5. A task without a label is predicted by 0.5 (regression: 0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from roftmol.methods.base import Fitted, Learner, Method, NoSettings, no_grid
from roftmol.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def fit_predict(_settings: NoSettings, task: str, _X: Any, Y: NDArray[np.float64], X_new: Any, _seed: int) -> Fitted:
    """Predict each task's mean label for every molecule of `X_new`; a missing label does not count."""
    import numpy as np

    labelled = ~np.isnan(Y)
    counts = labelled.sum(axis=0)
    means = np.where(labelled, Y, 0.0).sum(axis=0) / np.maximum(counts, 1)
    means = np.where(counts > 0, means, TASKS[task].unknown)
    return Fitted(np.tile(means, (len(X_new), 1)), parameters=int((counts > 0).sum()))


METHOD = Method(
    name="constant",
    title="Constant",
    mechanism="reference",
    summary="The mean of the labels, or the share of class 1, for every molecule: what the structures are worth.",
    colour="#9A7B2F",
    marker="s",
    by_default=True,
    model="none",
    compared=True,
    phrase="predicting the mean",
    settings=NoSettings,
    grid=no_grid,
    learner=lambda: Learner(lambda inputs: inputs, fit_predict, selects=False),
)
