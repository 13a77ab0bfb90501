"""What a chemist writes first: a random forest on Morgan counts and RDKit's descriptors.

A descriptor that RDKit cannot compute is 0. A task with one value in training is predicted by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.methods import fingerprint
from roftmol.methods.base import Fitted, Learner, Method, NoSettings, no_grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from roftmol.features.inputs import Inputs

TREES = 200


def fit_predict(
    _settings: NoSettings,
    task: str,
    X: NDArray[np.float32],
    Y: NDArray[np.float64],
    X_new: NDArray[np.float32],
    seed: int,
) -> Fitted:
    """Fit the fingerprint baseline's forest, with twice the trees, on n x f features."""
    return fingerprint.fit_predict(fingerprint.Settings("forest"), task, X, Y, X_new, seed, TREES)


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
