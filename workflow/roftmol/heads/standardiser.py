"""Numbers of many units in one: standardised by the training molecules, and kept within bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Standardised numbers are kept within so many standard deviations: one odd molecule outweighs no others.
CLIP = 5.0


@dataclass(frozen=True, eq=False)
class Standardiser:
    """x -> (x - mean) / deviation of the training molecules, within +-CLIP; what is constant or undefined is 0.

    A column without two different values in training tells nothing and is left out.
    """

    columns: NDArray[np.integer]  #: those that are kept
    mean: Array
    deviation: Array

    @classmethod
    def of(cls, X: NDArray[np.floating]) -> Standardiser:
        """Return the standardiser of training molecules, n x d with NaN for what is undefined."""
        X = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
        defined = np.isfinite(X)
        numbers = np.maximum(defined.sum(0), 1)
        mean = np.where(defined, X, 0.0).sum(0) / numbers
        deviation = np.sqrt(np.where(defined, (X - mean) ** 2, 0.0).sum(0) / numbers)
        # A constant column's deviation is what rounding leaves of it.
        columns = np.flatnonzero(deviation > 1e-9 * np.maximum(np.abs(mean), 1.0))
        return cls(columns, mean[columns], deviation[columns])

    def __call__(self, X: NDArray[np.floating]) -> Array:
        """Return standardised columns, n x kept."""
        Z = (X[:, self.columns].astype(np.float64) - self.mean) / self.deviation
        return np.clip(np.where(np.isfinite(Z), Z, 0.0), -CLIP, CLIP)
