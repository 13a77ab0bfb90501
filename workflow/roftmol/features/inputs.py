"""What heads and references may read of molecules: an encoder's vectors, RDKit's descriptors, Morgan counts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Rows = NDArray[np.integer]

#: What a file of vectors says.
VECTORS = {"format": "roftmol-vectors-1"}


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known of n molecules before their labels; what nobody asked for is None."""

    molecules: int  #: n
    counts: csr_matrix | None = None  #: n x 2048, of Morgan environments
    descriptors: NDArray[np.floating] | None = None  #: n x f, NaN where one is undefined
    vectors: NDArray[np.floating] | None = None  #: n x d, of an encoder
    #: n, the same number for forms of one substance; None if each molecule is one of its own
    substances: Rows | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return self.molecules

    def __getitem__(self, rows: Rows) -> Inputs:
        """Return these molecules' inputs."""
        taken = (None if part is None else part[rows] for part in (self.counts, self.descriptors, self.vectors))
        substances = None if self.substances is None else self.substances[rows]
        return replace(Inputs(len(rows), *taken), substances=substances)
