"""Paired bootstrap over datasets, seeds and test molecules.

Molecules are drawn once a dataset, not once a run: a molecule that several seeds test has the same weight in all of
them, and every method is scored with the same weights, so that what is hard for all methods cancels in a difference
(the pigeonhole bootstrap of crossed factors; Owen 2007, Annals of Applied Statistics 1, 386).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from roftmol.statistics.blocks import Array, effect
from roftmol.tasks import PRIMARY

Counts = NDArray[np.uint16]

REPLICATES = 2000
ALPHA = 0.05
#: Weights are taken in parts of about this many numbers, so that memory does not grow with the test set.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """An effect and its interval. `p` is two-sided, of the same t distribution; `levels` are what was resampled."""

    value: float
    low: float
    high: float
    p: float
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two methods on one dataset: scores by seed (S), and under resampled molecules (B x S; None: not known).

    `overlap` is not 0 where the seeds are resamples that share training molecules: test / training molecules.
    `molecules` counts what an interval over the molecules alone goes by (0: not known).
    """

    dataset: str
    method: Array
    reference: Array
    method_resampled: Array | None = None
    reference_resampled: Array | None = None
    overlap: float = 0.0
    molecules: int = 0

    def effect(self, relative: bool) -> float:
        """The effect of the means over seeds."""
        return float(effect(self.method.mean(), self.reference.mean(), relative))

    @property
    def widening(self) -> float:
        """Deviation of a mean over the seeds / that of independent ones: sqrt(1 + S overlap), which makes 1 / S
        1 / S + overlap (Nadeau & Bengio 2003, Machine Learning 52, 239).
        """
        return float(np.sqrt(1 + len(self.method) * self.overlap))


