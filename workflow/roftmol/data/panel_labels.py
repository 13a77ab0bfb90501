"""Whether the datasets of a panel go together: they share molecules, and where two are one property, they agree.

Which property a dataset measures stands nowhere, so it is judged by the labels of the molecules that two datasets
have: where these agree so often, the datasets are one property (docs/methods.md has what was measured). Where they
then differ, one of them is wrong, and a joint encoder would learn both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.core.errors import UserError
from roftmol.tasks import TASKS

Array = NDArray[np.float64]

#: Two label columns are compared from so many molecules on that have a label in both.
SHARED = 20
#: Classes are one property where they agree beyond chance so far, by Cohen's kappa (Educ. Psychol. Meas. 1960, 20, 37);
#: values where half of them or more differ by no more than so many of their standard deviations.
KAPPA = 0.8
SAME_VALUES = 0.5
TOLERANCE = 0.01


@dataclass(frozen=True)
class Member:
    """What is compared of a dataset."""

    molecules: pd.DataFrame  #: table "molecules", its structures and labels
    task: str
    columns: tuple[str, ...]  #: the names of its label columns


def check(panel: str, members: Mapping[str, Member]) -> None:
    """Raise `UserError` where no two datasets of a panel share a molecule, and where two of one property disagree.

    Molecules are the same where their canonical SMILES are.
    """
    labels = {name: _by_structure(member) for name, member in members.items()}
    pairs = [
        (one, other, labels[one].index.intersection(labels[other].index)) for one, other in combinations(labels, 2)
    ]
    if pairs and not any(len(shared) for _, _, shared in pairs):
        counts = ", ".join(f"{name} {len(table):,}" for name, table in labels.items())
        raise UserError(
            f"panel {panel}: its datasets share no molecule, by canonical SMILES (molecules: {counts}); look at their "
            "columns of SMILES, or take them out of `panels`"
        )
    for one, other, shared in pairs:
        both = members[one], members[other]
        if TASKS[both[0].task].classes != TASKS[both[1].task].classes:
            continue
        ours, theirs = (labels[name].loc[shared].to_numpy() for name in (one, other))
        for i, j in np.ndindex(ours.shape[1], theirs.shape[1]):
            common = np.flatnonzero(np.isfinite(ours[:, i]) & np.isfinite(theirs[:, j]))
            x, y = ours[common, i], theirs[common, j]
            same = _agreement(x, y, classes=TASKS[both[0].task].classes)
            if same is not None and not same.all():
                first = int(np.flatnonzero(~same)[0])
                raise UserError(
                    f"panel {panel}: {_titled(one, both[0], i)} and {_titled(other, both[1], j)} are one property, for "
                    f"they agree on {same.sum():,} of the {len(same):,} molecules that have a label in both, but "
                    f"{(~same).sum():,} contradict each other, as {shared[common[first]]}: {x[first]:g} in {one}, "
                    f"{y[first]:g} in {other}; leave one of the two out of the panel, or give both the same labels"
                )


def _by_structure(member: Member) -> pd.DataFrame:
    """Return the labels of each structure, NaN where there is none, only a limit, or several that differ."""
    values = TASKS[member.task].values(np.array(member.molecules["labels"].tolist(), dtype=np.float64))
    records = pd.DataFrame(values).groupby(member.molecules["canonical"].to_numpy(), sort=False)
    least = records.min()
    return least.where(least == records.max())


def _agreement(x: Array, y: Array, *, classes: bool) -> NDArray[np.bool_] | None:
    """Return which of two columns' labels of the same molecules agree, if the two are one property; else None."""
    if len(x) < SHARED or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    if classes:
        same = x == y
        chance = x.mean() * y.mean() + (1 - x.mean()) * (1 - y.mean())
        return same if (same.mean() - chance) / (1 - chance) >= KAPPA else None
    same = np.abs(x - y) <= TOLERANCE * min(x.std(), y.std())
    return same if same.mean() >= SAME_VALUES else None


def _titled(name: str, member: Member, column: int) -> str:
    return name if len(member.columns) == 1 else f"{name} ({member.columns[column]})"
