"""Paired bootstrap over datasets, seeds and test molecules.

Molecules are drawn once a dataset, not once a run: a molecule that several seeds test has the same weight in all of
them, and every method is scored with the same weights. So what is hard for all methods cancels in a difference (the
pigeonhole bootstrap of crossed factors; Owen 2007, Annals of Applied Statistics 1, 386).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from roftmol.statistics.blocks import Array, effect
from roftmol.tasks import PRIMARY

Counts = NDArray[np.uint16]

REPLICATES = 2000
ALPHA = 0.05
#: Weights are taken in parts of about this many numbers, so that memory does not grow with the test set.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """An effect and its interval; `p` is two-sided, from the same t distribution; `levels` are what was resampled."""

    value: float
    low: float
    high: float
    p: float
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Pair:
    """Two methods on one dataset: scores by seed (S), and under resampled molecules (B x S; None if not known).

    `overlap` is test / training molecules if the seeds are resamples that share training molecules, otherwise 0.
    `molecules` is the number of molecules for an interval over these alone (0 if not known). `seeds` are the seeds'
    numbers, for which several datasets may share fits.
    """

    dataset: str
    method: Array
    reference: Array
    method_resampled: Array | None = None
    reference_resampled: Array | None = None
    overlap: float = 0.0
    molecules: int = 0
    seeds: tuple[int, ...] = ()

    def effect(self, relative: bool) -> float:
        """Return the effect of the means over seeds."""
        return float(effect(self.method.mean(), self.reference.mean(), relative))

    @property
    def widening(self) -> float:
        """The deviation of a mean over the seeds relative to that of independent seeds: sqrt(1 + S overlap).

        It turns the variance's factor 1 / S into 1 / S + overlap (Nadeau & Bengio 2003, Machine Learning 52, 239).
        """
        return float(np.sqrt(1 + len(self.method) * self.overlap))


@dataclass(frozen=True)
class Luck:
    """What a mean over datasets owes to the luck of fits that all of them share: its variance, from so many seeds."""

    variance: float
    seeds: int


def draw(rng: np.random.Generator, members: int, replicates: int = REPLICATES) -> Counts:
    """Draw `members` with replacement in each replicate; return how often each is drawn, B x n, rows sum to n."""
    counts = np.empty((replicates, members), np.uint16)
    step = max(1, CHUNK // members)
    for start in range(0, replicates, step):
        size = min(step, replicates - start)
        counts[start : start + size] = rng.multinomial(members, np.full(members, 1 / members), size=size)
    return counts


def resampled(metric: str, labels: Array, predictions: Array, weights: Counts) -> Array:
    """Return the macro mean (B) of a primary metric, with molecule i counted weights[:, i] times.

    `labels` and `predictions` are n x t with NaN for a missing label, `weights` is B x n. A task counts in a replicate
    if its score is defined there; the mean is NaN if none is. With weights of one this is `metrics.primary`.
    """
    score = PRIMARY[metric].weighted
    values = np.full((labels.shape[1], len(weights)), np.nan)
    step = max(1, CHUNK // max(1, labels.shape[0]))
    for task in range(labels.shape[1]):
        labelled = ~np.isnan(labels[:, task])
        y, p = labels[labelled, task], predictions[labelled, task]
        if not len(y) or not np.isfinite(p).all():
            continue
        for start in range(0, len(weights), step):
            part = weights[start : start + step].astype(np.float64)[:, labelled]
            values[task, start : start + step] = score(y, p, part)
    return _mean(values, axis=0)


def mean_of(values: Array, noise: float, rng: np.random.Generator, replicates: int = REPLICATES) -> Array:
    """Return replicates (B) of the mean of n members, drawn with replacement, minus the mean.

    Their variance is (s^2 - noise) / n, or zero if the noise exceeds s^2. s^2 is the members' unbiased variance;
    `noise` is the part of it that comes from a lower level and is resampled there. Without subtracting it, that part
    would count twice (Davison & Hinkley 1997, Bootstrap Methods and their Application, section 3.8).
    """
    n = len(values)
    spread = values.var(ddof=1) if n > 1 else 0.0
    if spread == 0:
        return np.zeros(replicates)
    scale = np.sqrt(max(0.0, spread - noise) / (spread * (n - 1) / n))
    return scale * (values[rng.integers(n, size=(replicates, n))].mean(1) - values.mean())


def within(pair: Pair, relative: bool, rng: np.random.Generator, replicates: int = REPLICATES) -> Array:
    """Return replicates (B) of one dataset's effect, under resampled molecules and seeds."""
    value = pair.effect(relative)
    by_seed = effect(pair.method, pair.reference, relative)
    if pair.method_resampled is None or pair.reference_resampled is None:
        return value + pair.widening * mean_of(by_seed, 0.0, rng, replicates)
    method, reference = pair.method_resampled[:replicates], pair.reference_resampled[:replicates]
    centre = effect(_mean(method, axis=1), _mean(reference, axis=1), relative)
    # seeds that test different molecules differ for that reason too
    moved = effect(method, reference, relative) - by_seed
    noise = float(np.nanmean(moved.var(axis=1, ddof=1))) if len(by_seed) > 1 else 0.0
    return value + pair.widening * (centre - value + mean_of(by_seed, noise, rng, replicates))


