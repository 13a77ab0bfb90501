"""The best classical model: kernels over Morgan counts and RDKit's descriptors, and no network.

Values by a Gaussian process on a sum of kernels, probabilities by kernel logistic regression with the same weights
(`heads/kernel_head.py`). What a pretrained encoder is worth is what it adds to this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.methods.base import Fitted, Learner, Method, NoSettings, no_grid
from roftmol.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from roftmol.features.inputs import Inputs


def fit_predict(
    _settings: NoSettings, task: str, X: Inputs, Y: NDArray[np.float64], X_new: Inputs, seed: int
) -> Fitted:
    """Fit the kernel head on all that the inputs hold, and predict others."""
    from roftmol.heads import kernel_head

    kind = TASKS[task]
    head = kernel_head.fit(X, Y, classes=kind.classes, unknown=kind.unknown, seed=seed)
    return Fitted(head.predict(X_new).mean, head.parameters, head.note)


METHOD = Method(
    name="classical",
    title="Classical",
    mechanism="reference",
    summary="Kernels over Morgan counts and RDKit's descriptors: the best that needs no network.",
    colour="#7A3B69",
    marker="P",
    model="rdkit",
    phrase="the classical model",
    settings=NoSettings,
    grid=no_grid,
    kernels=True,
    reads=frozenset({"counts", "descriptors"}),
    learner=lambda: Learner(lambda inputs: inputs, fit_predict, selects=False),
)
