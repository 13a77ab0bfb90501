"""Which hyperparameters a method is judged by: named rules over the candidates of one cell and seed.

A candidate is a point of the grid whose folds were all fitted, with its scores on the validation molecules (pooled: out
of fold in cross-fitting) and on the test molecules. Candidates are in the order of the grid, which is that of the fits.
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
    """Hyperparameters and their scores, NaN if undefined."""

    setting: str
    valid_value: float
    valid_loss: float
    test_value: float
    test_r2: float = math.nan  #: of regressions


#: Takes the candidates, and +1 or -1 for a metric to maximise or minimise; returns the chosen one and a note on it.
Rule = Callable[[Sequence[Candidate], int], tuple[Candidate, str]]


def validation(candidates: Sequence[Candidate], better: int) -> tuple[Candidate, str]:
    """Choose the best validation metric; break ties by lower validation loss, then by the order of the grid.

    If the metric is undefined (one class in validation), choose the lowest validation loss and say so in the note.
    """
    if all(math.isnan(candidate.valid_loss) for candidate in candidates):
        return candidates[0], "no validation score: first setting of the grid"
    if any(math.isnan(candidate.valid_value) for candidate in candidates):
        return min(candidates, key=lambda c: _last(c.valid_loss)), "validation metric undefined: selected by loss"
    # min keeps the earliest of equals, so the order of the grid decides what is left
    return min(candidates, key=lambda c: (-better * c.valid_value, _last(c.valid_loss))), ""


def oracle(candidates: Sequence[Candidate], better: int) -> tuple[Candidate, str]:
    """Choose the best test metric: what a method could reach, never an estimate of what it will reach.

    The order of the grid breaks ties.
    """
    return min(candidates, key=lambda c: _last(-better * c.test_value)), "oracle: selected on test"


RULES: dict[str, Rule] = {
    "validation": validation,
    "oracle": oracle,
}


def select(fits: pd.DataFrame, scores: Mapping[tuple[int, str], Candidate], metric: str, rule: str) -> pd.DataFrame:
    """Make table "selected" of one cell, a row a seed, from its fits and the candidate of each (seed, setting).

    `candidates` counts the points of the grid, `failed` those with a failed fold, which are never chosen. If all
    failed, `setting` is "", the values are NaN and the note gives the reasons.
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
            chosen = Candidate("", math.nan, math.nan, math.nan)
            note = "every setting failed"
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
