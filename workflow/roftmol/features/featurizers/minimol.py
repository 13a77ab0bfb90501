"""A molecule as MiniMol reads it: properties, the low end of the Laplacian's spectrum, return probabilities.

    atoms, n x 117
        0..7     eigenvectors u_k of the Laplacian D - A, an atom's entries, for the 8 smallest eigenvalues
        8..15    the eigenvalues lambda_k
        16..31   probability that a random walk is back after 1, 2, ..., 16 steps: diagonal of (D^-1 A)^k
        32       neighbours, hydrogens included, less 2
        33..35   formal charge; unpaired electrons; aromatic
        36       in a ring
        37..80   element: the 43 of `_ELEMENTS`, other
        81..100  group of the periodic table: 1..18, none (Ce..Lu, Th..Lr), unused
        101..108 period: 1..7, unused
        109..116 valence, hydrogens included: 0..6, other
    bonds, m x 13
        0..4     single, double, triple, aromatic, other
        5..11    stereo: none, any, Z, E, cis, trans, other
        12       in a ring

Spectra are those of the molecule's connected components. A component of fewer than 8 atoms is filled up with zeros,
both values and vectors. An atom without bonds returns with probability 0 after any number of steps, but with 1 if it is
the whole molecule. Hydrogens are as the molecule has them: those that `MolFromSmiles` leaves. Isotopes and chirality
are not seen. All numbers are float16, as the published features are.

**Signs.** An eigenvector is one of a pair, u and -u, and MiniMol tells them apart. Of the two we take the one with
sum_i u_i^3 > 0. Where that sum is 0 (|sum| <= `_ZERO`) it is the one whose first entry other than 0 is positive, by
canonical atom rank. Where an eigenvalue is repeated (gaps <= `_GAP`) the vectors are first made definite: P being the
projection onto the eigenspace, we take the columns of P by canonical rank, orthogonalised, as long as they add anything
(norm > `_ZERO_ENTRY`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from rdkit import Chem

from roftmol.features.featurizers.base import Graph

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

EIGENPAIRS = 8
STEPS = 16
ATOM_COLUMNS = 117
BOND_COLUMNS = 13

_GAP = 1e-6
_ZERO = 1e-6
_ZERO_ENTRY = 1e-3

# fmt: off
_ELEMENTS = (
    "C", "N", "O", "S", "F", "Si", "P", "Cl", "Br", "Mg", "Na", "Ca", "Fe", "As", "Al", "I", "B", "V", "K", "Tl", "Yb",
    "Sb", "Sn", "Ag", "Pd", "Co", "Se", "Ti", "Zn", "H", "Li", "Ge", "Cu", "Au", "Ni", "Cd", "In", "Mn", "Zr", "Cr",
    "Pt", "Hg", "Pb",
)
# fmt: on
_BOND_TYPE = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}
_BOND_STEREO = {
    Chem.BondStereo.STEREONONE: 5,
    Chem.BondStereo.STEREOANY: 6,
    Chem.BondStereo.STEREOZ: 7,
    Chem.BondStereo.STEREOE: 8,
    Chem.BondStereo.STEREOCIS: 9,
    Chem.BondStereo.STEREOTRANS: 10,
}
# Columns of bonds.
_OTHER_TYPE = 4
_OTHER_STEREO = 11
_BOND_IN_RING = 12
# Columns of atoms, where each group of them begins.
_ELEMENT = 37
_GROUP = 81
_PERIOD = 101
_VALENCE = 109
_OTHER_VALENCE = 116


def _group_and_period(number: int) -> tuple[int, int]:
    """Return the group 1..18, or 19 for none, and the period 1..7 of an element."""
    noble = (2, 10, 18, 36, 54, 86, 118)
    period = 1 + sum(number > last for last in noble)
    position = number - (0, *noble)[period - 1]  # in its period, from 1
    length = (2, 8, 8, 18, 18, 32, 32)[period - 1]
    if position <= 2 and number != 2:
        return position, period
    if length == 32 and 4 <= position <= 17:  # La and Ac stand in group 3
        return 19, period
    if position == 3 and length >= 18:
        return 3, period
    return 18 - (length - position), period


def _ones_of_element(number: int) -> tuple[int, int, int]:
    """Return the columns that hold a one for an atomic number."""
    symbol = Chem.GetPeriodicTable().GetElementSymbol(number) if number else "*"
    element = _ELEMENTS.index(symbol) if symbol in _ELEMENTS else len(_ELEMENTS)
    # The published code reads a dummy atom's group and period off the last row of its table, that of element 118.
    group, period = _group_and_period(number or 118)
    return _ELEMENT + element, _GROUP + group - 1, _PERIOD + period - 1


_ONES_OF_ELEMENT = [_ones_of_element(number) for number in range(119)]


def featurize(molecule: Chem.Mol) -> Graph:
    """Return a molecule's graph: atoms n x 117, bonds m x 13, in both directions and sorted by receiver."""
    n = molecule.GetNumAtoms()
    atoms = np.zeros((n, ATOM_COLUMNS), np.float16)
    plain: list[tuple[int, ...]] = []
    columns: list[tuple[int, ...]] = []
    for atom in molecule.GetAtoms():
        plain.append(
            (
                atom.GetTotalDegree() - 2,
                atom.GetFormalCharge(),
                atom.GetNumRadicalElectrons(),
                atom.GetIsAromatic(),
                atom.IsInRing(),
            )
        )
        valence = min(_VALENCE + atom.GetTotalValence(), _OTHER_VALENCE)
        columns.append((*_ONES_OF_ELEMENT[atom.GetAtomicNum()], valence))
    atoms[:, 32:37] = plain
    atoms[np.arange(n)[:, None], columns] = 1

    directed = []
    for bond in molecule.GetBonds():
        i = bond.GetBeginAtomIdx()
        j = bond.GetEndAtomIdx()
        kind = _BOND_TYPE.get(bond.GetBondType(), _OTHER_TYPE)
        stereo = _BOND_STEREO.get(bond.GetStereo(), _OTHER_STEREO)
        ring = bond.IsInRing()
        directed += [(i, j, kind, stereo, ring), (j, i, kind, stereo, ring)]
    table = np.array(sorted(directed), np.int64).reshape(-1, 5)
    receiver = table[:, 0].copy()
    sender = table[:, 1].copy()
    bonds = np.zeros((len(table), BOND_COLUMNS), np.float16)
    every = np.arange(len(table))
    bonds[every, table[:, 2]] = bonds[every, table[:, 3]] = 1
    bonds[:, _BOND_IN_RING] = table[:, 4]

    adjacency = np.zeros((n, n))
    adjacency[receiver, sender] = 1
    vectors, values = spectrum(molecule, adjacency)
    atoms[:, :32] = np.concatenate([vectors, values, returns(adjacency)], 1)
    return Graph(atoms, sender, receiver, bonds)


