"""Are predicted probabilities and predicted errors calibrated?

Probabilities: the reliability curve over bins of equal count, the expected calibration error over them,
ECE = sum_b (n_b / n) |mean p - mean y| (Naeini et al. 2015, AAAI; adaptive bins: Nixon et al. 2019, arXiv 1904.01685),
and the Brier score, mean (p - y)^2. With few molecules, ECE is well above 0 even for a perfectly calibrated model
(Kumar et al. 2019, arXiv 1909.10155); "ece_by_chance" is what such a model would have in the same bins.

Values: the seeds are an ensemble. Its mean mu and deviation sigma predict N(mu, sigma^2) for a molecule
(Lakshminarayanan et al. 2017, arXiv 1612.01474, without the noise of the labels, which seeds do not estimate; under
protocol "honest" they differ in their training molecules too). Measured are the coverage of its central intervals, the
sharpness (the root mean variance), and the expected normalised calibration error of Levi et al. (2022, arXiv
1905.11659), ENCE = mean_b |RMV_b - RMSE_b| / RMV_b over bins of equal count by sigma, where RMV is the root mean
variance of a bin.

Several tasks are pooled: probabilities as they are, regressions in standard deviations of each task's labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, ndtri, stdtr

from roftmol.evaluation.diagnostics.cells import Array, Entries, Ints
from roftmol.tasks import TASKS

#: The most bins of a curve, and the fewest molecules that each should have.
BINS, MOLECULES_A_BIN = 10, 10
#: The nominal coverages, in per cent.
LEVELS = (50, 80, 90, 95)
#: A deviation needs at least so many seeds with the same test molecule, and the measures so many of those molecules.
MIN_SEEDS, MIN_MOLECULES = 3, 30
#: With fewer labels, a note cautions about ECE.
FEW_LABELS = 200
PROBABILITIES = ("ece", "ece_by_chance", "brier")
SPREAD = (
    *(f"coverage_{level}" for level in LEVELS),
    *(f"coverage_{level}_by_few_seeds" for level in LEVELS),
    "ence",
    "sharpness",
    "rmse",
)

Row = dict[str, object]


@dataclass(frozen=True, eq=False)
class Curve:
    """A reliability curve, one entry a bin: predicted, observed, and the numbers of predictions and distinct labels."""

    predicted: Array
    observed: Array
    low: Array
    high: Array
    entries: Ints
    molecules: Ints


def measure(identity: dict[str, str], entries: Entries, kind: str) -> tuple[list[Row], list[Row]]:
    """Make the cell's rows of the tables "calibration" and "reliability"."""
    if not len(entries):
        return [], []
    values, curve, note, molecules = (_of_probabilities if TASKS[kind].classes else _of_spread)(entries)
    common = {**identity, "seeds": len(np.unique(entries.seeds)), "molecules": molecules, "note": note}
    rows: list[Row] = [
        {**common, "measure": name, "value": value, "seed_mean": of_seeds.mean(), "seed_std": of_seeds.std()}
        for name, (value, of_seeds) in values.items()
    ]
    return rows, [{**identity, "kind": kind, **point} for point in _points(curve)] if curve else []


def _of_probabilities(entries: Entries) -> tuple[dict[str, tuple[float, pd.Series]], Curve, str, int]:
    curve = reliability(entries.y, entries.p, entries.label)
    seeds = [(seed, reliability(seed.y, seed.p, seed.label)) for seed in entries.by_seed()]
    values = {
        "ece": (ece(curve), pd.Series([ece(of_seed) for _, of_seed in seeds])),
        "ece_by_chance": (
            ece_by_chance(entries.p, curve),
            pd.Series([ece_by_chance(seed.p, of_seed) for seed, of_seed in seeds]),
        ),
        "brier": (brier(entries.y, entries.p), pd.Series([brier(seed.y, seed.p) for seed, _ in seeds])),
    }
    labels = len(np.unique(entries.label))
    note = f"{labels} labels are few: compare ECE with what chance alone gives" if labels < FEW_LABELS else ""
    return values, curve, note, labels


def _of_spread(entries: Entries) -> tuple[dict[str, tuple[float, pd.Series]], Curve | None, str, int]:
    ensemble = _ensemble(entries)
    seeds = len(np.unique(entries.seeds))
    no_seeds = pd.Series([], dtype=float)  # one seed has no such measure
    blank = dict.fromkeys(SPREAD, (np.nan, no_seeds))
    if seeds < MIN_SEEDS:
        return blank, None, f"{seeds} seeds, {MIN_SEEDS} needed", len(ensemble)
    if len(ensemble) < MIN_MOLECULES:
        shared = f"{len(ensemble)} test molecules in {MIN_SEEDS} seeds or more, {MIN_MOLECULES} needed"
        return blank, None, shared, len(ensemble)
    y, mu, sigma = (ensemble[name].to_numpy() for name in ("y", "mean", "std"))
    # If all seeds predict the same, the deviation is a rounding error.
    if (sigma <= 1e-6 * max(1.0, float(np.abs(mu).max()))).all():
        return blank, None, "all seeds predict the same: there is no deviation to judge", len(ensemble)
    curve = error_curve(y - mu, sigma)
    values = {
        **{f"coverage_{level}": coverage(y - mu, sigma, level / 100) for level in LEVELS},
        **{f"coverage_{n}_by_few_seeds": coverage_by_few_seeds(ensemble["seeds"].to_numpy(), n / 100) for n in LEVELS},
        "ence": ence(curve),
        "sharpness": float(np.sqrt(np.mean(sigma**2))),
        "rmse": float(np.sqrt(np.mean((y - mu) ** 2))),
    }
    return {name: (value, no_seeds) for name, value in values.items()}, curve, "", len(ensemble)


