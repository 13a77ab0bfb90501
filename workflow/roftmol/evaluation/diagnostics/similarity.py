"""How does the error grow with the distance from the training molecules?

A test molecule's similarity is the largest Tanimoto coefficient of its Morgan fingerprint (radius 2, 2048 bits) with
those of the training molecules of the same seed; in cross-fitting these are of all folds, because their predictions are
averaged. Validation molecules do not count, because they only choose among what was trained.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rdkit import Chem, rdBase
from rdkit.DataStructs import ExplicitBitVect

from roftmol.core.errors import UserError
from roftmol.evaluation.diagnostics.cells import Array, Cell, Data, Entries, Ints
from roftmol.features.fingerprints import fingerprints, nearest
from roftmol.tables import schemas
from roftmol.tasks import TASKS

EDGES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)


class Neighbours:
    """Similarities of test molecules to the nearest training molecule, computed once a split and seed.

    `splits` is the folder of the split files, by protocol and dataset.
    """

    def __init__(self, splits: Path, data: dict[str, Data]) -> None:
        self._splits, self._data = splits, data
        self._fingerprints: dict[str, dict[int, ExplicitBitVect]] = {}
        self._of_split: dict[tuple[str, ...], dict[int, tuple[Ints, Array]]] = {}

    def of(self, cell: Cell, entries: Entries) -> Array:
        """Return the similarity of each entry.

        Raises `UserError` if the split's file is missing or is of other molecules.
        """
        if cell.context not in self._of_split:
            self._of_split[cell.context] = self._read(*cell.context)
        similarities = np.empty(len(entries))
        for seed in np.unique(entries.seeds).tolist():
            here = entries.seeds == seed
            tested, similarity = self._of_split[cell.context].get(seed, (np.empty(0, np.int64), np.empty(0)))
            if not np.isin(entries.molecules[here], tested).all():
                raise UserError(
                    f"{self._path(*cell.context)}: its test molecules of seed {seed} are not those predicted. "
                    "Run the workflow again."
                )
            similarities[here] = similarity[np.searchsorted(tested, entries.molecules[here])]
        return similarities

    def _path(self, protocol: str, dataset: str, split: str, budget: str) -> Path:
        return self._splits / protocol / dataset / f"{split}-{budget}.parquet"

    def _read(self, protocol: str, dataset: str, split: str, budget: str) -> dict[int, tuple[Ints, Array]]:
        """Return by seed the test molecules in rising order, and the similarity of each."""
        assigned = schemas.read("splits", self._path(protocol, dataset, split, budget))
        by_seed = {}
        for seed in assigned["seed"].unique().tolist():
            rows = assigned[assigned["seed"] == seed]
            test, train = (np.unique(rows.loc[rows["role"] == role, "molecule"]) for role in ("test", "train"))
            by_seed[seed] = (test, self._nearest(dataset, test, train))
        return by_seed

    def _nearest(self, dataset: str, test: Ints, train: Ints) -> Array:
        of_molecule = self._fingerprints.setdefault(dataset, {})
        smiles = self._data[dataset].smiles
        missing = [molecule for molecule in np.union1d(test, train).tolist() if molecule not in of_molecule]
        with rdBase.BlockLogs():
            molecules = [Chem.MolFromSmiles(smiles[molecule]) for molecule in missing]
        of_molecule.update(zip(missing, fingerprints(molecules), strict=True))
        return nearest(*([of_molecule[molecule] for molecule in part.tolist()] for part in (test, train)))


def errors(identity: dict[str, str], entries: Entries, similarity: Array, kind: str) -> list[dict[str, object]]:
    """Make the cell's rows of table "similarity".

    With e_i the squared error of entry i, the Brier score of a bin is m = mean e_i and its RMSE sqrt(m). Seeds repeat
    molecules, so the standard error is over molecules c: s^2 = C / (C - 1) sum_c (sum_(i in c) (e_i - m))^2 / n^2, and
    s / (2 sqrt(m)) for RMSE.
    """
    squared = (entries.p - entries.y) ** 2
    measure = TASKS[kind].squared_error
    bins = np.digitize(similarity, EDGES[1:-1])
    rows: list[dict[str, object]] = []
    for number in np.unique(bins).tolist():
        here = bins == number
        value, error = clustered(squared[here], entries.molecules[here])
        if measure.root:
            error = error / (2 * np.sqrt(value)) if value > 0 else 0.0
            value = np.sqrt(value)
        rows.append(
            {
                **identity,
                "lower": EDGES[number],
                "upper": EDGES[number + 1],
                "similarity": similarity[here].mean(),
                "measure": measure.name,
                "value": value,
                "error": error,
                "entries": here.sum(),
                "molecules": len(np.unique(entries.molecules[here])),
            }
        )
    return rows


def clustered(values: Array, cluster: Ints) -> tuple[float, float]:
    """Return the mean of `values` and its standard error over clusters, which is NaN for a single cluster."""
    mean = float(values.mean())
    codes = np.unique(cluster, return_inverse=True)[1]
    sums = np.bincount(codes, values - mean)
    count = len(sums)
    if count < 2:
        return mean, np.nan
    return mean, float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / len(values))
