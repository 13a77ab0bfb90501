"""Test scores of methods whose effects are made up, and what the tables of the statistics say of them."""

from __future__ import annotations

import numpy as np
import pandas as pd

import made_up_tables

METHODS = ("full_ft", "l2_sp", "bss", "fingerprint")


def selected(effects: dict[str, float], datasets: int, seeds: int = 3, metric: str = "roc_auc", **cell: str):
    """Methods whose scores differ from full FT's by these, on datasets of very different difficulty."""
    rng = np.random.default_rng(datasets)
    frames = []
    for number in range(datasets):
        level, shared = (0.6 + 0.02 * number if metric == "roc_auc" else 2.0**number), rng.normal(size=seeds)
        noise = {name: 0.003 * rng.normal(size=seeds) for name in effects}
        if metric == "rmse":
            values = {name: level * np.exp(by + 0.01 * shared + noise[name]) for name, by in effects.items()}
        else:
            values = {name: level + by + 0.01 * shared + noise[name] for name, by in effects.items()}
        rows = {name: list(scores) for name, scores in values.items()}
        frames.append(made_up_tables.selected_rows(rows, dataset=f"set{number:02}", metric=metric, **cell))
    return pd.concat(frames, ignore_index=True)


def comparison(
    tables: dict[str, pd.DataFrame], method: str, reference: str = "full_ft", dataset: str = "all"
) -> pd.Series:
    """The row of table "comparisons" that compares two methods on a dataset, or over all of them."""
    table = tables["comparisons"]
    rows = table[(table["method"] == method) & (table["reference"] == reference) & (table["dataset"] == dataset)]
    assert len(rows) == 1
    return rows.iloc[0]
