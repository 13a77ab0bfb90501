"""What heads and references may read of molecules: an encoder's vectors, descriptors, Morgan counts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Rows = NDArray[np.integer]

#: What a file of vectors says.
VECTORS = {"format": "roftmol-vectors-1"}
#: Of a molecule by GFN2-xTB: dipole (D), energies of the highest occupied and lowest unoccupied orbital and between
#: them (eV), total energy (Eh), electrons, and energy an atom (Eh).
GFN2_FIELDS = ("dipole", "homo", "lumo", "gap", "energy", "electrons", "energy_per_atom")
#: The columns of a file of them: values, 0 where there is none, then for each of these whether there is one, 1 or 0.
GFN2_NAMES = (*GFN2_FIELDS, *(f"has_{name}" for name in GFN2_FIELDS))
#: What a file of them says.
GFN2 = {"format": "roftmol-gfn2-1", "names": ",".join(GFN2_NAMES)}


@dataclass(frozen=True, eq=False)
class Inputs:
    """What is known of n molecules before their labels; what nobody asked for is None."""

    molecules: int  #: n
    counts: csr_matrix | None = None  #: n x 2048, of Morgan environments
    descriptors: NDArray[np.floating] | None = None  #: n x f, RDKit's, NaN where one is undefined
    vectors: NDArray[np.floating] | None = None  #: n x d, of an encoder
    gfn2: NDArray[np.floating] | None = None  #: n x 14, in the order of `GFN2_NAMES`

    def __len__(self) -> int:
        return self.molecules

    def __getitem__(self, rows: Rows) -> Inputs:
        """Return these molecules' inputs."""
        parts = (self.counts, self.descriptors, self.vectors, self.gfn2)
        return Inputs(len(rows), *(None if part is None else part[rows] for part in parts))

    def only(self, names: Collection[str]) -> Inputs:
        """Return the same molecules with these inputs alone, by the names of the fields."""
        return Inputs(
            self.molecules,
            counts=self.counts if "counts" in names else None,
            descriptors=self.descriptors if "descriptors" in names else None,
            vectors=self.vectors if "vectors" in names else None,
            gfn2=self.gfn2 if "gfn2" in names else None,
        )
