"""Kinds of atoms: the element, and how many neighbours it has. Ten kinds, as in arXiv 2601.08486 ("environments")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from roftmol.core.errors import UserError

#: Kinds of atoms: the element, and how many neighbours it has with hydrogens counted (hydrogen and fluorine: any).
CLASSES: tuple[str, ...] = ("C4", "C3", "C2", "H", "F", "O2", "O1", "N3", "N2", "N1")
#: Two atoms are neighbours up to this many times the sum of their covalent radii.
REACH = 1.2

ELEMENTS = 118
_PERIODIC = Chem.GetPeriodicTable()
_RADII = np.array([_PERIODIC.GetRcovalent(number) for number in range(ELEMENTS + 1)])

Classes = NDArray[np.int8]


def _class_table() -> Classes:
    """Return the table of classes by atomic number and number of neighbours; its last column is for more neighbours."""
    table = np.full((ELEMENTS + 1, 6), -1, np.int8)
    for index, name in enumerate(CLASSES):
        neighbours = int(name[1:]) if name[1:] else slice(None)
        table[_PERIODIC.GetAtomicNumber(name[0]), neighbours] = index
    return table


_CLASS = _class_table()


def _classes(numbers: NDArray[np.integer], neighbours: NDArray[np.integer]) -> Classes:
    """Return the classes of atoms by their atomic numbers and their numbers of neighbours: n, n -> n."""
    return _CLASS[numbers, np.minimum(neighbours, _CLASS.shape[1] - 1)]


def classes_of(molecule: Chem.Mol) -> Classes:
    """Return the class of every atom of a molecule, in the order of its graph: an index into `CLASSES`, or -1 for none.

    Hydrogens are counted as neighbours whether or not the graph has them.
    """
    # By index: RDKit's own iterators ask for the number of atoms at every step.
    every = map(molecule.GetAtomWithIdx, range(molecule.GetNumAtoms()))
    atoms = [(atom.GetAtomicNum(), atom.GetTotalDegree()) for atom in every]
    numbers, neighbours = np.array(atoms, np.int64).reshape(-1, 2).T
    return _classes(numbers, neighbours)


def classes_in_space(numbers: NDArray[np.integer], positions: NDArray[np.floating]) -> Classes:
    """Return the same for the atoms of one geometry: atomic numbers n and positions n x 3 in angstrom -> n.

    Neighbours are atoms within `REACH` times the sum of the covalent radii. Raises `UserError` for an atomic number
    that is no element's and for a position that is not finite.
    """
    if positions.shape != (len(numbers), 3):
        raise ValueError(f"atomic numbers {numbers.shape} and positions {positions.shape} must be n and n x 3")
    for atom in np.flatnonzero((numbers < 1) | (numbers > ELEMENTS)).tolist():
        raise UserError(f"atom {atom}: {numbers[atom]} is no atomic number. Write one from 1 to {ELEMENTS}.")
    for atom in np.flatnonzero(~np.isfinite(positions).all(1)).tolist():
        raise UserError(f"atom {atom}: its position {positions[atom].tolist()} is not finite. Correct or remove it.")
    radii = _RADII[numbers]
    distances = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    near = distances <= REACH * (radii[:, None] + radii)
    return _classes(numbers, near.sum(1) - 1)  # an atom is no neighbour of itself