def one(pair: Pair, relative: bool, rng: np.random.Generator, replicates: int = REPLICATES) -> Estimate:
    """Estimate the effect on one dataset, with its seeds and molecules resampled."""
    members = len(pair.method) if len(pair.method) > 1 else np.inf
    return interval(pair.effect(relative), within(pair, relative, rng, replicates), members, _levels(pair))


def of_these_fits(pair: Pair, relative: bool) -> Estimate | None:
    """Estimate the effect on one dataset of these fits alone: test molecules are resampled, seeds are not.

    Return None if the resampled molecules are not known.
    """
    if pair.method_resampled is None or pair.reference_resampled is None:
        return None
    method = _mean(pair.method_resampled, axis=1)
    reference = _mean(pair.reference_resampled, axis=1)
    return interval(pair.effect(relative), effect(method, reference, relative), pair.molecules, ("molecules",))


def several(
    pairs: Sequence[Pair],
    relative: bool,
    rng: np.random.Generator,
    replicates: int = REPLICATES,
    together: bool = False,
) -> Estimate:
    """Estimate the mean effect over datasets: these are resampled, and within each its seeds and molecules.

    A single dataset is not resampled: the interval is that of :func:`one`. With `together`, seeds of one number are one
    fit of all datasets, and :func:`luck` is added to the variance. Where fewer than two seeds are in all datasets, it
    is not known, and the interval leaves the seeds out.
    """
    if len(pairs) == 1:
        return one(pairs[0], relative, rng, replicates)
    effects = np.array([pair.effect(relative) for pair in pairs])
    inner = np.stack([within(pair, relative, rng, replicates) for pair in pairs])  # D x B
    noise = float(np.mean([row[np.isfinite(row)].var(ddof=1) for row in inner]))
    drawn = _mean(inner, axis=0) + mean_of(effects, noise, rng, replicates)
    shared = luck(pairs, relative) if together else None
    # what every dataset's interval covers, the mean's does
    levels = [level for level in ("seeds", "molecules") if all(level in _levels(pair) for pair in pairs)]
    if together and not shared:
        levels = [level for level in levels if level != "seeds"]
    return interval(float(effects.mean()), drawn, len(pairs), ("datasets", *levels), luck=shared)


def luck(pairs: Sequence[Pair], relative: bool) -> Luck | None:
    """Return the luck of fits that all datasets share, from the seeds' mean effects over datasets; None for one seed.

    An encoder that was lucky is so on every dataset, and datasets in plenty do not average that out. The seeds' means
    differ by it, and by what is left of each dataset's own chance; all of their variance is taken for luck, which errs
    on the safe side. The variance of a mean over S seeds has the factor 1 / S + overlap, as in `Pair.widening`.
    """
    common = sorted(set.intersection(*(set(pair.seeds) for pair in pairs)))
    if len(common) < 2:
        return None
    on_datasets = [
        effect(pair.method, pair.reference, relative)[[pair.seeds.index(seed) for seed in common]] for pair in pairs
    ]
    by_seed = np.mean(on_datasets, axis=0)
    overlap = max(pair.overlap for pair in pairs)
    return Luck(float(by_seed.var(ddof=1) * (1 / len(common) + overlap)), len(common))


def interval(
    value: float,
    replicates: Array,
    members: float,
    levels: tuple[str, ...] = (),
    alpha: float = ALPHA,
    luck: Luck | None = None,
) -> Estimate:
    """Return value ± t(1 - alpha / 2; n - 1) s, for n members at the outermost level and the replicates' deviation s.

    Percentiles of the replicates would be too narrow for a handful of members: the normal distribution's tails are too
    light (Hesterberg 2015, American Statistician 69, 371). With one level of n numbers, this is the t interval of their
    mean. Infinitely many members give the normal interval. If nothing was resampled, there is no interval: NaN.
    Undefined replicates (one class drawn) are left out. What `luck` adds to s^2 has degrees of freedom of its own, see
    :func:`student`.
    """
    defined = replicates[np.isfinite(replicates)]
    if not levels or len(defined) < 2 or members < 2:
        return Estimate(value, np.nan, np.nan, np.nan, levels)
    width, freedom = student(float(defined.std(ddof=1)), members, luck)
    if width == 0:
        return Estimate(value, value, value, 1.0 if value == 0 else 0.0, levels)
    half = stdtrit(freedom, 1 - alpha / 2) * width
    p = 2 * stdtr(freedom, -abs(value) / width)
    return Estimate(value, value - half, value + half, float(p), levels)


def student(width: float, members: float, luck: Luck | None) -> tuple[float, float]:
    """Return the deviation of a mean and its degrees of freedom, from its deviation over members and from luck.

    The variances add up, and the degrees are those of Satterthwaite (1946, Biometrics Bulletin 2, 110).
    """
    if not luck or luck.variance == 0:
        return width, members - 1
    variance = width**2 + luck.variance
    uncertain = width**4 / (members - 1) + luck.variance**2 / (luck.seeds - 1)
    return float(np.sqrt(variance)), variance**2 / uncertain


def _levels(pair: Pair) -> tuple[str, ...]:
    """Return which levels of a dataset are resampled; a single seed cannot be."""
    seeds = ("seeds",) if len(pair.method) > 1 else ()
    molecules = pair.method_resampled is not None and pair.reference_resampled is not None
    return (*seeds, "molecules") if molecules else seeds


def _mean(values: Array, axis: int) -> Array:
    """Return the mean over what is defined, NaN if nothing is."""
    defined = np.isfinite(values)
    counts = defined.sum(axis)
    total = np.where(defined, values, 0.0).sum(axis)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
