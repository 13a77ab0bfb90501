"""The fingerprint baseline: Morgan counts with a linear model or a random forest. What the network is worth.

Its model is scikit-learn's and lives in `fingerprints.py`; this is its place among the methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roftmol.methods.base import Method


@dataclass(frozen=True)
class Settings:
    """`learner` "linear" is ridge or logistic regression with penalty `alpha`; "forest" has no `alpha`."""

    learner: Literal["linear", "forest"]
    alpha: float | None = None


METHOD = Method(
    name="fingerprint",
    title="Fingerprint",
    mechanism="reference",
    summary="Reference point: Morgan fingerprints with a linear model or a random forest.",
    settings=Settings,
    grid=lambda _layers: (*(Settings("linear", alpha) for alpha in (0.1, 1.0, 10.0, 100.0)), Settings("forest")),
)
