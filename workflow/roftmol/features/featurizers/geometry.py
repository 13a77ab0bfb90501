"""What a network of atoms in space reads: elements and positions, and who is near whom."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from roftmol.core.errors import UserError
from roftmol.features.featurizers.base import Graph

#: Atoms nearer than this many Angstrom are neighbours to SO3LR; AIMNet2 finds its own among all pairs of a molecule.
CUTOFF = 4.5
NAME = "geometry"
#: What every registered model was trained on: a model would give numbers for any element. AIMNet2 was trained on B, Si,
#: As, Se, Br and I as well.
ELEMENTS = {1: "H", 6: "C", 7: "N", 8: "O", 9: "F", 15: "P", 16: "S", 17: "Cl"}
#: The same for messages.
SYMBOLS = ", ".join(ELEMENTS.values())


def unsupported(numbers: Iterable[int]) -> str:
    """Return the symbols of the elements in `numbers` that not all models were trained on, "" for none."""
    table = Chem.GetPeriodicTable()
    return ", ".join(table.GetElementSymbol(number) for number in sorted(set(numbers) - ELEMENTS.keys()))


def featurize(numbers: npt.NDArray[np.integer], positions: npt.NDArray[np.floating]) -> Graph:
    """Return the neighbourhood graph of n atoms: atoms n x (element, x, y, z) in Angstrom, bonds without features.

    Raises `UserError` if vesin, which finds the neighbours, is not installed.
    """
    points = np.ascontiguousarray(positions, np.float64)
    senders, receivers = _neighbours().compute(points, np.zeros((3, 3)), False, "ij")
    atoms = np.concatenate([np.asarray(numbers, np.float32)[:, None], points.astype(np.float32)], 1)
    return Graph(atoms, senders.astype(np.int64), receivers.astype(np.int64), np.empty((len(senders), 0), np.uint8))


@cache
def _neighbours() -> Any:
    try:
        from vesin import NeighborList
    except ImportError as error:
        raise UserError(
            "models of atoms in space need vesin, ase and so3krates-torch: "
            "pip install --no-deps --requirement requirements-atomistic.txt"
        ) from error
    return NeighborList(cutoff=CUTOFF, full_list=True)
