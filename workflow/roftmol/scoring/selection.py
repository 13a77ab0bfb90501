"""Which setting a method is judged by: named rules over the candidates of one cell and seed.

A candidate is a setting all of whose folds were fitted, with its scores on the validation molecules (pooled: out of
fold in cross-fitting) and on the test molecules. Candidates come in the order of the grid, the order of the fits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from roftmol.tables import schemas
from roftmol.tasks import METRICS


@dataclass(frozen=True)
class Candidate:
    """A setting and its scores, NaN where undefined."""

    setting: str
    valid_value: float
    valid_loss: float
    test_value: float
    test_r2: float = math.nan  #: of regressions


#: From the candidates, and +1 or -1 for a metric to maximise or minimise, to the chosen one and what to say about it.
Rule = Callable[[Sequence[Candidate], int], tuple[Candidate, str]]


def validation(candidates: Sequence[Candidate], better: int) -> tuple[Candidate, str]:
    """The best validation metric; ties by lower validation loss, then by the order of the grid.

    Where the metric is undefined (one class in validation), the lowest validation loss, and the note says so.
    """
    if all(math.isnan(candidate.valid_loss) for candidate in candidates):
        return candidates[0], "no validation score: first setting of the grid"
    if any(math.isnan(candidate.valid_value) for candidate in candidates):
        return min(candidates, key=lambda c: _last(c.valid_loss)), "validation metric undefined: selected by loss"
    # min keeps the earliest of equals, so the order of the grid decides what is left
    return min(candidates, key=lambda c: (-better * c.valid_value, _last(c.valid_loss))), ""


def oracle(candidates: Sequence[Candidate], better: int) -> tuple[Candidate, str]:
    """The best test metric: what a method could reach, never an estimate of what it will; ties by grid order."""
    return min(candidates, key=lambda c: _last(-better * c.test_value)), "oracle: selected on test"


RULES: dict[str, Rule] = {
    "validation": validation,
    "oracle": oracle,
}


def select(fits: pd.DataFrame, scores: Mapping[tuple[int, str], Candidate], metric: str, rule: str) -> pd.DataFrame:
    """Table "selected" of one cell: a row a seed, from its fits and the scores of each (seed, setting).

    `candidates` counts the settings of the grid, `failed` those with a fold that failed, which are never chosen. Where
    every setting failed, `setting` is "", the values are NaN and the note gives the reasons.
    """
    cell = fits.iloc[0][list(schemas.CELL)].to_dict()
    rows = []
    for seed in sorted(fits["seed"].unique().tolist()):
        tried = fits[fits["seed"] == seed]
        settings = list(dict.fromkeys(tried["setting"]))
        broken = tried[tried["status"] != "ok"]
        left = [scores[seed, setting] for setting in settings if setting not in set(broken["setting"])]
        if left:
            chosen, note = RULES[rule](left, METRICS[metric].sign)
            remarks = tried.loc[tried["setting"] == chosen.setting, "note"]
        else:
            chosen, note = Candidate("", math.nan, math.nan, math.nan), "every setting failed"
            remarks = broken["reason"]
        rows.append(
            {
                **cell,
                "setting": chosen.setting,
                "seed": seed,
                "rule": rule,
                "candidates": len(settings),
                "failed": broken["setting"].nunique(),
                "metric": metric,
                "valid_value": chosen.valid_value,
                "valid_loss": chosen.valid_loss,
                "test_value": chosen.test_value,
                "test_r2": chosen.test_r2,
                "note": "; ".join(text for text in dict.fromkeys([note, *remarks]) if text),
            }
        )
    return pd.DataFrame(rows)


def _last(value: float) -> float:
    return math.inf if math.isnan(value) else value
