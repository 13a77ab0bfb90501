"""Bundles in no time: what they predict is nothing worth, and their files are like any other's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from roftmol.core import tensor_file
from roftmol.deploy import bundle
from roftmol.deploy.ensemble import Ensemble, Reference
from roftmol.deploy.uncertainty import OutOfSample
from roftmol.encoders.kinds import new_encoder
from roftmol.training.fit import Task
from roftmol.training.model import Model
from small_dataset import SMILES, labels_of_size

ARCHITECTURE = {"kind": "gin", "layers": 2, "width": 8}
ABOUT = {
    "target": "size",
    "task": "regression",
    "metric": "rmse",
    "method": "full_ft",
    "model": "gin",
    "architecture": ARCHITECTURE,
    "featurizer": "hu",
}

#: Changes a card, or returns another one.
Change = Callable[[dict[str, Any]], object]


def of_network() -> bundle.Bundle:
    """Two untrained networks."""
    torch.manual_seed(0)
    members = [Model(new_encoder(ARCHITECTURE), 1, Task("regression", "rmse")).eval() for _ in range(2)]
    return _made(members, ABOUT)


def of_constant() -> bundle.Bundle:
    """Two numbers."""
    about = ABOUT | {"method": "constant", "model": "none", "architecture": None}
    return _made([Reference({"constant": np.array([value])}) for value in (3.0, 4.0)], about)


def _made(members: list[Any], about: dict[str, Any]) -> bundle.Bundle:
    labels = labels_of_size()[:, 0]
    rows = np.arange(len(SMILES))
    predicted = OutOfSample(rows, labels + 0.5 * (-1.0) ** rows, np.full(len(rows), 0.1), rows % 5)
    return bundle.make(Ensemble(members, "{}"), predicted, SMILES, labels, about)


def rewrite(path: Path, change: Change, without: str = " ", **tensors: torch.Tensor) -> None:
    """Change a bundle's card and tensors, and leave some out, as somebody who knows the format: with right digests."""
    with tensor_file.opened(path, "", "", "pt") as file:
        said = dict(file.metadata)
    card = json.loads(said["card"])
    changed = change(card)
    said["card"] = json.dumps(card if changed is None else changed)
    kept = {name: tensor for name, tensor in load_file(path).items() if without not in name} | tensors
    save_file(kept, path, metadata=tensor_file.with_digests(kept, said))
