"""How much worse is a method out of distribution than in distribution?"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from roftmol.registry.splits import SPLITS
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.tasks import METRICS

CELL = list(schemas.CELL)


def inside(selected: pd.DataFrame, scores: Path) -> pd.DataFrame:
    """Return the selected runs that were tested in distribution too, with that score as `value`.

    Only the splits that have such a test are read from table "scores".
    """
    runs = selected[selected["split"].isin([name for name, split in SPLITS.items() if split.two_tests])]
    if runs.empty:
        return runs.assign(value=np.nan)
    table = schemas.Indexed("scores", scores, ["split"])
    columns = [*schemas.RUN, "metric", "value", "partition", "task"]
    rows = pd.concat([table.read({"split": split}, columns).to_pandas() for split in runs["split"].unique()])
    rows = rows[(rows["partition"] == "test_id") & (rows["task"] == metrics.MACRO)]
    return runs.merge(rows[[*schemas.RUN, "metric", "value"]], on=[*schemas.RUN, "metric"])


def shift(selected: pd.DataFrame, within: pd.DataFrame | None = None) -> pd.DataFrame:
    """Make table "shift" from table "selected": a row a cell of an out-of-distribution split with its reference.

    drop = better (m_reference - m_shifted), with m the mean test score over seeds. Its standard error is
    sqrt(s_r^2 / n_r + s_s^2 / n_s), with s the deviation and n the number of seeds, because a seed's two splits are
    drawn independently. For RMSE there is also the ratio r = m_shifted / m_reference, with the error
    r sqrt((e_r / m_reference)^2 + (e_s / m_shifted)^2) of first order, e = s / sqrt(n). If all seeds share a split
    (protocol "paper", size splits, a column), the errors leave out the choice of test molecules.

    Runs that have both tests (`within`, see :func:`inside`) are their own reference: the same fits have two tests, so
    the error of the drop is that of the differences by seed.
    """
    rows = []
    for key, runs in selected.groupby(CELL, sort=False):
        assert isinstance(key, tuple)
        cell = dict(zip(CELL, map(str, key), strict=True))
        both_tests = within[(within[CELL] == list(key)).all(axis=1)] if within is not None else selected[:0]
        if len(both_tests):
            runs = both_tests
            name = "test_id"
            reference = both_tests["value"]
        else:
            name = SPLITS[cell["split"]].reference if cell["split"] in SPLITS else ""
            in_distribution = {**cell, "split": name}
            reference = selected.loc[(selected[CELL] == list(in_distribution.values())).all(axis=1), "test_value"]
        row = _row(runs["metric"].iloc[0], reference, runs["test_value"], paired=len(both_tests) > 0)
        if row:
            rows.append({**cell, "reference": name, **row})
    return pd.DataFrame(rows) if rows else schemas.empty("shift")


def _row(metric: str, reference: pd.Series, shifted: pd.Series, *, paired: bool) -> dict[str, object]:
    """Return the columns of table "shift" from the scores by seed; none if either side has no score."""
    if paired:
        both = reference.notna() & shifted.notna()
        reference, shifted = reference[both], shifted[both]
    sides = [side.dropna() for side in (reference, shifted)]
    if not all(map(len, sides)):
        return {}
    better = METRICS[metric].sign
    (m_r, e_r), (m_s, e_s) = ((side.mean(), side.std() / math.sqrt(len(side))) for side in sides)
    drops = better * (reference - shifted)
    ratio = ratio_error = math.nan
    if METRICS[metric].in_label_units and m_r > 0 and m_s > 0:
        ratio = m_s / m_r
        if paired:  # the two tests are of the same fits, so the ratio has a spread over seeds
            ratio_error = (shifted / reference).std() / math.sqrt(len(drops))
        else:
            ratio_error = ratio * math.hypot(e_r / m_r, e_s / m_s)
    return {
        "metric": metric,
        "better": better,
        "reference_mean": m_r,
        "reference_std": sides[0].std(),
        "shifted_mean": m_s,
        "shifted_std": sides[1].std(),
        "reference_seeds": len(sides[0]),
        "shifted_seeds": len(sides[1]),
        "drop": better * (m_r - m_s),
        "drop_error": drops.std() / math.sqrt(len(drops)) if paired else math.hypot(e_r, e_s),
        "ratio": ratio,
        "ratio_error": ratio_error,
    }
