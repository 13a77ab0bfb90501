"""Does a method that lets the representation collapse lose more out of distribution?

Of one condition, each method is a point: what its selected fits did to the atoms' vectors (or to the forces), and its
test score, both means over seeds. Their rank correlation over methods is positive where more of it goes with a worse
score. Methods are few, so its interval is wide: a percentile bootstrap over the methods.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from roftmol.core.seeds import generator
from roftmol.methods import WITHOUT_PRETRAINING
from roftmol.tables import schemas
from roftmol.tasks import METRICS

#: What is related to the score: the part and the quantity of table "changes". A CKA is taken from 1, so that all grow
#: with what a fit has changed.
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
    """One row a cell and measure: its `value` and its mean test score `score`, over the selected seeds.

    `changes` are table "changes", `selected` table "selected"; cells without a pretrained encoder are left out.
    """
    chosen = selected[~selected["method"].isin(WITHOUT_PRETRAINING)]
    wanted = changes[changes["quantity"].map(MEASURES) == changes["part"]]
    rows = wanted.merge(chosen[[*schemas.RUN, "metric", "test_value"]], on=list(schemas.RUN))
    by_seed = rows.groupby([*schemas.CELL, "quantity", "metric", "seed"], sort=False)[["value", "test_value"]].mean()
    found = by_seed.groupby([*schemas.CELL, "quantity", "metric"], sort=False).mean().reset_index()
    found["value"] = found["value"].where(found["quantity"] != "cka", 1 - found["value"])
    return found.rename(columns={"quantity": "measure", "test_value": "score"})


def collapse(changes: pd.DataFrame, selected: pd.DataFrame) -> pd.DataFrame:
    """Table "collapse": the rank correlation of each measure with the loss of score over a condition's methods."""
    rows = []
    for key, here in points(changes, selected).groupby([*CONDITION, "measure", "metric"], sort=False):
        assert isinstance(key, tuple)
        identity = dict(zip([*CONDITION, "measure", "metric"], map(str, key), strict=True))
        known = here.dropna(subset=["value", "score"])
        loss = -METRICS[identity["metric"]].sign * known["score"].to_numpy(np.float64)
        rho, low, high = correlation(known["value"].to_numpy(np.float64), loss, *map(str, key))
        note = "" if len(known) >= FEWEST else f"fewer than {FEWEST} methods"
        rows.append({**identity, "methods": len(known), "rho": rho, "low": low, "high": high, "note": note})
    return pd.DataFrame(rows) if rows else schemas.empty("collapse")


def correlation(x: Array, y: Array, *purpose: str) -> tuple[float, float, float]:
    """Spearman's rank correlation and its 95% percentile bootstrap interval over the points; NaN for few or
    constant."""
    if len(x) < FEWEST:
        return math.nan, math.nan, math.nan
    rho = spearman(x, y)
    rng = generator("collapse", *purpose)
    drawn = [rng.integers(0, len(x), len(x)) for _ in range(RESAMPLES)]
    found = np.array([spearman(x[rows], y[rows]) for rows in drawn])
    if not np.isfinite(found).any():
        return rho, math.nan, math.nan
    low, high = np.nanpercentile(found, [2.5, 97.5])
    return rho, float(low), float(high)


def spearman(x: Array, y: Array) -> float:
    """Pearson's correlation of the mean ranks; NaN where either is constant."""
    a, b = (pd.Series(values).rank().to_numpy() for values in (x, y))
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / scale if scale > 0 else math.nan
