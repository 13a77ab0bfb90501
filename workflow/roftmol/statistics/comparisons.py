"""Tests with the data set as the unit: Wilcoxon's signed ranks, Holm's steps, mean ranks, and the verdicts drawn.

Which comparisons are made is fixed before any result is seen: every method against full FT, against
the fingerprint baseline and against the constant predictor, each a family of tests for Holm's correction. All pairs are
tested for the diagram of mean ranks alone. The constant predictor is what others are measured by and competes in
neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, count

import numpy as np
import pandas as pd
from scipy import stats

from roftmol.layout import COMPARED, CONSTANT
from roftmol.statistics.blocks import Array, Family, effect
from roftmol.statistics.holm import holm

ALPHA = 0.05


@dataclass(frozen=True)
class Region:
    """A difference that makes no difference to who uses the model, and why; a ratio for metrics in label units."""

    size: float
    reason: str

    def contains(self, low: float, high: float, relative: bool) -> bool:
        """Whether an interval of effects lies within; the logarithm of a ratio is one for `relative`."""
        edge = np.log1p(self.size) if relative else self.size
        return bool(-edge <= low and high <= edge)


#: The region of practical equivalence of each metric that selects.
EQUIVALENT = {
    "roc_auc": Region(
        0.01, "of a hundred pairs of an active and an inactive, at most one more is put in the right order"
    ),
    "rmse": Region(
        0.05, "an RMSE of 0.8 log units moves by 0.04, a tenth or less of what repeated measurements differ by"
    ),
}


def wilcoxon(effects: Array) -> float:
    """Two-sided p of Wilcoxon's signed-rank test that the effects on the data sets centre on zero.

    Zeros are dropped first, as Wilcoxon did: equal scores say nothing about direction. Without ties the null
    distribution is exact up to 50 data sets, with ties up to 13; beyond, it is normal. 1 where every effect is zero.
    """
    effects = effects[effects != 0]
    return float(stats.wilcoxon(effects).pvalue) if len(effects) else 1.0


def smallest_n(comparisons: int, alpha: float = ALPHA) -> int:
    """The fewest data sets of which any of m tests can be significant: the least n with m 2 / 2^n <= alpha.

    2 / 2^n is the exact p of n effects that all have one sign, m the factor of Holm's first step.
    """
    return next(n for n in count(1) if comparisons * 2.0 ** (1 - n) <= alpha)


def verdict(region: Region, relative: bool, better: int, low: float, high: float, p_holm: float) -> str:
    """One of "equivalent", "better", "worse" and "undecided".

    Equivalent: the interval lies within the region, however significant the difference is. Better or worse: the
    corrected test is significant and the interval excludes zero.
    """
    if np.isnan([low, high]).any():
        return "undecided"
    if region.contains(low, high, relative):
        return "equivalent"
    if p_holm <= ALPHA and (low > 0 or high < 0):
        return "better" if better * low > 0 else "worse"
    return "undecided"


def references(family: Family) -> Iterator[tuple[str, list[str]]]:
    """The pre-registered comparisons: a reference and the methods with which it shares a data set."""
    for reference in COMPARED:
        if reference in family.methods:
            rivals = [name for name in family.methods if name not in (reference, CONSTANT)]
            methods = [name for name in rivals if family.paired(name, reference)]
            if methods:
                yield reference, methods


def pairs(family: Family) -> pd.DataFrame:
    """Rows of table "pairs": each two methods of the complete block, Wilcoxon's p and Holm's over all pairs."""
    block = family.block
    rows = [
        {
            **family.identity,
            "a": a,
            "b": b,
            "datasets": len(block),
            "p": wilcoxon(effect(block[a].to_numpy(), block[b].to_numpy(), family.relative)),
        }
        for a, b in combinations(block.columns, 2)
        if len(block)
    ]
    found = pd.DataFrame(rows)
    return found.assign(p_holm=holm(found["p"].to_numpy())) if rows else found


def mean_ranks(family: Family, tested: pd.DataFrame) -> pd.DataFrame:
    """Rows of table "mean_ranks", the best first: ranks of the block's means (ties share theirs), over the data sets.

    Methods that share one of the `groups`' letters are not told apart by the `tested` pairs. Friedman's p is NaN with
    fewer than two data sets or three methods.
    """
    from scikit_posthocs import compact_letter_display

    block = family.block
    methods = list(block.columns)
    if not len(block) or len(methods) < 2:
        return pd.DataFrame()
    ranks = (-family.better * block).rank(axis=1).mean().sort_values(kind="stable")
    letters = compact_letter_display(significance(tested, list(ranks.index)), alpha=ALPHA)
    needed = smallest_n(len(tested))
    friedman = np.nan
    if len(block) > 1 and len(methods) > 2:
        with np.errstate(invalid="ignore"):  # NaN where every method is equal on every data set
            friedman = float(stats.friedmanchisquare(*block.to_numpy().T).pvalue)
    return pd.DataFrame(
        {
            **family.identity,
            "method": ranks.index,
            "mean_rank": ranks.to_numpy(),
            "mean": [float(block[name].mean()) for name in ranks.index],
            "datasets": len(block),
            "groups": [str(letters[name]).replace(" ", "") for name in ranks.index],
            "friedman_p": friedman,
            "pairs": len(tested),
            "smallest_n": needed,
            "enough": len(block) >= needed,
            "note": family.left_out,
        }
    )


def significance(tested: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """The symmetric matrix of Holm's p-values, methods x methods, with 1 on the diagonal."""
    matrix = pd.DataFrame(1.0, index=methods, columns=methods)
    for a, b, p in zip(tested["a"], tested["b"], tested["p_holm"], strict=True):
        matrix.loc[a, b] = matrix.loc[b, a] = p
    return matrix
