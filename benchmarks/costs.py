"""Measure what fits cost, for the estimate that a dry run gives: CPU seconds of one thread a thousand molecules.

    PYTHONPATH=workflow python benchmarks/costs.py results/data/bbbp/graphs >workflow/roftmol/registry/yaml/costs.yaml

The folder holds a dataset's graphs under every featurizer. Weights are drawn at random, for they change no cost. Each
number is the median of several fits; CPU time, unlike wall time, hardly feels other work on the machine.
"""

from __future__ import annotations

import datetime
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import yaml

from roftmol.encoders.kinds import new_encoder
from roftmol.features import graphs
from roftmol.methods import METHODS
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry.catalog import checkpoints
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.model import new_model

TRAIN, VALID, EPOCHS, REPEATS = 256, 32, 2, 3
#: Epochs where the encoder is frozen, which are so cheap that the start of a fit varies by more than two of them take.
FROZEN_EPOCHS = 100
TASK = Task("classification", "roc_auc")


def main(folder: Path) -> None:
    """Print the costs of every kind of encoder whose graphs are in `folder`."""
    torch.set_num_threads(1)
    kinds = {entry.architecture["kind"]: entry for entry in checkpoints().values()}
    costs = {}
    for kind, entry in kinds.items():
        path = folder / f"{entry.featurizer}.safetensors"
        if path.is_file() and kind != "dpa":  # whose network is described by its file alone
            costs[kind] = {name: round(value, 3) for name, value in _costs(entry.architecture, path).items()}
    print(f"# {datetime.date.today()}, one core of {processor()}, torch {torch.__version__.partition('+')[0]}:")
    print("# python benchmarks/costs.py results/data/bbbp/graphs")
    print("# CPU seconds a thousand molecules: `predict` once through, under a method's name an epoch of training.")
    print(yaml.safe_dump(costs, sort_keys=False), end="")


def _costs(architecture: dict, path: Path) -> dict[str, float]:
    molecules = graphs.load(path)
    order = np.random.default_rng(0).permutation(len(molecules))
    fold = Fold(order[:TRAIN], order[TRAIN : TRAIN + VALID], order[-VALID:])
    encoder = new_encoder(architecture)
    model = new_model(encoder, Fit(METHODS["full_ft"], None, molecules, fold, TASK, PROTOCOLS["honest"]))
    many = order[:512]
    predict = _seconds(lambda: model.predict(molecules, many)) / len(many)
    costs = {"predict": 1000 * predict}
    for method in METHODS.values():
        if method.kind == "train" and not method.alternation:  # a second task has data of its own
            epoch = _epoch(encoder, method, method.grid(len(encoder.blocks))[0], molecules, fold)
            # The validation molecules of an epoch are predicted by as much of the network as trains.
            costs[method.name] = 1000 * epoch / (TRAIN + VALID * min(1.0, predict * TRAIN / epoch))
    return costs


def _epoch(encoder, method, setting, molecules, fold) -> float:  # type: ignore[no-untyped-def]
    """Measure one more epoch, with its validation, by the difference of two lengths of training."""

    def seconds(epochs: int) -> float:
        training = TrainSettings(epochs=epochs, patience=epochs)
        fit = Fit(method, setting, molecules, fold, TASK, PROTOCOLS["honest"], training)
        model = new_model(encoder, fit)
        return _seconds(lambda: train(model, fit), repeats=1)

    epochs = EPOCHS if any(method.stages(setting, encoder.parts)) else FROZEN_EPOCHS
    return statistics.median((seconds(1 + epochs) - seconds(1)) / epochs for _ in range(REPEATS))


def _seconds(function, repeats: int = REPEATS) -> float:  # type: ignore[no-untyped-def]
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def processor() -> str:
    """Return the model of this machine's processor."""
    names = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    return names[0].strip() if names else platform.processor()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
