"""The method that was recommended, fitted on all labels: from molecules and a verdict to a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from roftmol import bundle, graphs, schemas
from roftmol.bundle import Bundle
from roftmol.encoders.checkpoints import architecture_of, load_encoder
from roftmol.ensemble import EnsembleSettings, fit_fingerprints, fit_networks
from roftmol.files import sha256
from roftmol.fingerprints import morgan_counts
from roftmol.layout import FINGERPRINT, FINGERPRINT_MODEL
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


@dataclass(frozen=True)
class Pretrained:
    """An encoder: its name, its weights as the stage `fetch-checkpoint` leaves them, and the featuriser it reads."""

    name: str
    weights: Path
    featuriser: str


def refit(settings: RefitSettings, molecules: Path, verdict: Path, checkpoints: Path, out: Path) -> None:
    """Fit the verdict's choice as an ensemble on the table `molecules` and write the bundle `out`."""
    torch.set_num_threads(1)
    table = schemas.read("molecules", molecules)
    evidence = json.loads(verdict.read_text(encoding="utf-8"))
    model, method = evidence["choice"]["model"], evidence["choice"]["method"]
    how = EnsembleSettings(
        method=method,
        grid=tuple(settings.grids[model][method]),
        task=settings.task,
        metric=settings.metric,
        training=TrainSettings(**settings.training),
        members=settings.members,
        seed=settings.seed,
    )
    pretrained = None
    if method != FINGERPRINT:
        pretrained = Pretrained(model, checkpoints / f"{model}.safetensors", settings.featurisers[model])
    about = {"target": settings.target, "evidence": evidence, "molecules_sha256": sha256(molecules)}
    labels = np.array(table["labels"].tolist(), np.float32)[:, 0]
    made = fit_bundle(table["smiles"].tolist(), table["canonical"], labels, how, pretrained, about, settings.level)
    bundle.write(made, out)


def fit_bundle(
    smiles: list[str],
    canonical: Iterable[str],
    labels: npt.NDArray[np.float32],
    settings: EnsembleSettings,
    pretrained: Pretrained | None,
    about: Mapping[str, Any],
    level: float,
) -> Bundle:
    """A bundle fitted on n molecules; `pretrained` is None for the fingerprint baseline, `about` more for the card."""
    twins = pd.factorize(pd.Series(list(canonical)))[0]
    known = {
        **about,
        "task": settings.task,
        "metric": settings.metric,
        "method": settings.method,
        "training": asdict(settings.training),
        "seed": settings.seed,
    }
    if pretrained is None:
        ensemble = fit_fingerprints(morgan_counts(smiles), labels, twins, settings)
        return bundle.make(ensemble, smiles, labels, {**known, "model": FINGERPRINT_MODEL}, level)
    encoder = load_encoder(pretrained.weights, settings.training.dropout)
    data = graphs.from_smiles(smiles, labels[:, None], name=pretrained.featuriser)
    known |= {
        "model": pretrained.name,
        "architecture": architecture_of(pretrained.weights),
        "featuriser": pretrained.featuriser,
        "encoder_sha256": sha256(pretrained.weights),
    }
    return bundle.make(fit_networks(encoder, data, twins, settings), smiles, labels, known, level)
