"""The method that was recommended, fitted on all labels: from molecules and a verdict to a bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from roftmol import bundle, graphs, schemas
from roftmol.encoders.checkpoints import architecture_of, load_encoder
from roftmol.ensemble import EnsembleSettings, fit_fingerprints, fit_networks
from roftmol.files import sha256
from roftmol.fingerprints import morgan_counts
from roftmol.layout import FINGERPRINT
from roftmol.train import TrainSettings


@dataclass(frozen=True)
class RefitSettings:
    """The target, the grids by model and method, and how to fit; which of them is in the verdict."""

    target: str
    task: str
    metric: str
    grids: dict[str, dict[str, list[dict[str, Any]]]]
    featurisers: dict[str, str]
    training: dict[str, Any]
    members: int
    level: float
    seed: int = 0


def refit(settings: RefitSettings, molecules: Path, verdict: Path, checkpoints: Path, out: Path) -> None:
    """Fit the verdict's choice as an ensemble on the table `molecules` and write the bundle `out`."""
    torch.set_num_threads(1)
    table = schemas.read("molecules", molecules)
    evidence = json.loads(verdict.read_text(encoding="utf-8"))
    model, method = evidence["choice"]["model"], evidence["choice"]["method"]
    labels = np.array(table["labels"].tolist(), np.float32)
    smiles = table["smiles"].tolist()
    twins = pd.factorize(table["canonical"])[0]
    how = EnsembleSettings(
        method=method,
        grid=tuple(settings.grids[model][method]),
        task=settings.task,
        metric=settings.metric,
        training=TrainSettings(**settings.training),
        members=settings.members,
        seed=settings.seed,
    )
    about: dict[str, Any] = {
        "target": settings.target,
        "task": settings.task,
        "metric": settings.metric,
        "method": method,
        "model": model,
        "training": settings.training,
        "seed": settings.seed,
        "evidence": evidence,
        "molecules_sha256": sha256(molecules),
    }
    if method == FINGERPRINT:
        ensemble = fit_fingerprints(morgan_counts(smiles), labels[:, 0], twins, how)
    else:
        path = checkpoints / f"{model}.safetensors"
        about["architecture"] = architecture_of(path)
        encoder = load_encoder(path, how.training.dropout)
        about["featuriser"] = settings.featurisers[model]
        about["encoder_sha256"] = sha256(path)
        data = graphs.from_smiles(smiles, labels, name=settings.featurisers[model])
        ensemble = fit_networks(encoder, data, twins, how)
    bundle.write(bundle.make(ensemble, smiles, labels[:, 0], about, settings.level), out)
