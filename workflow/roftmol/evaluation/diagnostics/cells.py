"""The test predictions of one cell after another, and the labelled entries in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from roftmol.tables import schemas
from roftmol.tasks import TASKS

Array = NDArray[np.float64]
Ints = NDArray[np.int64]
CELL = list(schemas.CELL)


@dataclass(frozen=True, eq=False)
class Data:
    """A dataset: its kind of task, molecules' SMILES, labels (molecules x tasks, NaN if missing).

    `scale` has a number for each task that errors are divided by: the labels' standard deviation if there are several
    regression tasks, which have different units, and otherwise 1.
    """

    kind: str
    smiles: list[str]
    labels: Array
    scale: Array


@dataclass(frozen=True, eq=False)
class Cell:
    """The test predictions of a cell's selected runs: a row a seed and molecule, a column a task."""

    identity: dict[str, str]
    seeds: Ints
    molecules: Ints
    predictions: Array

    @property
    def context(self) -> tuple[str, ...]:
        """The split that the cell's runs share with other methods and encoders."""
        return tuple(self.identity[name] for name in schemas.CONTEXT)


@dataclass(frozen=True, eq=False)
class Entries:
    """The labelled test entries of a cell, one for each seed, molecule and task with a label, in units of `Data.scale`.

    `label` numbers the distinct labels (molecule and task): an entry that two seeds have is one label.
    """

    seeds: Ints
    molecules: Ints
    label: Ints
    y: Array
    p: Array

    def __len__(self) -> int:
        return len(self.y)

    def of(self, chosen: NDArray[np.bool_]) -> Entries:
        """Return the chosen entries."""
        return Entries(self.seeds[chosen], self.molecules[chosen], self.label[chosen], self.y[chosen], self.p[chosen])

    def by_seed(self) -> Iterator[Entries]:
        """Yield the entries of each seed."""
        for seed in np.unique(self.seeds):
            yield self.of(self.seeds == seed)


def entries(cell: Cell, data: Data) -> Entries:
    """Return the labelled entries of a cell; a seed with a prediction that is not finite is left out as a whole."""
    broken = np.unique(cell.seeds[~np.isfinite(cell.predictions).all(axis=1)])
    labels = data.labels[cell.molecules]
    row, task = np.nonzero(np.isfinite(labels) & ~np.isin(cell.seeds, broken)[:, None])
    return Entries(
        cell.seeds[row],
        cell.molecules[row],
        cell.molecules[row] * labels.shape[1] + task,
        labels[row, task] / data.scale[task],
        cell.predictions[row, task] / data.scale[task],
    )


def read_data(tables: Path) -> dict[str, Data]:
    """Read the datasets of an experiment, by name."""
    molecules, tasks = (schemas.read(name, tables / f"{name}.parquet") for name in ("molecules", "tasks"))
    datasets = {}
    for name, rows in molecules.groupby("dataset", sort=False):
        columns = tasks[tasks["dataset"] == name].sort_values("task")
        kind = columns["kind"].iloc[0]
        std = columns["std"].to_numpy(np.float64)
        several = not TASKS[kind].classes and len(columns) > 1
        scale = np.where(std > 0, std, 1.0) if several else np.ones(len(columns))
        labels = TASKS[kind].values(np.array(rows["labels"].tolist(), np.float64))
        datasets[str(name)] = Data(kind, rows["smiles"].tolist(), labels, scale)
    return datasets


def read_cells(tables: Path) -> Iterator[Cell]:
    """Yield the cells of table "predictions" in its order, holding at most one cell and one row group at a time."""
    held: list[pa.Table] = []
    for group in schemas.stream("predictions", tables / "predictions.parquet"):
        for part in _runs_of_rows(group):
            if held and _identity(held[0]) != _identity(part):
                yield _cell(held)
                held = []
            held.append(part)
    if held:
        yield _cell(held)


def _runs_of_rows(group: pa.Table) -> Iterator[pa.Table]:
    """Yield the test rows of a row group, cut where the cell changes."""
    rows = group.filter(pa.compute.equal(group["partition"], "test"))
    keys: pd.DataFrame = rows.select(CELL).to_pandas()
    bounds = [*np.flatnonzero((keys != keys.shift()).any(axis=1)).tolist(), len(keys)]
    for start, stop in pairwise(bounds):
        yield rows.slice(start, stop - start)


def _identity(part: pa.Table) -> dict[str, str]:
    return {name: part[name][0].as_py() for name in CELL}


def _cell(parts: list[pa.Table]) -> Cell:
    rows = pa.concat_tables(parts)
    predictions = rows["prediction"].combine_chunks()
    values = predictions.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    return Cell(
        _identity(rows),
        rows["seed"].to_numpy().astype(np.int64),
        rows["molecule"].to_numpy().astype(np.int64),
        values.reshape(len(predictions), -1),
    )
