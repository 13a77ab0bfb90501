"""Print what fine-tuning adds, head by head, out of an experiment's tables: for the dated pages in docs/.

    PYTHONPATH=workflow python benchmarks/heads_grid.py results/heads/results/tables

Rows are the methods, columns their own head and the heads in closed form. A number is the gain of a method under a head
over the *frozen* encoder under the same head (its own: linear probing's), and then over the frozen encoder's hybrid
head: the mean over datasets and seeds of ln RMSE, as a percentage, or of ROC-AUC. In brackets is on how many of the
datasets the mean over seeds is better.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from roftmol.methods import ALL_METHODS, HYBRID, LINEAR_PROBING, METHODS, WITHOUT_ENCODER
from roftmol.methods.with_heads import refitted
from roftmol.tables import schemas
from roftmol.tasks import TASK_OF

OWN = "own"
HEADS = (OWN, *(name for name, method in METHODS.items() if method.reads_encoder))


def main(tables: Path) -> None:
    """Print two tables a model and kind of task."""
    selected = schemas.read("selected", tables / "selected.parquet")
    selected = selected[selected["rule"] == "validation"]
    for (model, metric), rows in selected[~selected["method"].isin(WITHOUT_ENCODER)].groupby(["model", "metric"]):
        references = selected[selected["method"].isin(WITHOUT_ENCODER) & selected["dataset"].isin(rows["dataset"])]
        wide = pd.concat([rows, references]).pivot(index=["dataset", "seed"], columns="method", values="test_value")
        classes = TASK_OF[metric].classes
        values = wide if classes else wide.transform("log")
        print(f"\n### {model}, {metric}: {', '.join(dict.fromkeys(rows['dataset']))}\n")
        print("Over the frozen encoder under the same head:\n")
        grid(values, classes, lambda head: LINEAR_PROBING if head == OWN else head)
        print("\nOver the frozen encoder's hybrid head:\n")
        grid(values, classes, lambda head: HYBRID)
        others = [name for name in (*WITHOUT_ENCODER, LINEAR_PROBING, *HEADS[1:]) if name in values]
        print("\nThe frozen encoder and the references, over its hybrid head:\n")
        print("| " + " | ".join(ALL_METHODS[name].title for name in others) + " |\n" + "|---" * len(others) + "|")
        print("| " + " | ".join(gain(values[name] - values[HYBRID], classes) for name in others) + " |")


def grid(values: pd.DataFrame, classes: bool, reference: Callable[[str], str]) -> None:
    """Print the gains of methods x heads over each head's reference."""
    methods = [name for name in METHODS if refitted(name, HYBRID) in values]
    print("| method | " + " | ".join(HEADS) + " |\n" + "|---" * (len(HEADS) + 1) + "|")
    for method in methods:
        names = [method if head == OWN else refitted(method, head) for head in HEADS]
        cells = [gain(values[name] - values[reference(head)], classes) for name, head in zip(names, HEADS, strict=True)]
        print(f"| {METHODS[method].title} | " + " | ".join(cells) + " |")


def gain(differences: pd.Series, classes: bool) -> str:
    """Return the mean of differences by dataset and seed, and on how many datasets the mean is better."""
    each = differences.groupby("dataset").mean()
    better = int((each > 0).sum() if classes else (each < 0).sum())
    mean = f"{each.mean():+.3f}" if classes else f"{100 * np.expm1(each.mean()):+.1f}%"
    return f"{mean} ({better} of {len(each)})".replace("-", "−")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
