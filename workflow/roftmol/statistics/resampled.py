"""One dataset, resampled: which candidates differ, and how well one of them will do.

Resamples of one dataset share most of their training molecules, so their scores are not independent. Nadeau and Bengio
widen the variance of a mean by the overlap of the training sets. Both comparisons here are widened so. Tukey's takes
the resample as a block (repeated measures) and corrects for all pairs, but assumes that all candidates' scores vary
alike. The other is the pair's own t-test with Holm's correction for the pairs.
"""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from roftmol.core.errors import UserError
from roftmol.statistics.holm import holm


def compare(
    scores: pd.DataFrame, test_share: float, alpha: float = 0.05, best: Any = None, tukey_p: bool = True
) -> pd.DataFrame:
    """Compare the columns of `scores` (R resamples x k candidates) pair by pair: a row a pair, in order of the columns.

    `difference` is the mean of a - b over the resamples. Tukey's intervals have the half-width
    q(1 - alpha; k, (k - 1)(R - 1)) sqrt(MS (1 / R + test_share)), where q is the studentized range's quantile and MS
    the mean square after subtracting candidates' and resamples' means. The other intervals have the half-width
    t(1 - alpha / 2; R - 1) s sqrt(1 / R + test_share), where s is the deviation of a - b. `test_share` is test
    molecules / training molecules (Nadeau & Bengio 2003, Machine Learning 52, 239); at 0 both are the textbook's.
    `corrected_p_holm` corrects for all pairs that are returned; with `best`, these are the pairs of that column.
    `tukey_p` takes most of the time; without it, `tukey_p` is NaN and only Tukey's intervals are computed.

    Raises `UserError` with fewer than two resamples or candidates, and for a missing score.
    """
    from scipy.stats import studentized_range  # it takes a second to import

    values = scores.to_numpy(dtype=np.float64)
    resamples, candidates = values.shape
    if resamples < 2 or candidates < 2:
        raise UserError(f"{resamples} resamples of {candidates} candidates cannot be compared; two of each are needed")
    if np.isnan(values).any():
        row, column = np.argwhere(np.isnan(values))[0]
        raise UserError(f"{scores.columns[column]}: no score in resample {scores.index[row]}; leave the candidate out")
    rest = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    freedom = (candidates - 1) * (resamples - 1)
    error = np.sqrt((rest**2).sum() / freedom * (1 / resamples + test_share))
    half = _critical_range(alpha, candidates, freedom) * error
    names = list(scores.columns)
    pairs = [pair for pair in combinations(range(candidates), 2) if best is None or best in (names[i] for i in pair)]
    rows = []
    for a, b in pairs:
        gaps = values[:, a] - values[:, b]
        difference = gaps.mean()
        q = abs(difference) / error if error > 0 else (np.inf if difference else 0.0)
        low, high = interval(gaps, test_share, alpha)
        rows.append(
            {
                "a": names[a],
                "b": names[b],
                "difference": difference,
                "tukey_low": difference - half,
                "tukey_high": difference + half,
                "tukey_p": float(studentized_range.sf(q, candidates, freedom)) if tukey_p else np.nan,
                "corrected_low": low,
                "corrected_high": high,
                "corrected_p": _corrected_p(gaps, test_share),
            }
        )
    table = pd.DataFrame(rows)
    table["corrected_p_holm"] = holm(table["corrected_p"].to_numpy())
    return table


def interval(values: np.ndarray, test_share: float, alpha: float = 0.05, new_test: bool = False) -> tuple[float, float]:
    """Return the interval of the mean of R resampled scores or differences, widened as in :func:`compare`.

    With `new_test`, it is the interval of the score on a further test set of the resamples' size: the variance has one
    more s^2. A single value has no interval: NaN.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float("nan"), float("nan")
    width = np.sqrt(1 / len(values) + test_share + new_test) * values.std(ddof=1)
    half = stdtrit(len(values) - 1, 1 - alpha / 2) * width
    return float(values.mean() - half), float(values.mean() + half)


@cache
def _critical_range(alpha: float, candidates: int, freedom: int) -> float:
    """Return the studentized range's quantile 1 - alpha; scipy integrates anew in each step of its search for it."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, candidates, freedom))


def above_zero(differences: pd.DataFrame, test_share: float) -> pd.Series:
    """Test each column's mean against 0 or less, and return the p-values after Holm's correction for all columns.

    `differences` are R resamples x k columns; variances are widened as in :func:`compare`. A single resample says
    nothing: p is 1.
    """
    if len(differences) < 2:
        return pd.Series(1.0, differences.columns)
    p = []
    for _, values in differences.items():
        two_sided = _corrected_p(values.to_numpy(np.float64), test_share)
        p.append(two_sided / 2 if values.mean() > 0 else 1 - two_sided / 2)
    return pd.Series(holm(np.array(p)), differences.columns)


def _corrected_p(gaps: np.ndarray, test_share: float) -> float:
    width = np.sqrt(1 / len(gaps) + test_share) * gaps.std(ddof=1)
    if width == 0:
        return 1.0 if gaps.mean() == 0 else 0.0
    return float(2 * stdtr(len(gaps) - 1, -abs(gaps.mean()) / width))
