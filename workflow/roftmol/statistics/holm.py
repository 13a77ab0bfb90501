"""Holm's correction for several tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def holm(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return Holm's adjusted p-values: the largest (m - i) p_i so far, i from 0 in rising order.

    NaN stays NaN and is not counted. The values are those of statsmodels' `multipletests`, which takes a tenth of a
    second a call because it collects garbage each time.
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: int((~np.isnan(p)).sum())]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted
