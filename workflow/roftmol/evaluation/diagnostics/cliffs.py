"""Does a method predict molecules worse if their potency differs much from that of similar molecules?

The answer is the RMSE on the test molecules that are in an activity cliff, as van Tilborg, Alenicheva and Grisoni
(2022, J. Chem. Inf. Model. 62, 5938) report it, beside the RMSE on all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roftmol.evaluation.diagnostics.cells import Entries
from roftmol.tasks.regression import rmse


@dataclass(frozen=True, eq=False)
class Cliffs:
    """Which molecules of a dataset are in an activity cliff, and whether that is published or computed."""

    member: NDArray[np.bool_]
    origin: str


def compare(identity: dict[str, str], entries: Entries, cliffs: Cliffs) -> list[dict[str, object]]:
    """Make the cell's row of table "cliffs"; no row if no seed has test molecules of both sorts."""
    counts = []
    scores = []
    for seed in entries.by_seed():
        inside = cliffs.member[seed.molecules]
        if inside.any() and not inside.all():
            counts.append((inside.sum(), (~inside).sum()))
            scores.append([rmse(seed.y[group], seed.p[group]) for group in (inside, ~inside)])
    if not scores:
        return []
    values = np.array(scores)
    gap = values[:, 0] - values[:, 1]
    # one seed has no spread
    std = np.append(values.std(axis=0, ddof=1), gap.std(ddof=1)) if len(values) > 1 else np.full(3, np.nan)
    means = values.mean(axis=0)
    sizes = np.mean(counts, axis=0)
    return [
        {
            **identity,
            "origin": cliffs.origin,
            "seeds": len(values),
            "cliff_molecules": sizes[0],
            "other_molecules": sizes[1],
            "cliff_rmse": means[0],
            "cliff_std": std[0],
            "other_rmse": means[1],
            "other_std": std[1],
            "gap": gap.mean(),
            "gap_std": std[2],
        }
    ]
