"""Splits of a panel's molecules together: what the splits `joint`, `joint_cv` and `joint_scaffold_cv` deal.

Where each dataset has a split of its own, a molecule that tests one of them may train another (`exposure.py`). Here a
scaffold, or a substance, has one part in all datasets: a molecule that tests or validates one of them trains none.

A cross-validation is to keep the labels of every dataset even. Its parts are dealt by iterative stratification
(Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011): the stratum with the fewest molecules left is dealt first, each
molecule into the part that lacks most of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.data import parents
from roftmol.tasks import TASKS

Ints = NDArray[np.integer]
Flags = NDArray[np.bool_]

#: A tenth of each dataset's labelled molecules is tested, and as many validated; with whole scaffolds, up to an eighth.
AIM, MOST = 10, 8
#: Into so many strata the values of a dataset are put; more would hold too few of its molecules to be kept even.
STRATA = 3


def deal(tables: Mapping[str, pd.DataFrame], dataset: str, rng: np.random.Generator) -> tuple[Flags, Flags]:
    """Return which molecules of a dataset are tested, and which validated, from table "molecules" of all of a panel.

    Scaffolds are gone through in a random order. One is tested if some dataset of it tests less than a tenth of its
    labelled molecules yet, and none then tests more than an eighth. The others are gone through again for validation. A
    scaffold too large for that trains in every dataset that has it. The order of the datasets changes nothing.
    """
    names = sorted(tables)
    union = pd.concat([tables[name] for name in names], ignore_index=True)
    member = np.repeat(np.arange(len(names)), [len(tables[name]) for name in names])
    labelled = np.concatenate([has_label(tables[name]) for name in names])
    scaffold = _scaffolds(union)
    counts = np.zeros((scaffold.max() + 1, len(names)), np.int64)
    np.add.at(counts, (scaffold[labelled], member[labelled]), 1)
    order = rng.permutation(len(counts))
    tested = _filled(counts, order)
    validated = _filled(counts, order[~tested[order]])
    own = scaffold[member == names.index(dataset)]
    return tested[own], validated[own]


def parts(
    tables: Mapping[str, pd.DataFrame],
    tasks: Mapping[str, str],
    count: int,
    rng: np.random.Generator,
    among: Mapping[str, Flags],
    *,
    whole_scaffolds: bool = False,
) -> dict[str, Ints]:
    """Return the part of each molecule of each dataset, 0 to count - 1; -1 for what is not `among` those to be dealt.

    `tables` are table "molecules" of each dataset, `tasks` their kinds of labels; what is dealt has a label. All forms
    of a substance have one part in all datasets; with `whole_scaffolds`, all molecules of a scaffold. Every class of
    each dataset and every third of its values is dealt evenly, as far as that goes. The order of the datasets changes
    nothing.
    """
    names = sorted(tables)
    union = pd.concat([tables[name] for name in names], ignore_index=True)
    unit = _scaffolds(union) if whole_scaffolds else parents.groups(union)
    dealt = np.concatenate([among[name] for name in names])
    strata = np.full(len(union), -1)
    start = strata_so_far = 0
    for name in names:
        rows = start + np.flatnonzero(among[name])
        of = _strata(tables[name][among[name]], tasks[name])
        strata[rows] = strata_so_far + of
        start += len(tables[name])
        strata_so_far += 1 + of.max(initial=-1)
    present, unit_of = np.unique(unit[dealt], return_inverse=True)
    counts = np.zeros((len(present), strata_so_far), np.int64)
    np.add.at(counts, (unit_of, strata[dealt]), 1)
    part = np.full(len(union), -1)
    part[dealt] = _evenly(counts, count, rng)[unit_of]
    ends = np.cumsum([len(tables[name]) for name in names])
    return dict(zip(names, np.split(part, ends[:-1]), strict=True))


def has_label(molecules: pd.DataFrame) -> Flags:
    """Return which molecules have a label at least."""
    return np.asarray(np.isfinite(np.array(molecules["labels"].tolist(), dtype=np.float64)).any(axis=1))


def _strata(molecules: pd.DataFrame, task: str) -> Ints:
    """Return the stratum of each molecule: its class, or the third of the labels in which its own lies.

    Of several label columns it is the third of the strata that its kind of labels has.
    """
    labels = np.array(molecules["labels"].tolist(), dtype=np.float64)
    if not len(labels):
        return np.empty(0, np.int64)
    kind = TASKS[task]
    strata = kind.strata(labels)
    if strata.classes:
        return strata.of
    values = kind.limits.numbers(labels) if kind.limits else labels
    ordered = values[:, 0] if values.shape[1] == 1 else strata.of
    rank = np.argsort(np.argsort(ordered, kind="stable"), kind="stable")
    return rank * STRATA // len(rank)


def _evenly(counts: Ints, parts: int, rng: np.random.Generator) -> Ints:
    """Return the part of each unit, whose molecules by stratum are `counts`, by iterative stratification.

    Units of a stratum are dealt in a random order, large ones first. Of parts that lack as many of the stratum, the one
    is taken that lacks most of the unit's other strata; then chance decides.
    """
    shuffled = rng.permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    lacking = np.tile(counts.sum(axis=0), (parts, 1))  # times the number of parts, to stay whole
    part = np.full(len(counts), -1)
    while (left := order[part[order] < 0]).size:
        waiting = (counts[left] > 0).sum(axis=0)
        rarest = np.where(waiting > 0, waiting, len(counts) + 1).argmin()
        for unit in left[counts[left, rarest] > 0]:
            of_unit = lacking @ (counts[unit] > 0)
            best = np.lexsort((rng.random(parts), -of_unit, -lacking[:, rarest]))[0]
            part[unit] = best
            lacking[best] -= parts * counts[unit]
    return part


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
