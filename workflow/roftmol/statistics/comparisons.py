"""What is compared, the tests with the dataset as the unit, their correction, mean ranks, and the verdicts.

The comparisons are fixed before any result is seen: every method against full FT, against the fingerprint baseline and
against the constant predictor, and a panel's encoder under another head against that head on the frozen encoder. They
are corrected together, over all of an experiment (`corrected`). All pairs are tested only for the diagram of mean
ranks. The constant predictor is a reference: it is neither tested against others nor ranked.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache
from itertools import combinations, count, product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtr

from roftmol.methods import COMPARED, CONSTANT, model_of, of_panels, single_of
from roftmol.statistics.blocks import Array, Family, effect
from roftmol.statistics.bootstrap import Pair, luck, student
from roftmol.statistics.holm import holm
from roftmol.tables import schemas
from roftmol.tasks import PRIMARY
from roftmol.tasks.base import Region

ALPHA = 0.05
#: The dataset of a comparison over all datasets of the family.
ALL = "all"
#: The largest difference of two methods that seeds could show, in deviations of the difference over seeds.
LARGEST = 10.0
#: The shares of `ALPHA` if an experiment has both kinds of comparisons: those that its advice may rest on, and those on
#: single ones of several datasets.
SHARES = {"advice": 0.8, "single": 0.2}


def wilcoxon(effects: Array) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test that the effects on the datasets centre on zero.

    Zeros are dropped first, as Wilcoxon did: equal scores say nothing about direction. If every effect is zero, p is 1.
    Without ties the null distribution is exact up to 50 datasets, with ties up to 13; beyond, it is normal.
    """
    effects = effects[effects != 0]
    if not len(effects):
        return 1.0
    _, ranks = np.unique(np.abs(effects), return_inverse=True)
    return _wilcoxon(tuple(np.sort(np.sign(effects) * (ranks + 1)).tolist()))


@lru_cache(maxsize=4096)
def _wilcoxon(signed_ranks: tuple[float, ...]) -> float:
    """Test effects by their signed ranks, which are all that counts of them: those of a few datasets come again."""
    from scipy.stats import wilcoxon as tested

    return float(tested(np.array(signed_ranks)).pvalue)


def smallest_n(comparisons: int, alpha: float = ALPHA) -> int:
    """Return the fewest datasets with which any of m tests can be significant: the least n with m 2 / 2^n <= alpha.

    2 / 2^n is the exact p of n effects that all have one sign, m the factor of Holm's first step.
    """
    return next(n for n in count(1) if comparisons * 2.0 ** (1 - n) <= alpha)


def smallest_seeds(comparisons: int, overlap: float = 0.0, alpha: float = ALPHA) -> int:
    """Return the fewest seeds with which any of m tests on one dataset can be significant, for `LARGEST` deviations."""
    return next(n for n in count(2) if comparisons * least_p_of_seeds(n, overlap) <= alpha)


def least_p_of_datasets(datasets: int) -> float:
    """Return the smallest p that Wilcoxon's test of so many datasets can have."""
    return min(1.0, 2.0 ** (1 - datasets))


def least_p_of_seeds(seeds: int, overlap: float = 0.0) -> float:
    """Return the smallest p to be expected of a t-test of so many seeds: that of `LARGEST` deviations."""
    if seeds < 2:
        return 1.0
    return float(2 * stdtr(seeds - 1, -LARGEST * np.sqrt(seeds / (1 + seeds * overlap))))


def can_be_significant(least: Array, alpha: float) -> NDArray[np.bool_]:
    """Return which tests are worth counting, by the smallest p that each can have (Tarone 1990, Biometrics 46, 515).

    k is the smallest number such that at most k tests can have a p of alpha / k. The others cannot be significant once
    the k are corrected for. So they are left out, and the k need no correction for them.
    """
    k = next(k for k in count(1) if (least <= alpha / k).sum() <= k)
    return np.asarray(least <= alpha / k)


def corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """Add corrected p, `comparisons`, `smallest_n`, `enough` and verdict to rows of "comparisons".

    Three kinds of tests are each corrected as a whole, over all families: those against the constant predictor, those
    that the report's advice may rest on (over datasets, and on the one dataset of a family), and those on single ones
    of several datasets. The last two share `ALPHA`, so that at most 5% of experiments say anything of methods that do
    not differ. A test that is in several families or in both directions counts once.
    """
    if rows.empty:
        return schemas.empty("comparisons")
    kind = kinds(rows)
    once = _pair(rows)
    table = rows.assign(p_holm=np.nan, comparisons=0, smallest_n=0, enough=False)
    for name, share in _shares(rows, kind, once).items():
        here = kind == name
        first = here & ~once.duplicated()
        counted = can_be_significant(rows.loc[first, "least_p"].to_numpy(), ALPHA * share)
        tests = rows.loc[first, "p"][counted]
        adjusted = np.minimum(holm(tests.to_numpy()) / share, 1.0)
        p_holm = dict(zip(once[tests.index], adjusted, strict=True))
        enough = here & once.isin(p_holm)
        table.loc[enough, "p_holm"] = once[enough].map(p_holm).astype(float)
        table["enough"] |= enough
        for over, few in product((True, False), repeat=2):
            part = here & ((rows["dataset"] == ALL) == over) & (enough != few)
            # with more datasets or seeds, the tests that cannot be significant now would count too
            m = len(tests) + few * int((part & first).sum())
            table.loc[part, "comparisons"] = m
            for overlap in rows.loc[part, "overlap"].unique():
                n = smallest_n(m, ALPHA * share) if over else smallest_seeds(m, overlap, ALPHA * share)
                table.loc[part & (rows["overlap"] == overlap), "smallest_n"] = n
    return table.assign(verdict=[_verdict(row) for row in table.to_dict("records")])


def kinds(rows: pd.DataFrame) -> pd.Series:
    """Return the kind of each comparison: "constant", "advice" or "single"; "" for a row over one dataset, no test."""
    single = rows["dataset"] != ALL
    datasets = rows["dataset"].where(single).groupby([rows[name] for name in schemas.FAMILY]).transform("nunique")
    kind = np.where(single & (datasets > 1), "single", "advice")
    kind = np.where(rows["reference"] == CONSTANT, "constant", kind)
    return pd.Series(np.where(~single & (datasets == 1), "", kind), index=rows.index)


def _pair(rows: pd.DataFrame) -> pd.Series:
    """Return a key of each comparison that is the same for rows of one test, whichever method is the reference.

    Two references without an encoder are one test in the families of two encoders, unless these families have other
    datasets; then p differs.
    """
    keys = []
    for row in rows.to_dict("records"):
        where = [row[name] for name in (*schemas.FAMILY, "dataset") if name != "model"]
        compared = sorted((model_of(row[name], row["model"]), row[name]) for name in ("method", "reference"))
        keys.append((*where, round(row["p"], 12), *compared))
    return pd.Series(keys, index=rows.index)


def _shares(rows: pd.DataFrame, kind: pd.Series, once: pd.Series) -> dict[str, float]:
    """Return the share of `ALPHA` of each kind in the rows.

    Advice and single datasets share `ALPHA` only if each has a test that could be significant.
    """
    least = {name: rows.loc[(kind == name) & ~once.duplicated(), "least_p"].to_numpy() for name in kind.unique()}
    possible = [
        name for name, share in SHARES.items() if name in least and can_be_significant(least[name], ALPHA * share).any()
    ]
    shares = {"constant": 1.0, **dict.fromkeys(SHARES, 1.0)}
    if len(possible) == len(SHARES):
        shares |= SHARES
    return {name: share for name, share in shares.items() if name in least}


def _verdict(row: Mapping[Hashable, Any]) -> str:
    if not row["covered"]:
        return "undecided"
    region = PRIMARY[row["metric"]].region
    low, high = row["ends"]
    return verdict(region, row["scale"] == "relative", row["better"], low, high, row["p_holm"])


def verdict(region: Region, relative: bool, better: int, low: float, high: float, p_holm: float) -> str:
    """Return "equivalent", "better", "worse" or "undecided".

    Equivalent: the interval lies within the region, however significant the difference is. Better or worse: the
    corrected test is significant and the interval does not contain zero.
    """
    if np.isnan([low, high]).any():
        return "undecided"
    if region.contains(low, high, relative):
        return "equivalent"
    if p_holm <= ALPHA and (low > 0 or high < 0):
        return "better" if better * low > 0 else "worse"
    return "undecided"


