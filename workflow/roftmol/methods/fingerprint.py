"""The fingerprint baseline: Morgan counts with a linear model or a random forest, one model a task.

Features are the counts of the environments of radius 2, hashed to 2048, as they are: log(1 + count) is no better for
classification, and worse for ridge where a property adds up over the atoms (ESOL). A missing label leaves its molecule
out of that task. A task with one value in training is predicted by it, one without a label by 0.5 (regression: 0).

Regression targets need no standardising: shifted and scaled targets shift and scale the predictions of both learners.
Every start of Snakemake reads the methods, so scikit-learn and RDKit are imported where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from roftmol.core.errors import UserError
from roftmol.core.seeds import seed_of
from roftmol.methods.base import Fitted, Learner, Method, by_column
from roftmol.tasks import TASKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Trees of a forest.
TREES = 100


@dataclass(frozen=True)
class Settings:
    """One learner: "linear" (ridge or logistic regression with penalty `alpha`) or "forest".

    linear: sum of squared errors + alpha ||w||^2, or sum of log losses + alpha / 2 ||w||^2; the intercept is free.
    The forest has no alpha: one that is given, as in a product of axes, becomes 0.
    """

    learner: Literal["linear", "forest"]
    alpha: float = 10.0

    def __post_init__(self) -> None:
        if self.learner not in ("linear", "forest"):
            raise UserError(f"fingerprint: learner {self.learner!r} is unknown; choose linear or forest.")
        if self.learner == "forest":
            object.__setattr__(self, "alpha", 0.0)
        elif not self.alpha > 0:
            raise UserError(f"fingerprint: alpha {self.alpha!r} must be above 0.")


#: A random forest, and a linear model from weakly to strongly regularised.
GRID = (*(Settings("linear", alpha) for alpha in (1.0, 10.0, 100.0)), Settings("forest"))


def fit_predict(hyperparameters: Settings, task: str, X: Any, Y: Array, X_new: Any, seed: int) -> Fitted:
    """Fit each task on the molecules with its label and predict others: probabilities, or values in label units.

    X: n x f, sparse or not, Y: n x t with NaN for a missing label, X_new: m x f.
    """
    from roftmol.heads import forest

    trees = TREES if Y.shape[1] <= forest.MANY_TASKS else forest.FEW_TREES

    def one(number: int, rows: NDArray[np.integer], y: Array) -> tuple[Array, int]:
        # Trees are drawn for each task by itself, whatever the other tasks are.
        model = learner(hyperparameters, task, trees, seed_of("forest", seed, number) % 2**32).fit(X[rows], y)
        p = model.predict_proba(X_new)[:, 1] if TASKS[task].classes else model.predict(X_new)
        if hyperparameters.learner != "forest":
            return p, X.shape[1] + 1
        if TASKS[task].classes:
            # One more tree, which knows the rate alone: no probability is 0 or 1, and the order is as it was.
            p = (trees * p + y.mean()) / (trees + 1)
        return p, sum(tree.tree_.node_count for tree in model.estimators_)

    return by_column(one, Y, X_new.shape[0], TASKS[task].unknown)


def learner(hyperparameters: Settings, task: str, trees: int, seed: int) -> Any:
    """Return the untrained scikit-learn model of these hyperparameters."""
    from sklearn.linear_model import LogisticRegression, Ridge

    from roftmol.heads import forest

    if hyperparameters.learner == "forest":
        return forest.grown(TASKS[task].classes, trees, seed)
    assert hyperparameters.alpha is not None
    if TASKS[task].classes:
        return LogisticRegression(C=1 / hyperparameters.alpha, max_iter=1000)
    return Ridge(hyperparameters.alpha)


def _learner() -> Learner:
    return Learner(lambda inputs: inputs.counts, fit_predict)


METHOD = Method(
    name="fingerprint",
    title="Fingerprint",
    mechanism="reference",
    summary="Morgan counts with a linear model or a random forest: what the network is worth.",
    colour="#B5538A",
    marker="D",
    by_default=True,
    model="morgan",
    reads=frozenset({"counts"}),
    compared=True,
    phrase="the fingerprint baseline",
    settings=Settings,
    grid=lambda _layers: GRID,
    learner=_learner,
)
