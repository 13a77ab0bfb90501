"""Molecules as flat arrays on disk, and batches cut out of them by index.

The vocabulary is that of Hu et al. 2020 (arXiv 1905.12265), which Mole-BERT and GraphMAE share: an atom is its element
and its chirality tag, a bond its type and its direction. A data set is one file of a few arrays; a batch is a handful
of slices of them, without an object a molecule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from rdkit import Chem, rdBase
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor
from torch_geometric import EdgeIndex

from roftmol.errors import UserError
from roftmol.files import atomic

#: Rows of the embedding tables. Elements 1..118 are rows 0..117; 118 stays unused, 119 is the mask of pretraining.
ELEMENTS, MASKED_ELEMENT = 120, 119
CHIRALITIES = 3
#: Bond types 0..3 are single, double, triple, aromatic; 4 is the self-loop, 5 the mask of pretraining.
BOND_TYPES, SELF_LOOP = 6, 4
BOND_DIRECTIONS = 3

_BOND_TYPE = {
    Chem.BondType.SINGLE: 0,
    Chem.BondType.DOUBLE: 1,
    Chem.BondType.TRIPLE: 2,
    Chem.BondType.AROMATIC: 3,
}
# Only the two tetrahedral tags and the two bond directions have rows of their own. RDKit knows more (allene, square
# planar, "either" double bonds); the published tables have no row for them, so they are read as unspecified.
_CHIRALITY = {Chem.ChiralType.CHI_TETRAHEDRAL_CW: 1, Chem.ChiralType.CHI_TETRAHEDRAL_CCW: 2}
_DIRECTION = {Chem.BondDir.ENDUPRIGHT: 1, Chem.BondDir.ENDDOWNRIGHT: 2}

FORMAT = "roftmol-graphs-1"

#: Positions of molecules.
Indices = Sequence[int] | npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some molecules as one disconnected graph.

    Shapes: n atoms, m directed bonds, b molecules, t tasks. `bonds` is sorted by the atom that receives.
    """

    atoms: Tensor  #: n x 2, element and chirality rows
    edges: EdgeIndex  #: 2 x m, sender and receiver
    bonds: Tensor  #: m x 2, type and direction rows
    bond_counts: Tensor  #: n x 9, how often each type and direction is received, the self-loop included
    graph: Tensor  #: n, the molecule of each atom
    sizes: Tensor  #: b, atoms in each molecule
    labels: Tensor  #: b x t, NaN where missing
    molecules: npt.NDArray[np.int64]  #: b, positions in the data set

    def __len__(self) -> int:
        return len(self.sizes)

    @cached_property
    def degree(self) -> Tensor:
        """n, neighbours of each atom, itself included."""
        return self.bond_counts[:, :BOND_TYPES].sum(1)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if self.atoms.device == device:
            return self
        return Batch(
            atoms=self.atoms.to(device),
            edges=self.edges.to(device),
            bonds=self.bonds.to(device),
            bond_counts=self.bond_counts.to(device),
            graph=self.graph.to(device),
            sizes=self.sizes.to(device),
            labels=self.labels.to(device),
            molecules=self.molecules,
        )


