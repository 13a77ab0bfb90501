"""A molecule in the vocabulary of Hu et al. 2020 (arXiv 1905.12265): see `vocabulary.py`."""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from roftmol.features.featurizers.base import Graph

BOND_TYPE = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}
# Only the two tetrahedral tags and the two bond directions have rows of their own. RDKit knows more (allene, square
# planar, "either" double bonds); the published tables have no row for them, so they are read as unspecified.
CHIRALITY = {Chem.ChiralType.CHI_TETRAHEDRAL_CW: 1, Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 2}
DIRECTION = {Chem.BondDir.ENDUPRIGHT: 1, Chem.BondDir.ENDDOWNRIGHT: 2}


def featurize(molecule: Chem.Mol) -> Graph:
    """Return the molecule's graph; atoms are n x (element, chirality), bonds m x (type, direction), as rows of tables.

    Raises `KeyError` on a bond that `molecules.read` would have rejected.
    """
    # By index: RDKit's own iterators ask for the number of atoms at every step, a seventh of the time in all.
    atoms = [
        (atom.GetAtomicNum() - 1, CHIRALITY.get(atom.GetChiralTag(), 0))
        for atom in map(molecule.GetAtomWithIdx, range(molecule.GetNumAtoms()))
    ]
    received = []
    for bond in map(molecule.GetBondWithIdx, range(molecule.GetNumBonds())):
        i = bond.GetBeginAtomIdx()
        j = bond.GetEndAtomIdx()
        kind = BOND_TYPE[bond.GetBondType()]
        direction = DIRECTION.get(bond.GetBondDir(), 0)
        received += [(i, j, kind, direction), (j, i, kind, direction)]
    edges = np.array(received, np.int64).reshape(-1, 4)
    return Graph(np.array(atoms, np.uint8), edges[:, 1], edges[:, 0], edges[:, 2:].astype(np.uint8))
