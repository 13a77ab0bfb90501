"""The molecules of a panel's datasets as one: a row a structure, with the labels of every dataset that has it.

Records that a dataset repeats stay rows of their own: the k-th record of a structure in one dataset and the k-th in
another are one row. Rows stand in the order of first appearance, so that a panel of one dataset has that dataset's.

Roles are per row and dataset. A row may train one dataset and test another; what it tests teaches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.features.graphs import Graphs, ranges
from roftmol.training.fit import Fold

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Union:
    """The molecules of T datasets, in n rows."""

    graphs: Graphs  #: of the first dataset that has a row; labels n x all label columns, NaN where a dataset has none
    rows: tuple[Rows, ...]  #: of each dataset, the row of each of its molecules
    columns: tuple[slice, ...]  #: of each dataset, its label columns


def union(datasets: Sequence[Graphs], structures: Sequence[Sequence[str]]) -> Union:
    """Return the molecules of some datasets as one; `structures` are the canonical SMILES of each dataset's molecules.

    What comes out depends on the order of the datasets.
    """
    records = [pd.DataFrame({"structure": pd.Series(texts, dtype=object)}) for texts in structures]
    together = pd.concat([frame.assign(record=frame.groupby("structure").cumcount()) for frame in records])
    rows, _ = pd.factorize(pd.MultiIndex.from_frame(together))  # numbered by first appearance
    first = np.unique(rows, return_index=True)[1]
    ends = np.cumsum([len(graphs) for graphs in datasets])
    starts = ends - [len(graphs) for graphs in datasets]
    chosen = [first[(start <= first) & (first < end)] - start for start, end in zip(starts, ends, strict=True)]
    rows_of = tuple(np.split(rows.astype(np.int64), ends[:-1]))
    widths = [graphs.labels.shape[1] for graphs in datasets]
    columns = tuple(slice(end - width, end) for end, width in zip(np.cumsum(widths), widths, strict=True))
    labels = np.full((len(first), sum(widths)), np.nan, np.float32)
    for graphs, of_dataset, column in zip(datasets, rows_of, columns, strict=True):
        labels[of_dataset, column] = graphs.labels
    return Union(_joined(list(zip(datasets, chosen, strict=True)), labels), rows_of, columns)


@dataclass(frozen=True, eq=False)
class JointFold:
    """Which rows of a union train and validate one fit."""

    train: Rows  #: those that train a dataset
    valid: Rows  #: those that validate one
    trains: NDArray[np.bool_]  #: n x T, whether a row trains a dataset
    labels: NDArray[np.float32]  #: n x all label columns, NaN wherever a row does not train the column's dataset
    valid_at: tuple[Rows, ...]  #: of each dataset, where its validation molecules stand in `valid`


def joint_fold(molecules: Union, folds: Sequence[Fold]) -> JointFold:
    """Return the roles of a union's rows from those of each dataset's molecules."""
    trains = np.zeros((len(molecules.graphs), len(folds)), np.bool_)
    labels = np.full_like(molecules.graphs.labels, np.nan)
    for number, (rows, columns, fold) in enumerate(zip(molecules.rows, molecules.columns, folds, strict=True)):
        train = rows[fold.train]
        trains[train, number] = True
        labels[train, columns] = molecules.graphs.labels[train, columns]
    validating = [rows[fold.valid] for rows, fold in zip(molecules.rows, folds, strict=True)]
    valid = _each_once(validating)
    position = np.full(len(trains), -1)
    position[valid] = np.arange(len(valid))
    return JointFold(
        train=_each_once([rows[fold.train] for rows, fold in zip(molecules.rows, folds, strict=True)]),
        valid=valid,
        trains=trains,
        labels=labels,
        valid_at=tuple(position[rows] for rows in validating),
    )


def _each_once(rows: Sequence[Rows]) -> Rows:
    """Return all rows in the order of first appearance."""
    return np.asarray(pd.unique(np.concatenate(rows)), np.int64)


def _joined(parts: Sequence[tuple[Graphs, Rows]], labels: NDArray[np.float32]) -> Graphs:
    """Return the chosen molecules of several datasets, one dataset after the other."""
    sizes, degrees, atoms, neighbours, bonds, classes = zip(*(_cut(*part) for part in parts), strict=True)
    return Graphs(
        offsets=np.concatenate([[0], np.cumsum(np.concatenate(sizes))]),
        atoms=np.concatenate(atoms),
        indptr=np.concatenate([[0], np.cumsum(np.concatenate(degrees))]),
        neighbours=np.concatenate(neighbours),
        bonds=np.concatenate(bonds),
        labels=labels,
        classes=np.concatenate(classes),
        featurizer=parts[0][0].featurizer,
    )


def _cut(graphs: Graphs, chosen: Rows) -> tuple[NDArray[np.generic], ...]:
    """Return sizes, degrees, atoms, neighbours, bonds and classes of the chosen molecules."""
    first, last = graphs.offsets[chosen], graphs.offsets[chosen + 1]
    atoms = ranges(first, last - first)
    bonds = ranges(graphs.indptr[first], graphs.indptr[last] - graphs.indptr[first])
    degrees = graphs.indptr[atoms + 1] - graphs.indptr[atoms]
    return (
        last - first,
        degrees,
        graphs.atoms[atoms],
        graphs.neighbours[bonds],
        graphs.bonds[bonds],
        graphs.classes[atoms],
    )
