"""How much worse is a method out of distribution than in distribution?"""

from __future__ import annotations

import math

import pandas as pd

from roftmol import schemas
from roftmol.metrics import BETTER

#: Out-of-distribution splits, and the split of the same data that is in distribution.
REFERENCE = {
    "scaffold": "random",
    "size": "random",
    "size_strict": "random",
    "column": "random",
    "scaffold_cv": "cv",
}
CELL = list(schemas.CELL)


def shift(selected: pd.DataFrame) -> pd.DataFrame:
    """Table "shift" from table "selected": a row a cell of an out-of-distribution split whose reference was run too.

    drop = better (m_reference - m_shifted), with m the mean test score over seeds; its standard error is
    sqrt(s_r^2 / n_r + s_s^2 / n_s) with s the deviation and n the number of seeds, since a seed's two splits are drawn
    independently. For RMSE also the ratio r = m_shifted / m_reference, with the error
    r sqrt((e_r / m_reference)^2 + (e_s / m_shifted)^2) of first order, e = s / sqrt(n). Where all seeds share a split
    (protocol "paper", size splits, a column), the errors leave out the choice of test molecules.
    """
    cells = selected.groupby(CELL, sort=False).agg(
        metric=("metric", "first"),
        mean=("test_value", "mean"),
        std=("test_value", "std"),
        seeds=("test_value", "count"),
    )
    rows = []
    for key, shifted in cells.iterrows():
        assert isinstance(key, tuple)
        cell = dict(zip(CELL, key, strict=True))
        name = REFERENCE.get(cell["split"])
        twin = tuple({**cell, "split": name}.values())
        if name is None or twin not in cells.index:
            continue
        reference = cells.loc[twin]
        if not (shifted["seeds"] and reference["seeds"]):
            continue
        better = BETTER[shifted["metric"]]
        errors = [side["std"] / math.sqrt(side["seeds"]) for side in (reference, shifted)]
        ratio = ratio_error = math.nan
        if shifted["metric"] == "rmse" and reference["mean"] > 0 and shifted["mean"] > 0:
            ratio = shifted["mean"] / reference["mean"]
            ratio_error = ratio * math.hypot(errors[0] / reference["mean"], errors[1] / shifted["mean"])
        rows.append(
            {
                **cell,
                "reference": name,
                "metric": shifted["metric"],
                "better": better,
                "reference_mean": reference["mean"],
                "reference_std": reference["std"],
                "shifted_mean": shifted["mean"],
                "shifted_std": shifted["std"],
                "reference_seeds": reference["seeds"],
                "shifted_seeds": shifted["seeds"],
                "drop": better * (reference["mean"] - shifted["mean"]),
                "drop_error": math.hypot(*errors),
                "ratio": ratio,
                "ratio_error": ratio_error,
            }
        )
    return pd.DataFrame(rows) if rows else schemas.empty("shift")
