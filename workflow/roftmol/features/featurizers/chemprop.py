"""A molecule as chemprop 2 reads it (Heid et al. 2024, doi 10.1021/acs.jcim.3c01250): its default features, "v2".

    atoms, n x 72
        0..37    element: 1..36, iodine, other
        38..44   neighbours, hydrogens included: 0..5, other
        45..50   formal charge: -1, -2, 1, 2, 0, other
        51..55   chirality: none, clockwise, counterclockwise, not tetrahedral, other
        56..61   hydrogens: 0..4, other
        62..69   hybridisation: s, sp, sp2, sp2d, sp3, sp3d, sp3d2, other
        70       aromatic
        71       mass in hundreds of Dalton
    bonds, m x 14, the same in both directions
        0        no bond, which stays 0
        1..4     single, double, triple, aromatic
        5, 6     conjugated, in a ring
        7..13    stereo: none, any, Z, E, cis, trans, other

All are 0 or 1 but for the mass, which is that of the isotope where one is given. Hydrogens are as the molecule has
them: those that `MolFromSmiles` leaves.
"""

from __future__ import annotations

import numpy as np
from rdkit import Chem

from roftmol.features.featurizers.base import Graph

ATOM_COLUMNS = 72
BOND_COLUMNS = 14

# The column of each value, and that of all others.
_ELEMENT = {number: column for column, number in enumerate((*range(1, 37), 53))}
_OTHER_ELEMENT = 37
_DEGREE = {degree: 38 + degree for degree in range(6)}
_OTHER_DEGREE = 44
_CHARGE = {-1: 45, -2: 46, 1: 47, 2: 48, 0: 49}
_OTHER_CHARGE = 50
_CHIRALITY = {
    Chem.ChiralType.CHI_UNSPECIFIED: 51,
    Chem.ChiralType.CHI_TETRAHEDRAL_CW: 52,
    Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 53,
    Chem.ChiralType.CHI_OTHER: 54,
}
_OTHER_CHIRALITY = 55
_HYDROGENS = {hydrogens: 56 + hydrogens for hydrogens in range(5)}
_OTHER_HYDROGENS = 61
_HYBRIDISATION = {
    Chem.HybridizationType.S: 62,
    Chem.HybridizationType.SP: 63,
    Chem.HybridizationType.SP2: 64,
    Chem.HybridizationType.SP2D: 65,
    Chem.HybridizationType.SP3: 66,
    Chem.HybridizationType.SP3D: 67,
    Chem.HybridizationType.SP3D2: 68,
}
_OTHER_HYBRIDISATION = 69
_AROMATIC = 70
_MASS = 71
_BOND_TYPE = {
    Chem.BondType.SINGLE: 1,
    Chem.BondType.DOUBLE: 2,
    Chem.BondType.TRIPLE: 3,
    Chem.BondType.AROMATIC: 4,
}
_CONJUGATED = 5
_IN_RING = 6
_STEREO = {
    Chem.BondStereo.STEREONONE: 7,
    Chem.BondStereo.STEREOANY: 8,
    Chem.BondStereo.STEREOZ: 9,
    Chem.BondStereo.STEREOE: 10,
    Chem.BondStereo.STEREOCIS: 11,
    Chem.BondStereo.STEREOTRANS: 12,
}
_OTHER_STEREO = 13


def featurize(molecule: Chem.Mol) -> Graph:
    """Return a molecule's graph: atoms n x 72, bonds m x 14."""
    atoms = np.zeros((molecule.GetNumAtoms(), ATOM_COLUMNS), np.float32)
    for row, atom in zip(atoms, molecule.GetAtoms(), strict=True):
        row[_ELEMENT.get(atom.GetAtomicNum(), _OTHER_ELEMENT)] = 1
        row[_DEGREE.get(atom.GetTotalDegree(), _OTHER_DEGREE)] = 1
        row[_CHARGE.get(atom.GetFormalCharge(), _OTHER_CHARGE)] = 1
        row[_CHIRALITY.get(atom.GetChiralTag(), _OTHER_CHIRALITY)] = 1
        row[_HYDROGENS.get(atom.GetTotalNumHs(), _OTHER_HYDROGENS)] = 1
        row[_HYBRIDISATION.get(atom.GetHybridization(), _OTHER_HYBRIDISATION)] = 1
        row[_AROMATIC] = atom.GetIsAromatic()
        row[_MASS] = 0.01 * atom.GetMass()

    bonds = np.zeros((molecule.GetNumBonds(), BOND_COLUMNS), np.float16)
    ends = np.zeros((molecule.GetNumBonds(), 2), np.int64)
    for number, bond in enumerate(molecule.GetBonds()):
        ends[number] = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        if (kind := _BOND_TYPE.get(bond.GetBondType())) is not None:
            bonds[number, kind] = 1
        bonds[number, _CONJUGATED] = bond.GetIsConjugated()
        bonds[number, _IN_RING] = bond.IsInRing()
        bonds[number, _STEREO.get(bond.GetStereo(), _OTHER_STEREO)] = 1
    begins, stops = ends.T
    return Graph(
        atoms,
        senders=np.concatenate([begins, stops]),
        receivers=np.concatenate([stops, begins]),
        bonds=np.concatenate([bonds, bonds]),
    )
