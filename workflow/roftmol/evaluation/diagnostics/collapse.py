"""Does a method that lets the representation collapse lose more out of distribution?

In a condition, each method is a point: what its selected fits did to the atoms' vectors (or to the forces), and its
test score, both means over seeds. Their rank correlation over methods is positive if more collapse goes with a worse
score. Its interval is a percentile bootstrap over the methods, and wide because methods are few.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from roftmol.core.seeds import generator
from roftmol.methods import WITHOUT_PRETRAINING
from roftmol.tables import schemas
from roftmol.tasks import METRICS

#: The measures that are related to the score: a quantity of table "changes" to its part. A CKA is subtracted from 1, so
#: that every measure grows with what a fit has changed.
MEASURES = {
    "davies_bouldin_ratio": "atoms",
    "wasserstein": "atoms",
    "cka": "vectors",
    "force_drift": "forces",
}
FEWEST, RESAMPLES = 5, 2000
CONDITION = list(schemas.CONDITION)

Array = NDArray[np.float64]


def points(changes: pd.DataFrame, selected: pd.DataFrame) -> pd.DataFrame:
    """Make a row a cell and measure: the measure's `value` and the mean test score `score`, over the selected seeds.

    `changes` and `selected` are the tables of these names; cells without a pretrained encoder are left out.
    """
    runs = selected[~selected["method"].isin(WITHOUT_PRETRAINING)]
    measured = changes[changes["quantity"].map(MEASURES) == changes["part"]]
    rows = measured.merge(runs[[*schemas.RUN, "metric", "test_value"]], on=list(schemas.RUN))
    by_seed = rows.groupby([*schemas.CELL, "quantity", "metric", "seed"], sort=False)[["value", "test_value"]].mean()
    means = by_seed.groupby([*schemas.CELL, "quantity", "metric"], sort=False).mean().reset_index()
    means["value"] = means["value"].where(means["quantity"] != "cka", 1 - means["value"])
    return means.rename(columns={"quantity": "measure", "test_value": "score"})


def collapse(changes: pd.DataFrame, selected: pd.DataFrame) -> pd.DataFrame:
    """Make table "collapse": the rank correlation of each measure with the loss of score over a condition's methods."""
    rows = []
    for key, here in points(changes, selected).groupby([*CONDITION, "measure", "metric"], sort=False):
        assert isinstance(key, tuple)
        identity = dict(zip([*CONDITION, "measure", "metric"], map(str, key), strict=True))
        methods = here.dropna(subset=["value", "score"])
        loss = -METRICS[identity["metric"]].sign * methods["score"].to_numpy(np.float64)
        rho, low, high = correlation(methods["value"].to_numpy(np.float64), loss, *map(str, key))
        note = "" if len(methods) >= FEWEST else f"fewer than {FEWEST} methods"
        rows.append({**identity, "methods": len(methods), "rho": rho, "low": low, "high": high, "note": note})
    return pd.DataFrame(rows) if rows else schemas.empty("collapse")


def correlation(x: Array, y: Array, *purpose: str) -> tuple[float, float, float]:
    """Return Spearman's rank correlation and its 95% percentile bootstrap interval over the points.

    All are NaN for too few points; the correlation is NaN if x or y is constant. `purpose` seeds the bootstrap.
    """
    if len(x) < FEWEST:
        return math.nan, math.nan, math.nan
    rho = spearman(x, y)
    rng = generator("collapse", *purpose)
    drawn = np.array([rng.integers(0, len(x), len(x)) for _ in range(RESAMPLES)])
    replicates = np.array(_correlations(x[drawn], y[drawn]))
    if not np.isfinite(replicates).any():
        return rho, math.nan, math.nan
    low, high = np.nanpercentile(replicates, [2.5, 97.5])
    return rho, float(low), float(high)


def spearman(x: Array, y: Array) -> float:
    """Return Pearson's correlation of the mean ranks; NaN if either is constant."""
    return _correlations(x[None], y[None])[0]


def _correlations(x: Array, y: Array) -> list[float]:
    """Return Spearman's rank correlation of each row: all rows are ranked at once, for one alone takes as long."""
    ranks = (stats.rankdata(values, axis=1) for values in (x, y))
    centred = (ranked - ranked.mean(axis=1, keepdims=True) for ranked in ranks)
    found = []
    for a, b in zip(*centred, strict=True):
        scale = math.sqrt(float(a @ a) * float(b @ b))
        found.append(float(a @ b) / scale if scale > 0 else math.nan)
    return found
