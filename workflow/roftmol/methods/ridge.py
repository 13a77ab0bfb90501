"""Linear probing in closed form: ridge regression, or logistic regression, on the frozen encoder's vectors.

    ridge      min_w  ||y - X w - b||^2 + alpha ||w||^2      alpha has the least squared error of leave-one-out, exactly
    logistic   min_w  sum log loss + alpha / 2 ||w||^2       alpha has the least log loss of a cross-validation of five

X is standardised. No molecule is left for validation, and no epoch is chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.methods.base import Fitted, Learner, Method, NoSettings, by_column, no_grid
from roftmol.tasks import TASKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from roftmol.features.inputs import Inputs

#: Penalties that are tried, in units of a standardised vector's squared length.
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)


def fit_predict(
    _settings: NoSettings, task: str, X: Inputs, Y: NDArray[np.float64], X_new: Inputs, seed: int
) -> Fitted:
    """Fit each task on the molecules with its label and predict others."""
    import numpy as np
    from sklearn.linear_model import RidgeCV

    from roftmol.core.seeds import generator
    from roftmol.heads import kernel_logistic
    from roftmol.heads.kernels import linear
    from roftmol.heads.standardiser import Standardiser

    assert X.vectors is not None
    assert X_new.vectors is not None
    standardiser = Standardiser.of(X.vectors)
    Z, Z_new = standardiser(X.vectors), standardiser(X_new.vectors)

    def one(number: int, rows: NDArray[np.integer], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
        if not TASKS[task].classes:
            ridge = RidgeCV(np.array(PENALTIES) * Z.shape[1]).fit(Z[rows], y)
            return ridge.predict(Z_new), Z.shape[1] + 1
        # Logistic regression with a linear kernel: n numbers to find, and not as many as a vector is wide.
        folds = kernel_logistic.dealt(y, generator("ridge", seed, number))
        head, _ = kernel_logistic.fit(linear(Z[rows], Z[rows])[None], np.ones(1), y, folds)
        return head.predict(linear(Z_new, Z[rows])[None]), Z.shape[1] + 1

    return by_column(one, Y, len(X_new), TASKS[task].unknown)


METHOD = Method(
    name="ridge",
    title="Ridge head",
    mechanism="closed-form head",
    summary="Ridge or logistic regression on the frozen encoder's vectors, in closed form.",
    colour="#8CCFC2",
    marker="D",
    settings=NoSettings,
    grid=no_grid,
    reads=frozenset({"vectors"}),
    learner=lambda: Learner(lambda inputs: inputs, fit_predict, selects=False),
)
