"""Two epochs of full FT with all labels, then the process's largest memory in MB; `bench.py` starts it anew each time.

    PYTHONPATH=workflow python benchmarks/memory.py ours results esol

Each implementation imports what it needs and nothing of the other.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

EPOCHS = 2
CHECKPOINT = "checkpoints/gin-zinc-masking.safetensors"
GRAPHS, MOLECULES = "data/{}/graphs/hu.safetensors", "data/{}/molecules.parquet"
SPLIT = "splits/honest/{}/scaffold-{}.parquet"


def ours(results: Path, dataset: str) -> None:
    """Fit by the engine, from the arrays of the stage `featurize`."""
    import torch

    from roftmol.encoders.checkpoints import load_encoder
    from roftmol.features import graphs
    from roftmol.methods import METHODS
    from roftmol.methods.protocols import PROTOCOLS
    from roftmol.registry.catalog import datasets
    from roftmol.tables import schemas
    from roftmol.training.cell import folds
    from roftmol.training.fit import Fit, Task, TrainSettings
    from roftmol.training.loop import train
    from roftmol.training.model import new_model

    torch.set_num_threads(1)
    entry = datasets()[dataset]
    protocol = PROTOCOLS["honest"]
    method = METHODS["full_ft"]
    task = Task(entry.task, entry.metric)
    molecules = graphs.load(results / GRAPHS.format(dataset))
    assigned = schemas.read("splits", results / SPLIT.format(dataset, "all"))
    seed = int(assigned["seed"].min())
    _, fold = next(folds(assigned, seed))
    training = TrainSettings(epochs=EPOCHS)
    encoder = load_encoder(results / CHECKPOINT, training.dropout)
    fit = Fit(method, method.grid(5)[0], molecules, fold, task, protocol, training, seed)
    train(new_model(encoder, fit), fit)


def plain(results: Path, dataset: str) -> None:
    """Fit by plain PyTorch Geometric, from SMILES."""
    import numpy as np
    import pandas as pd
    import torch
    from safetensors.torch import load_file

    import plain

    torch.set_num_threads(1)
    molecules = pd.read_parquet(results / MOLECULES.format(dataset))
    data = plain.featurize_all(molecules["smiles"], molecules["labels"])
    assigned = pd.read_parquet(results / SPLIT.format(dataset, "all"))
    fold = assigned[(assigned["seed"] == assigned["seed"].min()) & (assigned["fold"] == 0)]
    sets = ([data[m] for m in fold.loc[fold["role"] == role, "molecule"]] for role in ("train", "valid", "test"))
    labels = np.concatenate([item.y.numpy() for item in data])
    kind = "classification" if np.isin(labels[~np.isnan(labels)], (0, 1)).all() else "regression"
    model = plain.GraphPredictor(plain.load(load_file(results / CHECKPOINT)), labels.shape[1])
    plain.fit(model, plain.FULL_FT, plain.loaders(*sets), kind, EPOCHS)


def peak() -> float:
    """Return the largest resident size so far, in MB (10^6 bytes).

    It is read from /proc, because `ru_maxrss` of a new process begins at that of the process which started it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "Sparse ", UserWarning)
    {"ours": ours, "plain": plain}[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
    print(peak())
