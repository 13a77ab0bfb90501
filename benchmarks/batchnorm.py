"""Compare what BatchNorm's statistics may be while a model is fine-tuned, for the table of docs/methods.md.

    PYTHONPATH=workflow python benchmarks/batchnorm.py results/paper_small/results

The folder holds graphs, splits and checkpoints of an experiment with 50 labels and scaffold splits. Every variant fits
the same molecules from the same start; scores are of the test part at the epoch that validation chose.

- running: averages of training, by a tenth a step (torch's default), as the protocol `paper` has them
- fast: the same by half a step's statistics
- frozen: the pretrained encoder's throughout, in training too
- estimated: those of the training molecules under each epoch's weights, as the protocol `honest` has them
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from roftmol.encoders.base import Encoder, Norm, norms
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import graphs
from roftmol.methods import METHODS
from roftmol.methods.protocols import PROTOCOLS
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.training.cell import folds
from roftmol.training.fit import Fit, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.model import new_model

HONEST = PROTOCOLS["honest"]
#: Whether statistics are estimated, and by how much running ones move a step; None: not at all.
VARIANTS: dict[str, tuple[bool, float | None]] = {
    "running": (False, 0.1),
    "fast": (False, 0.5),
    "frozen": (False, None),
    "estimated": (True, 0.1),
}
#: Task and metric of each dataset.
TASKS = {
    "esol": Task("regression", "rmse"),
    "lipo": Task("regression", "rmse"),
    "bbbp": Task("classification", "roc_auc"),
    "bace": Task("classification", "roc_auc"),
}


class Frozen(Norm):
    """A BatchNorm that is never in training mode."""

    def train(self, _mode: bool = True) -> Frozen:
        """Stay in eval mode."""
        return super().train(False)


def variant(encoder: Encoder, momentum: float | None) -> Encoder:
    """Return a copy of the encoder whose running statistics move so, or not at all."""
    changed = copy.deepcopy(encoder)
    for layer in norms(changed):
        if momentum is None:
            layer.__class__ = Frozen
        else:
            layer.momentum = momentum
    return changed


def main(arguments: argparse.Namespace) -> None:
    """Fit everything and print a row for each model, dataset and method."""
    torch.set_num_threads(1)
    rows = []
    for model in arguments.models:
        encoder = load_encoder(arguments.results / f"checkpoints/{model}.safetensors", 0.5)
        for dataset in arguments.datasets:
            data = graphs.load(arguments.results / f"data/{dataset}/graphs/hu.safetensors")
            splits = schemas.read("splits", arguments.results / f"splits/honest/{dataset}/scaffold-50.parquet")
            task = TASKS[dataset]
            for method in arguments.methods:
                for name, (estimate, momentum) in VARIANTS.items():
                    protocol = replace(HONEST, estimate_norm=estimate)
                    for seed in range(arguments.seeds):
                        _, fold = next(folds(splits, seed))
                        start = variant(encoder, momentum)
                        settings = METHODS[method].grid(len(encoder.blocks))[0]
                        training = TrainSettings(patience=arguments.patience)
                        fit = Fit(METHODS[method], settings, data, fold, task, protocol, training, seed)
                        fitted = new_model(start, fit)
                        train(fitted, fit)
                        score = metrics.primary(task.metric, data.labels[fold.test], fitted.predict(data, fold.test))
                        rows.append((model, dataset, method, name, seed, score))
    table = pd.DataFrame(rows, columns=["model", "dataset", "method", "statistics", "seed", "score"])
    table.to_csv(arguments.out, index=False)
    cells = table.groupby(["model", "dataset", "method", "statistics"], sort=False)["score"].agg(["mean", "std"])
    print("| model | dataset | method | " + " | ".join(VARIANTS) + " |")
    print("|---" * (3 + len(VARIANTS)) + "|")
    for key in dict.fromkeys((model, dataset, method) for model, dataset, method, _ in cells.index):
        variants = [cells.loc[(*key, name)] for name in VARIANTS]
        print("| " + " | ".join([*key, *(f"{cell['mean']:.3f} ± {cell['std']:.3f}" for cell in variants)]) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--models", nargs="+", default=["gin-zinc-masking", "gin-zinc-qm9-supervised"])
    parser.add_argument("--datasets", nargs="+", choices=TASKS, default=["esol", "lipo", "bbbp"])
    parser.add_argument("--methods", nargs="+", default=["full_ft", "lp_ft"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--patience", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("batchnorm.csv"))
    main(parser.parse_args())