def returns(adjacency: Floats) -> Floats:
    """Return diag((D^-1 A)^k) for k = 1..16: n x n -> n x 16."""
    n = len(adjacency)
    if n == 1:
        return np.ones((1, STEPS))
    step = adjacency / np.maximum(adjacency.sum(1, keepdims=True), 1)
    # diag(S^(i+j))_a = sum_b (S^i)_ab (S^j)_ba, so 8 powers make 16 steps.
    powers = [np.eye(n), step]
    while len(powers) <= STEPS // 2:
        powers.append(powers[-1] @ step)
    stacked = np.stack(powers)
    k = np.arange(1, STEPS + 1)
    return np.einsum("kab,kba->ak", stacked[k // 2], stacked[k - k // 2])


def spectrum(molecule: Chem.Mol, adjacency: Floats) -> tuple[Floats, Floats]:
    """Return eigenvectors and eigenvalues of the components' Laplacians, each n x 8."""
    n = len(adjacency)
    vectors = np.zeros((n, EIGENPAIRS))
    values = np.zeros((n, EIGENPAIRS))
    laplacian = np.diag(adjacency.sum(1)) - adjacency
    rank = _Rank(molecule)
    for component in Chem.GetMolFrags(molecule):
        part = np.array(component)
        lam, u = np.linalg.eigh(laplacian[np.ix_(part, part)])
        kept = min(EIGENPAIRS, len(part))
        values[part, :kept] = lam[:kept]
        vectors[part, :kept] = _definite(lam, u, kept, part, rank)
    return vectors, values


class _Rank:
    """Canonical atom ranks, computed when they are first asked for."""

    def __init__(self, molecule: Chem.Mol):
        self.molecule = molecule
        self.ranks: Integers | None = None

    def order(self, part: Integers) -> Integers:
        """Return positions in `part`, by rank."""
        if self.ranks is None:
            self.ranks = np.array(Chem.CanonicalRankAtoms(self.molecule, breakTies=True), np.int64)
        return np.argsort(self.ranks[part])


def _definite(lam: Floats, u: Floats, kept: int, part: Integers, rank: _Rank) -> Floats:
    """Return the first `kept` eigenvectors, with definite bases of repeated eigenvalues and definite signs.

    c x c -> c x kept.
    """
    first = 0
    while first < kept:
        last = first + 1
        while last < len(lam) and lam[last] - lam[last - 1] <= _GAP:
            last += 1
        if last - first > 1:
            u[:, first:last] = _basis(u[:, first:last], rank.order(part))
        first = last
    u = u[:, :kept]
    cubes = (u**3).sum(0)
    for k in np.flatnonzero(np.abs(cubes) <= _ZERO):
        entries = u[rank.order(part), k]
        cubes[k] = entries[np.flatnonzero(np.abs(entries) > _ZERO_ENTRY)[0]]
    return u * np.sign(cubes)


def _basis(u: Floats, order: Integers) -> Floats:
    """Return an orthonormal basis of span(u) that depends on the span alone: c x d -> c x d."""
    basis: list[Floats] = []
    for atom in order:
        column = u @ u[atom]
        for earlier in basis:
            column = column - earlier * earlier[atom]
        norm = np.sqrt(max(column[atom], 0.0))  # column' column = column[atom]: the projection is its own square
        if norm > _ZERO_ENTRY:
            basis.append(column / norm)
            if len(basis) == u.shape[1]:
                break
    return np.stack(basis, 1)
