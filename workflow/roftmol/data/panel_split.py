"""One split of a panel's molecules together, by whole scaffolds: what the split `joint` deals.

Where each dataset has a split of its own, a molecule that tests one of them may train another (`exposure.py`). Here a
scaffold has one part in all datasets: a molecule that tests or validates one of them trains none.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.data import parents

Ints = NDArray[np.integer]
Flags = NDArray[np.bool_]

#: A tenth of each dataset's labelled molecules is tested, and as many validated; with whole scaffolds, up to an eighth.
AIM, MOST = 10, 8


def deal(tables: Mapping[str, pd.DataFrame], dataset: str, rng: np.random.Generator) -> tuple[Flags, Flags]:
    """Return which molecules of a dataset are tested, and which validated, from table "molecules" of all of a panel.

    Scaffolds are gone through in a random order. One is tested if some dataset of it tests less than a tenth of its
    labelled molecules yet, and none then tests more than an eighth. The others are gone through again for validation. A
    scaffold too large for that trains in every dataset that has it. The order of the datasets changes nothing.
    """
    names = sorted(tables)
    union = pd.concat([tables[name] for name in names], ignore_index=True)
    member = np.repeat(np.arange(len(names)), [len(tables[name]) for name in names])
    labelled = np.concatenate([_labelled(tables[name]) for name in names])
    scaffold = _scaffolds(union)
    counts = np.zeros((scaffold.max() + 1, len(names)), np.int64)
    np.add.at(counts, (scaffold[labelled], member[labelled]), 1)
    order = rng.permutation(len(counts))
    tested = _filled(counts, order)
    validated = _filled(counts, order[~tested[order]])
    own = scaffold[member == names.index(dataset)]
    return tested[own], validated[own]


def _labelled(molecules: pd.DataFrame) -> Flags:
    return np.asarray(np.isfinite(np.array(molecules["labels"].tolist(), dtype=np.float64)).any(axis=1))


def _scaffolds(molecules: pd.DataFrame) -> Ints:
    """Return the number of each molecule's scaffold: that of the first form of its substance, numbered as they come."""
    return pd.factorize(molecules["scaffold"].to_numpy()[parents.first_forms(molecules)])[0]


def _filled(counts: Ints, order: Ints) -> Flags:
    """Return which scaffolds are taken, greedily in this order; `counts` are scaffolds by datasets."""
    labelled = counts.sum(axis=0)
    aim, most = labelled // AIM, labelled // MOST
    taken = np.zeros(len(counts), np.bool_)
    total = np.zeros(counts.shape[1], np.int64)
    for scaffold in order:
        more = counts[scaffold]
        if (total + more <= most).all() and (total < aim)[more > 0].any():
            taken[scaffold] = True
            total += more
    return taken