def draw(rng: np.random.Generator, members: int, replicates: int = REPLICATES) -> Counts:
    """How often each of `members` is drawn, with replacement, in each replicate: B x n, rows sum to n."""
    counts = np.empty((replicates, members), np.uint16)
    step = max(1, CHUNK // members)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        counts[start : start + size] = rng.multinomial(members, np.full(members, 1 / members), size=size)
    return counts


def resampled(metric: str, labels: Array, predictions: Array, weights: Counts) -> Array:
    """The macro mean (B) of a metric that selects, with molecule i counted weights[:, i] times.

    `labels` and `predictions` are n x t with NaN for a missing label, `weights` is B x n. A task counts in a replicate
    where its score is defined there; NaN where none is. With weights of one this is `metrics.primary`.
    """
    score = PRIMARY[metric].weighted
    values = np.full((labels.shape[1], len(weights)), np.nan)
    step = max(1, CHUNK // max(1, labels.shape[0]))
    for task in range(labels.shape[1]):
        known = ~np.isnan(labels[:, task])
        y, p = labels[known, task], predictions[known, task]
        if not len(y) or not np.isfinite(p).all():
            continue
        for start in range(0, len(weights), step):
            part = weights[start : start + step].astype(np.float64)[:, known]
            values[task, start : start + step] = score(y, p, part)
    return _mean(values, axis=0)


def mean_of(values: Array, noise: float, rng: np.random.Generator, replicates: int = REPLICATES) -> Array:
    """Replicates (B) of the mean of n members, drawn with replacement, less the mean: variance (s^2 - noise) / n.

    s^2 is the members' unbiased variance, `noise` the part of it that a lower level brings along and that is resampled
    there; zero where it is all of it. Drawing at every level as if the one above knew nothing of it would count that
    part twice (Davison & Hinkley 1997, Bootstrap Methods and their Application, section 3.8).
    """
    n = len(values)
    spread = values.var(ddof=1) if n > 1 else 0.0
    if spread == 0:
        return np.zeros(replicates)
    scale = np.sqrt(max(0.0, spread - noise) / (spread * (n - 1) / n))
    return scale * (values[rng.integers(n, size=(replicates, n))].mean(1) - values.mean())


def within(pair: Pair, relative: bool, rng: np.random.Generator, replicates: int = REPLICATES) -> Array:
    """Replicates (B) of one dataset's effect: what resampled molecules make of it, and what other seeds would."""
    value, by_seed = pair.effect(relative), effect(pair.method, pair.reference, relative)
    if pair.method_resampled is None or pair.reference_resampled is None:
        return value + pair.widening * mean_of(by_seed, 0.0, rng, replicates)
    own, other = pair.method_resampled[:replicates], pair.reference_resampled[:replicates]
    centre = effect(_mean(own, axis=1), _mean(other, axis=1), relative)
    # seeds that test different molecules differ for that reason too
    moved = effect(own, other, relative) - by_seed
    noise = float(np.nanmean(moved.var(axis=1, ddof=1))) if len(by_seed) > 1 else 0.0
    return value + pair.widening * (centre - value + mean_of(by_seed, noise, rng, replicates))


def one(pair: Pair, relative: bool, rng: np.random.Generator, replicates: int = REPLICATES) -> Estimate:
    """The effect on one dataset: its seeds and molecules are resampled."""
    members = len(pair.method) if len(pair.method) > 1 else np.inf
    return interval(pair.effect(relative), within(pair, relative, rng, replicates), members, _levels(pair))


def of_these_fits(pair: Pair, relative: bool) -> Estimate | None:
    """The effect on one dataset of these very fits: their test molecules are resampled, seeds are as they are.

    None where the resampled molecules are not known.
    """
    if pair.method_resampled is None or pair.reference_resampled is None:
        return None
    own, other = (_mean(values, axis=1) for values in (pair.method_resampled, pair.reference_resampled))
    return interval(pair.effect(relative), effect(own, other, relative), pair.molecules, ("molecules",))


def several(pairs: Sequence[Pair], relative: bool, rng: np.random.Generator, replicates: int = REPLICATES) -> Estimate:
    """The mean effect over datasets: they are resampled, and within each its seeds and molecules.

    One dataset alone is not resampled: the interval is that of :func:`one`.
    """
    if len(pairs) == 1:
        return one(pairs[0], relative, rng, replicates)
    effects = np.array([pair.effect(relative) for pair in pairs])
    inner = np.stack([within(pair, relative, rng, replicates) for pair in pairs])  # D x B
    noise = float(np.mean([row[np.isfinite(row)].var(ddof=1) for row in inner]))
    drawn = _mean(inner, axis=0) + mean_of(effects, noise, rng, replicates)
    # what every dataset's interval covers, the mean's does
    levels = [level for level in ("seeds", "molecules") if all(level in _levels(pair) for pair in pairs)]
    return interval(float(effects.mean()), drawn, len(pairs), ("datasets", *levels))


def interval(
    value: float, replicates: Array, members: float, levels: tuple[str, ...] = (), alpha: float = ALPHA
) -> Estimate:
    """value ± t(1 - alpha / 2; n - 1) s, for n members at the outermost level and s the replicates' deviation.

    Percentiles of the replicates would be too narrow for a handful of members: the normal distribution's tails are too
    light (Hesterberg 2015, American Statistician 69, 371). With one level of n numbers, this is the t interval of their
    mean. Infinitely many members give the normal interval. Where nothing was resampled there is no interval: NaN.
    Undefined replicates (one class drawn) are left out.
    """
    defined = replicates[np.isfinite(replicates)]
    if not levels or len(defined) < 2 or members < 2:
        return Estimate(value, np.nan, np.nan, np.nan, levels)
    width = defined.std(ddof=1)
    if width == 0:
        return Estimate(value, value, value, 1.0 if value == 0 else 0.0, levels)
    half = stats.t.ppf(1 - alpha / 2, members - 1) * width
    return Estimate(value, value - half, value + half, float(2 * stats.t.sf(abs(value) / width, members - 1)), levels)


def _levels(pair: Pair) -> tuple[str, ...]:
    """What of a dataset is resampled: one seed cannot be."""
    known = pair.method_resampled is not None and pair.reference_resampled is not None
    return (*(["seeds"] if len(pair.method) > 1 else []), *(["molecules"] if known else []))


def _mean(values: Array, axis: int) -> Array:
    """The mean over what is defined, NaN where nothing is."""
    defined = np.isfinite(values)
    counts = defined.sum(axis)
    total = np.where(defined, values, 0.0).sum(axis)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
