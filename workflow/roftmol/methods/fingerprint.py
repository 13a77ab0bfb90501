"""The fingerprint baseline: Morgan counts with a linear model or a random forest. What the network is worth.

Its models are scikit-learn's and live in `fingerprints.py`; this is its place among the methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roftmol.errors import UserError
from roftmol.methods.base import Learner, Method


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


def _learner() -> Learner:
    from roftmol.fingerprints import fit_predict, morgan_counts

    return Learner(morgan_counts, fit_predict)


METHOD = Method(
    name="fingerprint",
    title="Fingerprint",
    mechanism="reference",
    summary="Reference point: Morgan fingerprints with a linear model or a random forest.",
    settings=Settings,
    grid=lambda _layers: GRID,
    learner=_learner,
)
