"""Test predictions of aggregated tables, scored again: under resampled molecules, whole or in parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from roftmol.core.seeds import generator
from roftmol.methods import model_of
from roftmol.statistics import bootstrap
from roftmol.statistics.blocks import Array, Family
from roftmol.statistics.bootstrap import Counts
from roftmol.tables import schemas
from roftmol.tasks import PRIMARY

Ints = NDArray[np.int64]


class Cell(NamedTuple):
    """The identity of a cell of the benchmark."""

    protocol: str
    model: str
    dataset: str
    split: str
    budget: str
    method: str


def cell_of(family: Family, dataset: str, method: str) -> Cell:
    """Return the cell of a family's method on a dataset; a reference without an encoder has one for all families."""
    return Cell(family.protocol, model_of(method, family.model), dataset, family.split, family.budget, method)


class Resampled(NamedTuple):
    """A cell's test metric under resampled molecules, B replicates a seed, and the number of molecules that count."""

    by_seed: Mapping[int, Array]
    molecules: int


class Scored(NamedTuple):
    """A part of the molecules that a seed tests: the metric of it, and that under resampled molecules (B)."""

    molecules: int  #: that have a label
    counted: int  #: as the metric counts them: of a classification those of the rarer class
    value: float
    resampled: Array


class Predictions:
    """The test predictions of aggregated tables under resampled molecules; a cell is read when it is needed.

    Results are kept for the cells of one protocol, split and budget, and dropped when another one is needed.
    """

    def __init__(self, tables: Path, replicates: int = bootstrap.REPLICATES):
        self._table = schemas.Indexed("predictions", tables / "predictions.parquet", Cell._fields)
        molecules = schemas.read("molecules", tables / "molecules.parquet", columns=["dataset", "molecule", "labels"])
        self._labels = {
            str(name): np.array(rows.sort_values("molecule")["labels"].tolist(), np.float64)
            for name, rows in molecules.groupby("dataset")
        }
        self._metric = (
            schemas.read("selected", tables / "selected.parquet", columns=["dataset", "metric"])
            .groupby("dataset")["metric"]
            .first()
            .to_dict()
        )
        self._replicates = replicates
        self._weights: dict[tuple[str, ...], tuple[NDArray[np.int32], Counts]] = {}
        self._done: dict[Cell, Resampled | None] = {}
        self._kept = ("", "", "")

    def resample(self, cell: Cell) -> Resampled | None:
        """Return a cell's replicates (B) by seed.

        Cells of one protocol, dataset, split and budget share the weights of their molecules.
        """
        self._keep(cell)
        if cell not in self._done:
            by_seed = dict(self._scored(cell))
            self._done[cell] = Resampled(by_seed, self._members(cell)) if by_seed else None
        return self._done[cell]

    def _members(self, cell: Cell) -> int:
        """Count the molecules tested, as the metric counts them."""
        return PRIMARY[self._metric[cell.dataset]].counted(self._labels[cell.dataset][self._drawn(cell)[0]])

    def parts(self, cell: Cell, exposed: Mapping[int, Ints]) -> Iterator[tuple[int, Scored, Scored]]:
        """Yield each seed of `exposed`, the score of those molecules, and that of the other tested ones."""
        self._keep(cell)
        for seed, tested, labels, predictions, weights in self._tested(cell):
            if seed in exposed:
                seen = np.isin(tested, exposed[seed])
                ours, others = (
                    self._score(cell, labels[part], predictions[part], weights[:, part]) for part in (seen, ~seen)
                )
                yield seed, ours, others

    def _keep(self, cell: Cell) -> None:
        """Drop what is of another protocol, split or budget than the cell."""
        if self._kept != (cell.protocol, cell.split, cell.budget):
            self._kept = (cell.protocol, cell.split, cell.budget)
            self._done.clear()
            self._weights.clear()

    def _score(self, cell: Cell, labels: Array, predictions: Array, weights: Counts) -> Scored:
        metric = self._metric[cell.dataset]
        once = bootstrap.resampled(metric, labels, predictions, np.ones((1, len(labels)), np.uint16))
        labelled = int((~np.isnan(labels)).any(axis=1).sum())
        counted = PRIMARY[metric].counted(labels)
        return Scored(labelled, counted, float(once[0]), bootstrap.resampled(metric, labels, predictions, weights))

    def _scored(self, cell: Cell) -> Iterator[tuple[int, Array]]:
        for seed, _, labels, predictions, weights in self._tested(cell):
            yield seed, bootstrap.resampled(self._metric[cell.dataset], labels, predictions, weights)

    def _tested(self, cell: Cell) -> Iterator[tuple[int, Ints, Array, Array, Counts]]:
        """Yield each seed, the molecules that it tests, their labels and predictions, and how often each is drawn."""
        rows = self._read(cell._asdict(), ["seed", "molecule", "prediction"])
        if not rows.num_rows:
            return
        molecules, weights = self._drawn(cell)
        labels = self._labels[cell.dataset]
        seeds = rows["seed"].to_numpy()
        tested = rows["molecule"].to_numpy()
        predictions = rows["prediction"].combine_chunks().flatten().to_numpy().reshape(len(tested), labels.shape[1])
        for seed in np.unique(seeds):
            here = seeds == seed
            columns = np.searchsorted(molecules, tested[here])
            guesses = predictions[here].astype(np.float64)
            yield int(seed), tested[here], labels[tested[here]], guesses, weights[:, columns]

    def _drawn(self, cell: Cell) -> tuple[NDArray[np.int32], Counts]:
        """Return the molecules that any seed tests, and how often each replicate draws them."""
        context = {name: getattr(cell, name) for name in schemas.CONTEXT}
        key = tuple(context.values())
        if key not in self._weights:
            molecules = np.unique(self._read(context, ["molecule"])["molecule"].to_numpy())
            weights = bootstrap.draw(generator("molecules", *key), len(molecules), self._replicates)
            self._weights[key] = (molecules, weights)
        return self._weights[key]

    def _read(self, where: Mapping[str, str], columns: list[str]) -> pa.Table:
        rows = self._table.read(where, [*columns, "partition"])
        return rows.filter(pa.compute.equal(rows["partition"], "test"))
