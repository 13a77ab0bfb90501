"""What a head may read of molecules: an encoder's vectors, RDKit's descriptors, Morgan counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Array = NDArray[np.float64]
Rows = NDArray[np.integer]

#: Standardised numbers are kept within so many standard deviations: one odd molecule outweighs no others.
CLIP = 5.0


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known of n molecules before their labels; what a head does not read is None."""

    vectors: NDArray[np.floating] | None = None  #: n x d, pooled by an encoder
    descriptors: NDArray[np.floating] | None = None  #: n x f, NaN where one is undefined
    counts: csr_matrix | None = None  #: n x 2048, of Morgan environments

    def __len__(self) -> int:
        return next(len_of(part) for part in (self.vectors, self.descriptors, self.counts) if part is not None)

    def __getitem__(self, rows: Rows) -> Inputs:
        """Return these molecules' inputs."""
        taken = (None if part is None else part[rows] for part in (self.vectors, self.descriptors, self.counts))
        return Inputs(*taken)


def len_of(part: Any) -> int:
    """Return how many molecules an array has, sparse or not."""
    return int(part.shape[0])


@dataclass(frozen=True, eq=False)
class Standardiser:
    """x -> (x - mean) / deviation of the training molecules, within +-CLIP; what is constant or undefined is 0.

    A column without two different values in training tells nothing and is left out.
    """

    columns: Rows  #: those that are kept
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