@dataclass(frozen=True, eq=False)
class Graphs:
    """A data set's molecules as flat arrays, bonds in CSR form (row = the atom that receives)."""

    offsets: npt.NDArray[np.int64]  #: molecules + 1, first atom of each molecule
    atoms: npt.NDArray[np.uint8]  #: atoms x 2
    indptr: npt.NDArray[np.int64]  #: atoms + 1, first bond of each atom
    neighbours: npt.NDArray[np.int32]  #: bonds, the sending atom, counted from its molecule's first
    bonds: npt.NDArray[np.uint8]  #: bonds x 2
    labels: npt.NDArray[np.float32]  #: molecules x tasks, NaN where missing

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def bond_counts(self) -> npt.NDArray[np.uint8]:
        """Per atom, how often it receives each bond type and direction; every atom has one self-loop."""
        counts = np.zeros((len(self.atoms), BOND_TYPES + BOND_DIRECTIONS), np.uint8)
        counts[:, SELF_LOOP] = counts[:, BOND_TYPES] = 1
        receiver = np.repeat(np.arange(len(self.atoms)), np.diff(self.indptr))
        np.add.at(counts, (receiver, self.bonds[:, 0]), 1)
        np.add.at(counts, (receiver, BOND_TYPES + self.bonds[:, 1]), 1)
        return counts

    def batch(self, molecules: Indices) -> Batch:
        """Cut out the molecules at these positions, in this order."""
        chosen = np.asarray(molecules, np.int64)
        first_atom, sizes = self.offsets[chosen], self.offsets[chosen + 1] - self.offsets[chosen]
        atoms = _ranges(first_atom, sizes)
        first_bond = self.indptr[first_atom]
        bonds_each = self.indptr[self.offsets[chosen + 1]] - first_bond
        bonds = _ranges(first_bond, bonds_each)
        starts = np.cumsum(sizes) - sizes
        sender = self.neighbours[bonds] + np.repeat(starts, bonds_each)
        degree = self.indptr[atoms + 1] - self.indptr[atoms]
        receiver = np.repeat(np.arange(len(atoms)), degree)
        return Batch(
            atoms=torch.from_numpy(self.atoms[atoms].astype(np.int64)),
            edges=EdgeIndex(
                torch.from_numpy(np.stack([sender, receiver])),
                sparse_size=(len(atoms), len(atoms)),
                sort_order="col",
                is_undirected=True,
            ),
            bonds=torch.from_numpy(self.bonds[bonds].astype(np.int64)),
            bond_counts=torch.from_numpy(self.bond_counts[atoms].astype(np.float32)),
            graph=torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)),
            sizes=torch.from_numpy(sizes.astype(np.float32)),
            labels=torch.from_numpy(self.labels[chosen]),
            molecules=chosen,
        )

    def batches(self, molecules: Indices, size: int) -> Iterator[Batch]:
        """Cut the molecules into ceil(count / size) batches whose sizes differ by at most one.

        Even sizes spare BatchNorm a last batch of one or two molecules.
        """
        chosen = np.asarray(molecules, np.int64)
        for part in np.array_split(chosen, max(1, -(-len(chosen) // size))):
            yield self.batch(part)

    def save(self, path: Path) -> None:
        """Write the arrays to one file, atomically."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__}
        with atomic(path) as temporary:
            save_file(arrays, temporary, metadata={"format": FORMAT})


def load(path: Path) -> Graphs:
    """Read what :meth:`Graphs.save` wrote.

    Raises `UserError` if the file is missing, truncated, or of another kind.
    """
    try:
        return Graphs(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise UserError(
            f"{path}: not a file of molecular graphs ({error}). Delete it and run the workflow again."
        ) from error


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The integers of every range [start, start + length), one range after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


Molecule = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.uint8]]


def _molecule(smiles: str) -> Molecule:
    """Atoms, degrees, neighbours and bonds of one molecule, each atom's bonds by increasing neighbour."""
    with rdBase.BlockLogs():  # what RDKit remarks on was judged when the molecule was read
        molecule = Chem.MolFromSmiles(smiles)
    atoms = [(atom.GetAtomicNum() - 1, _CHIRALITY.get(atom.GetChiralTag(), 0)) for atom in molecule.GetAtoms()]
    received = []
    for bond in molecule.GetBonds():
        i, j = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        kind, direction = _BOND_TYPE[bond.GetBondType()], _DIRECTION.get(bond.GetBondDir(), 0)
        received += [(i, j, kind, direction), (j, i, kind, direction)]
    edges = np.array(sorted(received), np.int64).reshape(-1, 4)
    degrees = np.bincount(edges[:, 0], minlength=len(atoms))
    return np.array(atoms, np.uint8), degrees, edges[:, 1].astype(np.int32), edges[:, 2:].astype(np.uint8)


def featurize(molecules: pd.DataFrame, processes: int = 1) -> Graphs:
    """Turn checked molecules (table `molecules`) into flat arrays, on so many processes.

    Raises `KeyError` or `AttributeError` on molecules that `molecules.read` would have rejected.
    """
    labels = np.array(molecules["labels"].tolist(), np.float32).reshape(len(molecules), -1)
    return from_smiles(molecules["smiles"].tolist(), labels, processes)


def from_smiles(smiles: list[str], labels: npt.NDArray[np.float32], processes: int = 1) -> Graphs:
    """Flat arrays of these SMILES; `labels` is molecules x tasks."""
    if processes > 1 and len(smiles) > 2000:
        with ProcessPoolExecutor(processes) as pool:
            parts = list(pool.map(_molecule, smiles, chunksize=500))
    else:
        parts = [_molecule(text) for text in smiles]
    atoms, degrees, neighbours, bonds = (list(column) for column in zip(*parts, strict=True))
    return Graphs(
        offsets=np.cumsum([0, *map(len, atoms)]),
        atoms=np.concatenate(atoms),
        indptr=np.concatenate([[0], np.cumsum(np.concatenate(degrees))]),
        neighbours=np.concatenate(neighbours),
        bonds=np.concatenate(bonds),
        labels=labels,
    )