def _ensemble(entries: Entries) -> pd.DataFrame:
    """Return mean and deviation over seeds of each label that enough seeds predict."""
    frame = pd.DataFrame({"label": entries.label, "y": entries.y, "p": entries.p})
    labels = frame.groupby("label").agg(y=("y", "first"), mean=("p", "mean"), std=("p", "std"), seeds=("p", "size"))
    return labels[labels["seeds"] >= MIN_SEEDS]


def reliability(y: Array, p: Array, label: Ints) -> Curve:
    """Return the reliability curve of probabilities `p` of labels `y` (0 or 1), with Wilson's 95% intervals.

    Bins are those of scikit-learn's `calibration_curve` with quantiles. Predictions of one `label` by several seeds are
    several entries, but one label in the interval.
    """
    edges = np.quantile(p, np.linspace(0, 1, _bins(len(np.unique(label))) + 1))
    bins = np.searchsorted(edges[1:-1], p)
    inside = [bins == number for number in np.unique(bins)]
    predicted = np.array([p[here].mean() for here in inside])
    observed = np.array([y[here].mean() for here in inside])
    entries = np.array([here.sum() for here in inside])
    molecules = np.array([len(np.unique(label[here])) for here in inside])
    low, high = wilson(observed, molecules)
    return Curve(predicted, observed, low, high, entries, molecules)


def error_curve(error: Array, sigma: Array) -> Curve:
    """Return the curve of RMV (predicted) and RMSE (observed) in bins of equal count by sigma.

    Its intervals hold for normal errors: n RMSE^2 / s^2 ~ chi^2(n).
    """
    groups = np.array_split(np.argsort(sigma, kind="stable"), _bins(len(sigma)))
    count = np.array([len(group) for group in groups])
    rmv = np.array([np.sqrt(np.mean(sigma[group] ** 2)) for group in groups])
    rmse = np.array([np.sqrt(np.mean(error[group] ** 2)) for group in groups])
    low, high = (rmse * np.sqrt(count / (2 * gammaincinv(count / 2, q))) for q in (0.975, 0.025))
    return Curve(rmv, rmse, low, high, count, count)


def ece(curve: Curve) -> float:
    """Return sum_b (n_b / n) |mean p - mean y|."""
    return float(np.average(np.abs(curve.predicted - curve.observed), weights=curve.entries))


def ece_by_chance(p: Array, curve: Curve) -> float:
    """Return the mean ECE of a model whose probabilities are true.

    In bin b, mean y is about N(mean p, v_b / m_b) with v_b = mean p(1 - p) over the m_b labels, so the mean of
    |mean p - mean y| is sqrt(2 v_b / (pi m_b)).
    """
    cuts = np.cumsum(curve.entries)[:-1]
    variance = np.array([np.mean(part * (1 - part)) for part in np.split(np.sort(p), cuts)])
    return float(np.average(np.sqrt(2 * variance / (np.pi * curve.molecules)), weights=curve.entries))


def brier(y: Array, p: Array) -> float:
    """Return the mean (p - y)^2, by scikit-learn."""
    from sklearn.metrics import brier_score_loss

    return float(brier_score_loss(y, np.clip(p, 0, 1), pos_label=1))


def coverage(error: Array, sigma: Array, level: float) -> float:
    """Return the share of labels in the central interval: |y - mu| <= z sigma, z = Phi^-1((1 + level) / 2)."""
    return float(np.mean(np.abs(error) <= ndtri((1 + level) / 2) * sigma))


def coverage_by_few_seeds(seeds: Ints, level: float) -> float:
    """Return the mean :func:`coverage` of a perfectly calibrated ensemble of so few `seeds`.

    M seeds and the label are then draws of one normal distribution, so (y - mu) / (sigma sqrt(1 + 1 / M)) is t with
    M - 1 degrees of freedom. For example, the 90% intervals of three seeds hold 71%.
    """
    z = ndtri((1 + level) / 2)
    return float(np.mean(2 * stdtr(seeds - 1, z / np.sqrt(1 + 1 / seeds)) - 1))


def ence(curve: Curve) -> float:
    """Return mean_b |RMV_b - RMSE_b| / RMV_b; NaN if a bin has no deviation at all."""
    if (curve.predicted <= 0).any():
        return np.nan
    return float(np.mean(np.abs(curve.predicted - curve.observed) / curve.predicted))


def wilson(share: Array, count: Ints, level: float = 0.95) -> tuple[Array, Array]:
    """Return Wilson's interval of a share of `count` (1927, J. Am. Stat. Assoc. 22, 209).

    Shares need not be whole counts.
    """
    z = ndtri((1 + level) / 2)
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def _bins(labels: int) -> int:
    return max(1, min(BINS, labels // MOLECULES_A_BIN))


def _points(curve: Curve) -> Iterator[Row]:
    names = ("predicted", "observed", "low", "high", "entries", "molecules")
    for number in range(len(curve.predicted)):
        yield {"bin": number, **{name: getattr(curve, name)[number] for name in names}}
