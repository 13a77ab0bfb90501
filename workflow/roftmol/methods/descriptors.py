"""What a chemist writes first: a random forest on Morgan counts and RDKit's descriptors.

A descriptor that RDKit cannot compute is 0. A task with one value in training is predicted by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.core.seeds import seed_of
from roftmol.methods.base import Fitted, Learner, Method, NoSettings, by_column, no_grid
from roftmol.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from roftmol.features.inputs import Inputs

TREES, FEW_TREES, MANY_TASKS = 200, 20, 30


def fit_predict(
    _settings: NoSettings,
    task: str,
    X: NDArray[np.float32],
    Y: NDArray[np.float64],
    X_new: NDArray[np.float32],
    seed: int,
) -> Fitted:
    """Fit a forest for each task on the molecules with its label and predict others. X: n x f, Y: n x t."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    trees = TREES if Y.shape[1] <= MANY_TASKS else FEW_TREES

    def one(number: int, rows: NDArray[np.integer], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        state = seed_of("forest", seed, number) % 2**32
        if TASKS[task].classes:
            forest = RandomForestClassifier(trees, random_state=state, n_jobs=1).fit(X[rows], y)
            # One more tree, which knows the rate alone: no probability is 0 or 1, and the order is as it was.
            p = (trees * forest.predict_proba(X_new)[:, 1] + y.mean()) / (trees + 1)
        else:
            forest = RandomForestRegressor(trees, max_features=1 / 3, random_state=state, n_jobs=1).fit(X[rows], y)
            p = forest.predict(X_new)
        return p, sum(tree.tree_.node_count for tree in forest.estimators_)

    return by_column(one, Y, len(X_new), TASKS[task].unknown)


def features(inputs: Inputs) -> NDArray[np.float32]:
    """Return counts and descriptors side by side, n x (2048 + f)."""
    import numpy as np

    assert inputs.counts is not None
    assert inputs.descriptors is not None
    return np.hstack([inputs.counts.toarray(), np.nan_to_num(inputs.descriptors)]).astype(np.float32)


METHOD = Method(
    name="descriptors",
    title="Descriptors",
    mechanism="reference",
    summary="A random forest on Morgan counts and RDKit's descriptors: what a chemist writes first.",
    colour="#D08BB4",
    marker="X",
    model="rdkit",
    phrase="the forest on descriptors",
    settings=NoSettings,
    grid=no_grid,
    reads=frozenset({"counts", "descriptors"}),
    learner=lambda: Learner(features, fit_predict, selects=False),
)
