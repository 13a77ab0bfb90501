"""What a public leaderboard would be told of a cell: its own metric, mean and population deviation over its runs.

Selection, ranks and statistics stay with the metric of the kind of labels, whose region of practical equivalence and
weighted form they need. The leaderboard's metric is computed from the same test predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from roftmol.registry import catalog
from roftmol.registry.splits import RUNS, SPLITS
from roftmol.scoring.metrics import MACRO
from roftmol.tables import schemas
from roftmol.tasks import METRICS

#: A budget of all labels, and the rule that reads no test label: other numbers are no leaderboard's.
ALL, RULE = "all", "validation"


@dataclass(frozen=True)
class Official:
    """What a leaderboard says of a dataset."""

    metric: str
    records: int  #: of its test part
    readable: int  #: those of them that are molecules here


def metrics() -> dict[str, str]:
    """Return the leaderboard's metric of every registered dataset that has one."""
    return {
        name: dataset.leaderboard_metric for name, dataset in catalog.datasets().items() if dataset.leaderboard_metric
    }


def official(metric: str, molecules: pd.DataFrame, rejects: pd.DataFrame) -> Official:
    """Return what is known of a dataset's official test part from its tables."""
    readable = int(_of_test(molecules).sum())
    dropped = rejects[_of_test(rejects) & (rejects["action"] == "dropped")]
    return Official(metric, readable + dropped["row"].nunique(), readable)


def standing(
    cell: Mapping[str, str], of_dataset: Official, scores: pd.DataFrame, selected: pd.DataFrame
) -> pd.DataFrame:
    """Make a cell's row of table "leaderboard" from its scores and the settings that its seeds selected.

    No row for a split that is no leaderboard's.
    """
    if cell["split"] not in SPLITS or not SPLITS[cell["split"]].official:
        return schemas.empty("leaderboard")
    tested = scores[
        (scores["partition"] == "test") & (scores["metric"] == of_dataset.metric) & (scores["task"] == MACRO)
    ]
    chosen = selected[["seed", "setting", "rule"]].merge(tested, on=["seed", "setting"])
    values = chosen["value"].dropna()
    molecules = int(chosen["molecules"].min()) if len(chosen) else 0
    row: dict[str, Any] = {
        **cell,
        "metric": of_dataset.metric,
        "better": METRICS[of_dataset.metric].sign,
        "seeds": len(values),
        "mean": values.mean(),
        "sd": values.std(ddof=0),
        "min": values.min(),
        "max": values.max(),
        "molecules": molecules,
        "records": of_dataset.records,
        "official": cell["budget"] == ALL
        and set(chosen["rule"]) == {RULE}
        and sorted(chosen.loc[values.index, "seed"]) == list(RUNS)
        and molecules == of_dataset.readable,
    }
    return pd.DataFrame([row])


def _of_test(table: pd.DataFrame) -> pd.Series:
    return table["group"].str.strip().str.lower() == "test"
