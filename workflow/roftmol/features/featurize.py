"""From molecules to graphs: each molecule by its featurizer, then all of them as flat arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem, rdBase

from roftmol.core.errors import UserError
from roftmol.core.parallel import leave_to_parent
from roftmol.features import atom_kinds
from roftmol.features.atom_environments import Classes
from roftmol.features.featurizers import featurizer, geometry
from roftmol.features.featurizers.base import Graph
from roftmol.features.graphs import Graphs

#: Molecules a process featurizes at a time.
CHUNK = 200


def featurize(molecules: pd.DataFrame, name: str = "hu", processes: int = 1) -> Graphs:
    """Return flat arrays of checked molecules (table `molecules`) by the featurizer `name`, on so many processes.

    Raises `UserError` that names the row if the featurizer cannot read a molecule.
    """
    return from_smiles(molecules["smiles"].tolist(), _labels(molecules), processes, name)


def _labels(molecules: pd.DataFrame) -> npt.NDArray[np.float32]:
    """Return the labels, molecules x tasks."""
    return np.array(molecules["labels"].tolist(), np.float32).reshape(len(molecules), -1)


def from_smiles(smiles: list[str], labels: npt.NDArray[np.float32], processes: int = 1, name: str = "hu") -> Graphs:
    """Return flat arrays of these SMILES by the featurizer `name`; `labels` is molecules x tasks.

    Raises `UserError` that names the molecule if the featurizer cannot read it.
    """
    chunks = [(name, start, smiles[start : start + CHUNK]) for start in range(0, len(smiles), CHUNK)]
    if processes > 1 and len(chunks) > 1:
        with ProcessPoolExecutor(min(processes, len(chunks)), initializer=leave_to_parent) as pool:
            parts = list(pool.map(_featurize, chunks))
    else:
        parts = [_featurize(chunk) for chunk in chunks]
    return _joined(parts, labels, name)


def in_space(molecules: pd.DataFrame, conformers: pd.DataFrame) -> Graphs:
    """Return flat arrays of checked molecules (table `molecules`) at their geometries (table `conformers`).

    The tables agree row for row. Raises `UserError` that names the molecule's row for an element that not all models
    were trained on, and for a charge.
    """
    numbers = [np.asarray(row, np.int64) for row in conformers["numbers"]]
    for row, text, atoms in zip(molecules["row"], molecules["smiles"], numbers, strict=True):
        where = f"dataset {molecules['dataset'].iloc[0]}, record {row}, {text!r}"
        if unsupported := geometry.unsupported(atoms.tolist()):
            raise UserError(
                f"{where}: it has {unsupported}; models of atoms in space are given {geometry.SYMBOLS} here, which all "
                "of them were trained on. Leave the molecule out."
            )
        if re.search(r"[+-]", text) and (charge := Chem.GetFormalCharge(Chem.MolFromSmiles(text))):
            raise UserError(f"{where}: it has a charge of {charge}; only neutral molecules are read. Leave it out.")
    positions = [np.asarray(row, np.float64).reshape(-1, 3) for row in conformers["positions"]]
    return from_conformers(numbers, positions, _labels(molecules))


def from_conformers(
    numbers: Sequence[npt.NDArray[np.integer]],
    positions: Sequence[npt.NDArray[np.floating]],
    labels: npt.NDArray[np.float32],
) -> Graphs:
    """Return flat arrays of molecules given by their atoms' elements (n) and positions (n x 3, Angstrom).

    Neighbours are bonds.
    """
    graphs = [geometry.featurize(*atoms) for atoms in zip(numbers, positions, strict=True)]
    kinds = [atom_kinds.classes_in_space(*atoms) for atoms in zip(numbers, positions, strict=True)]
    part = _part(graphs, kinds, [f"molecule {row}" for row in range(len(graphs))])
    return _joined([part], labels, geometry.NAME)


def _joined(parts: list[_Part], labels: npt.NDArray[np.float32], name: str) -> Graphs:
    atoms = np.concatenate([part.sizes for part in parts])
    degrees = np.concatenate([part.degrees for part in parts])
    return Graphs(
        offsets=np.concatenate([[0], np.cumsum(atoms)]),
        atoms=_rows([part.atoms for part in parts], [part.first_with_atoms for part in parts], "atom"),
        indptr=np.concatenate([[0], np.cumsum(degrees)]),
        neighbours=np.concatenate([part.neighbours for part in parts]),
        bonds=_rows([part.bonds for part in parts], [part.first_with_bonds for part in parts], "bond"),
        labels=labels,
        classes=np.concatenate([part.classes for part in parts]),
        featurizer=name,
    )


class _Part(NamedTuple):
    """Some molecules as flat arrays: what a process gives back."""

    sizes: Classes  #: molecules, atoms each
    atoms: npt.NDArray[np.generic]
    degrees: Classes  #: atoms, bonds that each receives
    neighbours: npt.NDArray[np.int32]
    bonds: npt.NDArray[np.generic]
    classes: npt.NDArray[np.int8]
    first_with_atoms: str  #: for messages: the molecule that says how wide a row of `atoms` is
    first_with_bonds: str


def _featurize(chunk: tuple[str, int, list[str]]) -> _Part:
    """Return the graphs of some molecules, from the row `first` on."""
    name, first, smiles = chunk
    one = featurizer(name)
    graphs: list[Graph] = []
    kinds: list[npt.NDArray[np.int8]] = []
    with rdBase.BlockLogs():  # what RDKit remarks on was judged when the molecule was read
        for row, text in enumerate(smiles, first):
            try:
                molecule = Chem.MolFromSmiles(text)
                graph = one(molecule)
                graphs.append(graph)
                kinds.append(_kinds(molecule, len(graph.atoms)))
            except Exception as error:
                reason = str(error) if isinstance(error, UserError) else repr(error)
                raise UserError(f"molecule {row}, {text!r}: the featurizer {name} cannot read it: {reason}") from error
    return _part(graphs, kinds, [f"molecule {row}, {text!r}" for row, text in enumerate(smiles, first)])


def _kinds(molecule: Chem.Mol, nodes: int) -> npt.NDArray[np.int8]:
    """Return the atoms' classes.

    A user's own featurizer may have other nodes than the molecule's atoms; these are of no class.
    """
    if molecule.GetNumAtoms() != nodes:
        return np.full(nodes, -1, np.int8)
    return atom_kinds.classes_of(molecule)


def _part(graphs: list[Graph], kinds: list[npt.NDArray[np.int8]], names: list[str]) -> _Part:
    """Return graphs one after the other, their bonds sorted by the atom that receives; `names` are for messages."""
    sizes = np.array([len(graph.atoms) for graph in graphs])
    bonds_each = [len(graph.senders) for graph in graphs]
    first_atoms = np.cumsum(sizes) - sizes
    receivers = np.concatenate([graph.receivers for graph in graphs]) + np.repeat(first_atoms, bonds_each)
    senders = np.concatenate([graph.senders for graph in graphs])
    order = np.lexsort((senders, receivers))
    return _Part(
        sizes=sizes,
        atoms=_rows([graph.atoms for graph in graphs], names, "atom"),
        degrees=np.bincount(receivers, minlength=int(sizes.sum())),
        neighbours=senders[order].astype(np.int32),
        bonds=_rows([graph.bonds for graph in graphs], names, "bond")[order],
        classes=np.concatenate(kinds),
        first_with_atoms=next((name for name, size in zip(names, sizes, strict=True) if size), names[0]),
        first_with_bonds=next((name for name, bonds in zip(names, bonds_each, strict=True) if bonds), names[0]),
    )


def _rows(arrays: list[npt.NDArray[np.generic]], names: list[str], what: str) -> npt.NDArray[np.generic]:
    """Return the molecules' atoms (or bonds) one under the other; a molecule without any says nothing of their width.

    Raises `UserError` if two molecules have different numbers of features.
    """
    filled = [(name, array) for name, array in zip(names, arrays, strict=True) if len(array)]
    if not filled:
        return arrays[0]
    first, first_array = filled[0]
    width = first_array.shape[1]
    for name, array in filled:
        if array.shape[1] != width:
            raise UserError(
                f"{name}: the featurizer gives {array.shape[1]} features an {what}, and {width} for {first}; "
                "give every molecule the same"
            )
    return np.concatenate([array for _, array in filled])
