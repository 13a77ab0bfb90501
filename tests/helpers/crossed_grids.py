"""Made-up scores of a grid of joint fine-tuning that crosses weightings and descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

import made_up_tables
from roftmol.methods import METHODS, setting_text
from roftmol.methods.joint_ft import Settings
from roftmol.scoring.metrics import MACRO
from roftmol.tables import schemas

WEIGHTINGS, DESCRIPTORS = ("equal", "learned"), ("none", "rdkit", "both")


def setting(weighting: str, descriptors: str) -> str:
    """The column `setting` of a point."""
    return setting_text(Settings(weighting, descriptors=descriptors))


def scores_of(
    gains: Mapping[tuple[str, str], float],
    datasets: Sequence[str],
    *,
    seeds: int = 3,
    metric: str = "roc_auc",
    weightings: Sequence[str] = WEIGHTINGS,
    descriptors: Sequence[str] = DESCRIPTORS,
    noise: float = 0.004,
) -> pd.DataFrame:
    """Rows of table "scores": by (weighting, descriptors), what a point gains in every dataset; 0 if not named."""
    random = np.random.default_rng(0)
    cell = {"protocol": "honest", "model": "gin_masking", "split": "joint", "budget": "all", "method": "joint_ft"}
    assert cell["method"] in METHODS
    rows = [
        {
            **cell,
            "dataset": dataset,
            "setting": setting(weighting, described),
            "seed": seed,
            "partition": partition,
            "metric": metric,
            "task": MACRO,
            "value": 0.7 + gains.get((weighting, described), 0.0) * (partition == "test") + random.normal(0, noise),
            "molecules": 100,
            "tasks": 1,
            "undefined": 0,
        }
        for dataset in datasets
        for seed in range(seeds)
        for weighting in weightings
        for described in descriptors
        for partition in ("valid", "test")
    ]
    return pd.DataFrame(rows)[schemas.schema("scores").names]


def selected_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Table "selected" of the same fits: of each dataset and seed the first point."""
    frames = []
    for dataset, rows in scores[scores["partition"] == "test"].groupby("dataset", sort=False):
        values = {"joint_ft": list(rows.groupby("seed")["value"].first())}
        metric = str(rows["metric"].iloc[0])
        frames.append(made_up_tables.selected_rows(values, dataset=str(dataset), metric=metric, split="joint"))
    return pd.concat(frames, ignore_index=True)
