"""Bundles in no time: what they predict is nothing worth, and their files are like any other's."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from roftmol.core import tensor_file
from roftmol.deploy import bundle
from roftmol.deploy.ensemble import Ensemble, EnsembleSettings, Reference
from roftmol.deploy.fitted_models import Bundle
from roftmol.deploy.head_model import Labelled, Reader
from roftmol.deploy.uncertainty import OutOfSample
from roftmol.encoders.base import Encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.features.fingerprints import morgan_counts
from roftmol.methods import METHODS
from roftmol.methods.fingerprint import GRID, learner
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

FOREST = next(setting for setting in GRID if setting.learner == "forest")

#: Changes what is said, such as a card, or returns another one.
Change = Callable[[Any], object]


def of_network() -> Bundle:
    """Two untrained networks."""
    torch.manual_seed(0)
    return of_networks([new_encoder(ARCHITECTURE) for _ in range(2)])


def of_networks(encoders: Sequence[Encoder], smiles: Sequence[str] = SMILES, **about: Any) -> Bundle:
    """A network an encoder, with a head drawn for it."""
    task = Task(about.get("task", "regression"), about.get("metric", "rmse"))
    members = [Model(copy.deepcopy(encoder), 1, task).eval() for encoder in encoders]
    return _made(members, ABOUT | about, smiles)


def of_head(method: str, encoder: Encoder | None, smiles: Sequence[str] = SMILES, **about: Any) -> Bundle:
    """A head that is fitted to the molecules' sizes; an encoder's method takes a copy of it."""
    reads, kind = METHODS[method].reads, METHODS[method].head
    reader = Reader(reads, copy.deepcopy(encoder), ABOUT["featurizer"])
    settings = EnsembleSettings(method, ({},), "regression", "rmse")
    assert kind
    source = Labelled(kind(), reader, reader.inputs(smiles), _labels(smiles), np.arange(len(smiles)))
    fitted = source.fit(np.arange(len(smiles)), settings).members
    without = {} if encoder else {"model": "none", "architecture": None}
    return _made(fitted, ABOUT | {"method": method} | without | about, smiles)


def of_forest(smiles: Sequence[str] = SMILES, **about: Any) -> Bundle:
    """Two forests on Morgan counts."""
    labels = _labels(smiles)
    forests = [learner(FOREST, "regression", 5, seed).fit(morgan_counts(smiles), labels) for seed in range(2)]
    members = [Reference.of(forest, "regression", 0.0) for forest in forests]
    return _made(members, ABOUT | {"method": "fingerprint", "model": "morgan", "architecture": None} | about, smiles)


def of_constant() -> Bundle:
    """Two numbers."""
    about = ABOUT | {"method": "constant", "model": "none", "architecture": None}
    return _made([Reference({"constant": np.array([value])}) for value in (3.0, 4.0)], about)


def _labels(smiles: Sequence[str], *, classification: bool = False) -> np.ndarray:
    return labels_of_size(classification=classification)[[SMILES.index(text) for text in smiles], 0]


def _made(members: list[Any], about: dict[str, Any], smiles: Sequence[str] = SMILES) -> Bundle:
    labels = _labels(smiles, classification=about["task"] == "classification")
    rows = np.arange(len(smiles))
    off = labels + 0.5 * (-1.0) ** rows
    prediction = 0.4 + 0.2 * labels if about["task"] == "classification" else off
    predicted = OutOfSample(rows, prediction, np.full(len(rows), 0.1), rows % 5)
    return bundle.make(Ensemble(members, "{}"), predicted, list(smiles), labels, about)


def rewrite(path: Path, change: Change, without: str = " ", key: str = "card", **tensors: torch.Tensor) -> None:
    """Change what a bundle says under a key, and its tensors, and leave some out.

    As somebody does who knows the format: with right digests.
    """
    with tensor_file.opened(path, "", "", "pt") as file:
        said = dict(file.metadata)
    card = json.loads(said[key])
    changed = change(card)
    said[key] = json.dumps(card if changed is None else changed)
    kept = {name: tensor for name, tensor in load_file(path).items() if without not in name} | tensors
    save_file(kept, path, metadata=tensor_file.with_digests(kept, said))
