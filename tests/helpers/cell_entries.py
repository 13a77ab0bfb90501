"""Predictions and labels of one made-up cell, as the diagnostics read them."""

import numpy as np

from roftmol.evaluation.diagnostics.cells import Cell, Entries

CELL = {"protocol": "honest", "model": "m", "dataset": "d", "split": "random", "budget": "50", "method": "full_ft"}


def cell_of(seeds, molecules, predictions, dataset: str = "d") -> Cell:
    values = np.asarray(predictions, np.float64)
    identity = {**CELL, "dataset": dataset}
    return Cell(identity, np.asarray(seeds), np.asarray(molecules), values.reshape(len(seeds), -1))


def entries_of(y, p, *, seeds=None, molecules=None) -> Entries:
    """One task; without more said, one seed and a molecule of its own for each."""
    molecules = np.arange(len(y)) if molecules is None else np.asarray(molecules)
    seeds = np.zeros(len(y), np.int64) if seeds is None else np.asarray(seeds)
    return Entries(seeds, molecules, molecules, np.asarray(y, np.float64), np.asarray(p, np.float64))
