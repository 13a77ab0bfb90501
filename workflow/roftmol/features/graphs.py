"""Molecules as flat arrays on disk, and batches cut out of them by index.

A dataset under one featurizer is one file of a few arrays; a batch is a handful of slices of them, without an object a
molecule. A batch can merge atoms whose environments are the same, so that a network computes each distinct one once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from roftmol.core import tensor_file
from roftmol.features.atom_environments import Classes, equal_rows, refine
from roftmol.features.vocabulary import BOND_DIRECTIONS, BOND_TYPES, SELF_LOOP

FORMAT = "roftmol-graphs-3"

#: Positions of molecules.
Indices = Sequence[int] | npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Hop:
    """One layer's messages: r rows above, each a sum over some of the rows below, itself among them.

    A row is an atom, or stands for all atoms of the batch with the same environment.
    """

    senders: Tensor  #: the rows below that each row above sums over, row by row
    starts: Tensor  #: r + 1, where each row's senders begin
    below: int  #: how many rows there are below
    #: r x 9 with the featurizer `hu`: how often each bond type and direction is received; else r x 0.
    bond_counts: Tensor
    row_of: Tensor | None = None  #: n, the row of each atom, where the next layer wants one an atom again
    counts: Tensor | None = None  #: r, for how many of the batch's first atoms a row stands; None where for one each
    transpose: tuple[Tensor, Tensor] | None = None  #: the senders and starts of the sums that gradients take

    @cached_property
    def degree(self) -> Tensor:
        """r, neighbours of each row's atom, itself included."""
        return self.bond_counts[:, :BOND_TYPES].sum(1)

    @cached_property
    def transposed(self) -> tuple[Tensor, Tensor]:
        """Senders and starts with rows above and below exchanged."""
        if self.transpose is not None:
            return self.transpose
        receivers = torch.arange(len(self.starts) - 1, device=self.starts.device).repeat_interleave(self.starts.diff())
        starts = torch.bincount(self.senders, minlength=self.below).cumsum(0)
        return receivers[torch.argsort(self.senders, stable=True)], torch.cat([starts.new_zeros(1), starts])

    def to(self, device: torch.device) -> Hop:
        """Return the same messages on another device."""
        return Hop(
            senders=self.senders.to(device),
            starts=self.starts.to(device),
            below=self.below,
            bond_counts=self.bond_counts.to(device),
            row_of=None if self.row_of is None else self.row_of.to(device),
            counts=None if self.counts is None else self.counts.to(device),
            transpose=None if self.transpose is None else (self.transpose[0].to(device), self.transpose[1].to(device)),
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """Some molecules as one disconnected graph.

    Shapes: n atoms, m directed bonds, b molecules, t tasks. `bonds` is sorted by the atom that receives.
    """

    atoms: Tensor  #: n x a, features: integers (rows of embedding tables) or floats
    edges: Tensor  #: 2 x m, sender and receiver
    bonds: Tensor  #: m x k, features
    graph: Tensor  #: n, the molecule of each atom
    sizes: Tensor  #: b, atoms in each molecule
    labels: Tensor  #: b x t, NaN where missing
    molecules: npt.NDArray[np.int64]  #: b, positions in the dataset
    hop: Hop | None  #: the messages of a layer that has a row for every atom; None where no layer sums bare neighbours
    merged: Mapping[int, Hop] = field(default_factory=dict)  #: layer -> its messages, where atoms are merged

    def __len__(self) -> int:
        return len(self.sizes)

    def hop_of(self, layer: int) -> Hop:
        """Return the messages of a layer, counted from 0."""
        hop = self.merged.get(layer, self.hop)
        assert hop is not None
        return hop

    def at(self, positions: Tensor) -> Batch:
        """Return the same molecules with their atoms at other positions, n x 3, with gradient to these.

        Neighbours stay.
        """
        return replace(self, atoms=torch.cat([self.atoms[:, :1], positions], 1))

    def to(self, device: torch.device) -> Batch:
        """Return the same batch on another device."""
        if self.atoms.device == device:
            return self
        return Batch(
            atoms=self.atoms.to(device),
            edges=self.edges.to(device),
            bonds=self.bonds.to(device),
            graph=self.graph.to(device),
            sizes=self.sizes.to(device),
            labels=self.labels.to(device),
            molecules=self.molecules,
            hop=None if self.hop is None else self.hop.to(device),
            merged={layer: hop.to(device) for layer, hop in self.merged.items()},
        )


@dataclass(frozen=True, eq=False)
class Graphs:
    """A dataset's molecules as flat arrays, bonds in CSR form (row = the atom that receives)."""

    offsets: npt.NDArray[np.int64]  #: molecules + 1, first atom of each molecule
    atoms: npt.NDArray[np.generic]  #: atoms x a
    indptr: npt.NDArray[np.int64]  #: atoms + 1, first bond of each atom
    neighbours: npt.NDArray[np.int32]  #: bonds, the sending atom, counted from its molecule's first
    bonds: npt.NDArray[np.generic]  #: bonds x k
    labels: npt.NDArray[np.float32]  #: molecules x tasks, NaN where missing
    classes: npt.NDArray[np.int8]  #: atoms, the kind of each (`atom_kinds.CLASSES`), -1 for none of them
    featurizer: str = "hu"

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def bond_counts(self) -> npt.NDArray[np.uint8]:
        """Per atom, how often it receives each bond type and direction; every atom has one self-loop."""
        if self.featurizer != "hu":
            return np.zeros((len(self.atoms), 0), np.uint8)
        counts = np.zeros((len(self.atoms), BOND_TYPES + BOND_DIRECTIONS), np.uint8)
        counts[:, SELF_LOOP] = counts[:, BOND_TYPES] = 1
        receiver = np.repeat(np.arange(len(self.atoms)), np.diff(self.indptr))
        kind, direction = self.bonds.astype(np.int64).T
        np.add.at(counts, (receiver, kind), 1)
        np.add.at(counts, (receiver, BOND_TYPES + direction), 1)
        return counts

    @cached_property
    def _closed(self) -> tuple[Classes, Classes]:
        """Indptr and senders of the bonds with every atom a neighbour of itself, counted from its molecule's first."""
        atoms = np.arange(len(self.atoms))
        indptr = self.indptr + np.arange(len(self.indptr))
        senders = np.empty(indptr[-1], np.int64)
        senders[indptr[:-1]] = atoms - np.repeat(self.offsets[:-1], np.diff(self.offsets))
        receivers = np.repeat(atoms, np.diff(self.indptr))
        senders[np.arange(len(self.neighbours)) + receivers + 1] = self.neighbours
        return indptr, senders

    @cached_property
    def _environments(self) -> list[Classes]:
        return [equal_rows(self.atoms)]

    def environments(self, layers: int) -> Classes:
        """Return the class of every atom's environment, as far as so many layers see it."""
        by_layers = self._environments
        if len(by_layers) <= layers:
            first = np.repeat(self.offsets[:-1], np.diff(self.indptr[self.offsets]))
            senders = first + self.neighbours.astype(np.int64)  # counted from the dataset's first atom
            bonds = equal_rows(self.bonds)
            while len(by_layers) <= layers:
                by_layers.append(refine(by_layers[-1], self.indptr, senders, bonds))
        return by_layers[layers]

    def batch(self, molecules: Indices, merge: range = range(0), norm_molecules: int | None = None) -> Batch:
        """Return the molecules at these positions, in this order.

        In the layers `merge`, atoms with the same environment share a row, until the last of these layers gives every
        atom its own again. Where a layer takes statistics over atoms, the first `norm_molecules` count; None: all.
        """
        chosen = np.asarray(molecules, np.int64)
        first_atom = self.offsets[chosen]
        sizes = self.offsets[chosen + 1] - first_atom
        atoms = ranges(first_atom, sizes)
        first_bond = self.indptr[first_atom]
        bonds_each = self.indptr[self.offsets[chosen + 1]] - first_bond
        bonds = ranges(first_bond, bonds_each)
        starts = np.cumsum(sizes) - sizes
        sender = self.neighbours[bonds] + np.repeat(starts, bonds_each)
        degree = self.indptr[atoms + 1] - self.indptr[atoms]
        receiver = np.repeat(np.arange(len(atoms)), degree)
        shift = np.repeat(starts, sizes)
        norm_atoms = len(atoms) if norm_molecules is None else int(sizes[:norm_molecules].sum())
        return Batch(
            atoms=_tensor(self.atoms[atoms]),
            edges=torch.from_numpy(np.stack([sender, receiver])),
            bonds=_tensor(self.bonds[bonds]),
            graph=torch.from_numpy(np.repeat(np.arange(len(chosen)), sizes)),
            sizes=torch.from_numpy(sizes.astype(np.float32)),
            labels=torch.from_numpy(self.labels[chosen]),
            molecules=chosen,
            hop=self._hop(atoms, shift) if self.featurizer == "hu" else None,
            merged=self._merged(merge, atoms, shift, norm_atoms),
        )

    def _hop(self, atoms: Classes, shift: Classes) -> Hop:
        """Return the messages between all these atoms."""
        senders, bounds = self._messages(atoms, shift)
        return Hop(
            senders=torch.from_numpy(senders),
            starts=torch.from_numpy(bounds),
            below=len(atoms),
            bond_counts=torch.from_numpy(self.bond_counts[atoms].astype(np.float32)),
            # Molecules' bonds run both ways, so that the sums are their own transpose.
            transpose=(torch.from_numpy(senders), torch.from_numpy(bounds)),
        )

    def _messages(self, atoms: Classes, shift: Classes) -> tuple[Classes, Classes]:
        """Return the senders of these atoms' closed neighbourhoods, as rows of the batch, and where each begins."""
        indptr, senders = self._closed
        degree = indptr[atoms + 1] - indptr[atoms]
        shifted = senders[ranges(indptr[atoms], degree)] + np.repeat(shift, degree)
        return shifted, np.concatenate([[0], np.cumsum(degree)])

    def _merged(self, layers: range, atoms: Classes, shift: Classes, norm_atoms: int) -> dict[int, Hop]:
        """Return, by layer, its messages between distinct environments of these atoms."""
        hops = {}
        row_below = None
        below = len(atoms)
        for layer in layers:
            # A row is computed for the first atom of its kind.
            _, first, row = np.unique(self.environments(layer + 1)[atoms], return_index=True, return_inverse=True)
            senders, bounds = self._messages(atoms[first], shift[first])
            hops[layer] = Hop(
                senders=torch.from_numpy(senders if row_below is None else row_below[senders]),
                starts=torch.from_numpy(bounds),
                below=below,
                bond_counts=torch.from_numpy(self.bond_counts[atoms[first]].astype(np.float32)),
                row_of=torch.from_numpy(row) if layer == layers[-1] else None,
                counts=torch.from_numpy(np.bincount(row[:norm_atoms], minlength=len(first)).astype(np.float32)),
            )
            row_below = row
            below = len(first)
        return hops

    def classes_of(self, molecules: Indices) -> npt.NDArray[np.int8]:
        """Return the classes of the atoms of these molecules, in their order."""
        chosen = np.asarray(molecules, np.int64)
        return self.classes[ranges(self.offsets[chosen], self.offsets[chosen + 1] - self.offsets[chosen])]

    def batches(self, molecules: Indices, size: int, merge: range = range(0)) -> Iterator[Batch]:
        """Yield the molecules in ceil(count / size) batches whose sizes differ by at most one.

        Even sizes spare BatchNorm a last batch of one or two molecules. `merge`: see :meth:`batch`.
        """
        for part in evenly(molecules, size):
            yield self.batch(part, merge)

    def save(self, path: Path) -> None:
        """Write the arrays to one file, atomically."""
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in ARRAYS}
        tensor_file.save(path, arrays, {"format": FORMAT, "featurizer": self.featurizer})


#: What helps where a file cannot be read.
ANEW = "Delete it and run the workflow again."
ARRAYS = ("offsets", "atoms", "indptr", "neighbours", "bonds", "labels", "classes")


def load(path: Path) -> Graphs:
    """Read what :meth:`Graphs.save` wrote.

    Raises `UserError` if the file is missing, truncated, damaged, or of another kind.
    """
    with tensor_file.opened(path, "not a file of molecular graphs", ANEW) as file:
        file.expect(FORMAT)
        return Graphs(**file.tensors(), featurizer=file.metadata["featurizer"])


def evenly(molecules: Indices, size: int) -> list[npt.NDArray[np.int64]]:
    """Return the molecules, in their order, in ceil(count / size) parts whose sizes differ by at most one."""
    chosen = np.asarray(molecules, np.int64)
    return np.array_split(chosen, max(1, -(-len(chosen) // size)))


def ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the integers of every range [start, start + length), one range after the other."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _tensor(features: npt.NDArray[np.generic]) -> Tensor:
    """Return features as networks take them: float32, or int64 for rows of embedding tables."""
    return torch.from_numpy(features.astype(np.float32 if features.dtype.kind == "f" else np.int64))
