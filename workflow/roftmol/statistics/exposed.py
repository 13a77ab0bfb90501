"""How much of a joint method's gain is exposure: on molecules that train another dataset of the panel, and on new ones.

With f(s) the share of seed s's test molecules that train another dataset, and g(s) the effect of the joint method
against the single one, both scored on the same part of them:

    excess(s) = g_exposed(s) - g_new(s)        explained(s) = f(s) excess(s)

What is explained is what the gain over all test molecules would lose if exposed ones gained as new ones do; for a
metric that is no mean over molecules, as ROC-AUC, nearly so. Exposed molecules are not drawn at random: several sets
measure those that are well known. So an excess is no proof of memory, but without one there is none to prove.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from roftmol.core.seeds import generator
from roftmol.methods import of_panels, single_of
from roftmol.statistics import bootstrap
from roftmol.statistics.blocks import Array, Family, as_shown, effect
from roftmol.statistics.bootstrap import Pair
from roftmol.statistics.comparisons import ALL
from roftmol.statistics.holm import holm
from roftmol.statistics.predictions import Cell, Ints, Scored, cell_of
from roftmol.tables import schemas

#: A seed counts if each part has so many molecules, of a classification so many of the rarer class.
LEAST = 5

#: Yields by seed the score of a cell on the molecules given for it, and that on the others it tests.
Parts = Callable[[Cell, Mapping[int, Ints]], Iterable[tuple[int, Scored, Scored]]]

#: A cell's scores of one seed: on exposed molecules and on new ones.
Scores = tuple[Scored, Scored]


class Effects(NamedTuple):
    """What joint training gains on a part of the molecules, by seed (S) and under resampled molecules (B x S)."""

    value: Array
    resampled: Array

    def times(self, factor: Array | float) -> Effects:
        """Return them weighted by a number a seed."""
        return Effects(factor * self.value, factor * self.resampled)


@dataclass(frozen=True, eq=False)
class Gain:
    """What joint training gains on one dataset, on exposed molecules and on new ones.

    `share` is that of exposed ones by seed (S), `molecules` are the numbers of both, means over seeds.
    """

    dataset: str
    seeds: tuple[int, ...]
    share: Array
    molecules: tuple[float, float]
    exposed: Effects
    new: Effects
    overlap: float

    def pairs(self) -> dict[str, Pair]:
        """Return what is estimated, by the names of column "part", each a difference of two values by seed."""
        nothing = self.new.times(0.0)
        terms = {
            "exposed": (self.exposed, nothing),
            "new": (self.new, nothing),
            "excess": (self.exposed, self.new),
            "explained": (self.exposed.times(self.share), self.new.times(self.share)),
        }
        return {
            part: Pair(
                *(self.dataset, one.value, other.value, one.resampled, other.resampled, self.overlap), seeds=self.seeds
            )
            for part, (one, other) in terms.items()
        }


def exposed(
    families: Iterable[Family], exposure: pd.DataFrame, parts: Parts, replicates: int = bootstrap.REPLICATES
) -> pd.DataFrame:
    """Make table "exposed" from table "exposure" and a function that scores parts of a cell's test molecules.

    Datasets without a seed in which each part has `LEAST` molecules, as the metric counts them, are left out. The
    excesses over all datasets are tested, and corrected together.
    """
    # With fewer records a seed cannot count; an older file has none.
    known = exposure[(exposure["partition"] == "test") & (exposure["records"].str.len() >= LEAST)]
    seen = {
        key: {seed: np.asarray(records, np.int64) for seed, records in zip(rows["seed"], rows["records"], strict=True)}
        for key, rows in known.groupby([*schemas.CONTEXT])
    }
    rows: list[dict[str, object]] = []
    for family in families:
        for method in filter(of_panels, family.methods):
            reference = single_of(method)
            gains = []
            for dataset in family.paired(method, reference):
                records = seen.get((family.protocol, dataset, family.split, family.budget))
                if records and (gain := _gain(family, dataset, method, reference, records, parts)):
                    gains.append(gain)
            rows += _rows(family, method, reference, gains, replicates)
    if not rows:
        return schemas.empty("exposed")
    table = pd.DataFrame(rows)
    tested = (table["part"] == "excess") & (table["dataset"] == ALL) & table["p"].notna()
    return table.assign(p_holm=pd.Series(holm(table.loc[tested, "p"].to_numpy()), table.index[tested]))


def _gain(
    family: Family, dataset: str, method: str, reference: str, records: Mapping[int, Ints], parts: Parts
) -> Gain | None:
    """Return the gain on a dataset, None where no seed counts."""
    joint, single = (
        {seed: (ours, others) for seed, ours, others in parts(cell_of(family, dataset, name), records)}
        for name in (method, reference)
    )
    both = {seed: (joint[seed], single[seed]) for seed in sorted(joint.keys() & single.keys())}
    counted = {seed: pair for seed, pair in both.items() if all(_counts(part) for scored in pair for part in scored)}
    if not counted:
        return None
    kept = list(counted.values())
    molecules = np.array([[part.molecules for part in ours] for ours, _ in kept], float)
    counts = molecules.mean(axis=0)
    return Gain(
        dataset,
        seeds=tuple(counted),
        share=molecules[:, 0] / molecules.sum(axis=1),
        molecules=(counts[0], counts[1]),
        exposed=_effects(kept, 0, family.relative),
        new=_effects(kept, 1, family.relative),
        overlap=family.overlap,
    )


def _effects(kept: Sequence[tuple[Scores, Scores]], part: int, relative: bool) -> Effects:
    """Return the effect on a part by seed, and under resampled molecules."""
    ours, theirs = (np.array([pair[who][part].value for pair in kept]) for who in (0, 1))
    value = effect(ours, theirs, relative)
    ours, theirs = (np.stack([pair[who][part].resampled for pair in kept], axis=1) for who in (0, 1))
    return Effects(value, effect(ours, theirs, relative))


def _counts(part: Scored) -> bool:
    return part.counted >= LEAST and bool(np.isfinite(part.value))


def _rows(
    family: Family, method: str, reference: str, gains: list[Gain], replicates: int
) -> Iterator[dict[str, object]]:
    """Yield the rows of a joint method: over all datasets, then of each."""
    for dataset in [ALL, *(gain.dataset for gain in gains)] if gains else []:
        chosen = [gain for gain in gains if dataset in (ALL, gain.dataset)]
        for part in chosen[0].pairs():
            pairs = [gain.pairs()[part] for gain in chosen]
            rng = generator("exposed", *family.identity.values(), method, dataset, part)
            estimate = bootstrap.several(pairs, False, rng, replicates, together=True)
            # scores from 0 to 1 differ by 1 at most, and two such differences by 2
            most = np.inf if family.relative else 2.0 if part == "excess" else 1.0
            ends = (float(np.clip(end, -most, most)) for end in (estimate.low, estimate.high))
            value, low, high = (as_shown(end, family.relative) for end in (estimate.value, *ends))
            yield {
                **family.identity,
                "better": family.better,
                "method": method,
                "reference": reference,
                "dataset": dataset,
                "part": part,
                "datasets": len(chosen),
                "seeds": min(len(gain.share) for gain in chosen),
                "share": float(np.mean([gain.share.mean() for gain in chosen])),
                "exposed": float(np.mean([gain.molecules[0] for gain in chosen])),
                "new": float(np.mean([gain.molecules[1] for gain in chosen])),
                "scale": "relative" if family.relative else "difference",
                "difference": value,
                "low": low,
                "high": high,
                "levels": ", ".join(estimate.levels),
                "p": estimate.p if part == "excess" else np.nan,
            }