def references(family: Family) -> Iterator[tuple[str, list[str]]]:
    """Yield the comparisons to make: a reference, and the methods with which it shares a dataset."""
    for reference in COMPARED:
        if reference in family.methods:
            rivals = [name for name in family.methods if name not in (reference, CONSTANT)]
            methods = [name for name in rivals if family.paired(name, reference)]
            if methods:
                yield reference, methods
    for head in dict.fromkeys(single_of(name) for name in family.methods if of_panels(name)):
        if head in family.methods and head not in COMPARED:
            joint = [name for name in family.methods if of_panels(name) and single_of(name) == head]
            if methods := [name for name in joint if family.paired(name, head)]:
                yield head, methods


def pairs(family: Family) -> pd.DataFrame:
    """Make the rows of table "pairs": each two methods of the complete block, with Wilcoxon's p and Holm's."""
    block = family.block
    rows = [
        {**family.identity, "a": a, "b": b, "datasets": len(block), "p": _p(family, a, b)}
        for a, b in combinations(block.columns, 2)
        if len(block)
    ]
    table = pd.DataFrame(rows)
    return table.assign(p_holm=holm(table["p"].to_numpy())) if rows else table


def _p(family: Family, a: str, b: str) -> float:
    """Return Wilcoxon's p of two methods of the block; of fits that datasets share, no less than luck allows."""
    block = family.block
    effects = effect(block[a].to_numpy(), block[b].to_numpy(), family.relative)
    p = wilcoxon(effects)
    if not (of_panels(a) or of_panels(b)) or len(effects) < 2:
        return p
    tables = {name: table for name, table in family.paired(a, b).items() if name in block.index}
    runs = [
        Pair(name, table[a].to_numpy(), table[b].to_numpy(), seeds=tuple(table.index)) for name, table in tables.items()
    ]
    shared = luck(runs, family.relative)
    if not shared:
        return 1.0
    width, freedom = student(float(effects.std(ddof=1) / np.sqrt(len(effects))), len(effects), shared)
    return max(p, float(2 * stdtr(freedom, -abs(effects.mean()) / width))) if width else p


def mean_ranks(family: Family, tested: pd.DataFrame) -> pd.DataFrame:
    """Make the rows of table "mean_ranks", the best first: ranks of the block's means, averaged over the datasets.

    Tied methods share the ranks that they take up. Methods with a letter of `groups` in common are not told apart by
    the `tested` pairs. Friedman's p is NaN with fewer than two datasets or three methods.
    """
    block = family.block
    methods = list(block.columns)
    if not len(block) or len(methods) < 2:
        return pd.DataFrame()
    ranks = (-family.better * block).rank(axis=1).mean().sort_values(kind="stable")
    letters = _letters(significance(tested, list(ranks.index)))
    needed = smallest_n(len(tested))
    friedman = np.nan
    if len(block) > 1 and len(methods) > 2:
        from scipy.stats import friedmanchisquare

        with np.errstate(invalid="ignore"):  # NaN if every method is equal on every dataset
            friedman = float(friedmanchisquare(*block.to_numpy().T).pvalue)
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


def _letters(p: pd.DataFrame) -> pd.Series:
    """Return letters for the methods of this matrix of p-values: methods that are not told apart share one."""
    if (p >= ALPHA).all(axis=None):
        return pd.Series("a", p.index)
    from scikit_posthocs import compact_letter_display

    return compact_letter_display(p, alpha=ALPHA)


def significance(tested: pd.DataFrame, methods: list[str]) -> pd.DataFrame:
    """Return the symmetric matrix of Holm's p-values, methods x methods, with 1 on the diagonal."""
    place = {name: number for number, name in enumerate(methods)}
    matrix = np.ones((len(methods), len(methods)))
    for a, b, p in zip(tested["a"], tested["b"], tested["p_holm"], strict=True):
        matrix[place[a], place[b]] = matrix[place[b], place[a]] = p
    return pd.DataFrame(matrix, index=methods, columns=methods)
