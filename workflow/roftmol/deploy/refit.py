"""Fit the recommended method on all labels: from molecules and a verdict to a bundle."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.data import parents
from roftmol.deploy import bundle
from roftmol.deploy.ensemble import Ended, EnsembleSettings, Networks, References, Source, out_of_sample, silent
from roftmol.deploy.fitted_models import Bundle
from roftmol.deploy.head_model import Labelled, Reader
from roftmol.deploy.joint_networks import JointNetworks
from roftmol.deploy.pretrained import Pretrained
from roftmol.deploy.uncertainty import OutOfSample
from roftmol.encoders.checkpoints import architecture_of, load_encoder
from roftmol.features import featurize
from roftmol.features.fingerprints import morgan_counts
from roftmol.methods import METHODS, WITHOUT_ENCODER, model_of
from roftmol.tables import schemas
from roftmol.training.fit import Task, TrainSettings


@dataclass(frozen=True)
class Learnt:
    """A dataset of a panel that a joint method learns: its name, and what its labels are."""

    dataset: str
    task: str
    metric: str


@dataclass(frozen=True)
class RefitSettings:
    """The target, the grids by model and method, and how to fit; the verdict says which model and method."""

    target: str
    task: str
    metric: str
    grids: dict[str, dict[str, list[dict[str, Any]]]]
    featurizers: dict[str, str]
    training: dict[str, Any]
    members: int
    level: float
    seed: int = 0
    classes: tuple[str, ...] = ()  #: what 0 and 1 are called, where they are called something else
    dataset: str = ""  #: of one of several targets, its name among the panel's
    panel: tuple[Learnt, ...] = ()  #: of several targets, all


def refit(
    settings: RefitSettings,
    molecules: Path,
    tables: Path,
    verdict: Path,
    checkpoints: Path,
    out: Path,
    data: Path | None = None,
) -> None:
    """Fit the verdict's choice as an ensemble on the table `molecules` and write the bundle `out`.

    It is calibrated by what ensembles like it predicted for the test parts, in the aggregated `tables`. A joint method
    learns all datasets of the panel, which lie in `data`.
    """
    torch.set_num_threads(1)
    table = schemas.read("molecules", molecules)
    evidence = json.loads(verdict.read_text(encoding="utf-8"))
    model, method = evidence["choice"]["model"], evidence["choice"]["method"]
    ensemble_settings = EnsembleSettings(
        method=method,
        grid=tuple(settings.grids[model][method]),
        task=settings.task,
        metric=settings.metric,
        training=TrainSettings(**settings.training),
        members=settings.members,
        seed=settings.seed,
    )
    pretrained = None
    if method not in WITHOUT_ENCODER:
        pretrained = Pretrained(model, checkpoints / f"{model}.safetensors", settings.featurizers[model])
    named = {"classes": list(settings.classes)} if settings.classes else {}
    about = {"target": settings.target, **named, "evidence": evidence, "molecules_sha256": sha256(molecules)}
    labels = np.array(table["labels"].tolist(), np.float32)[:, 0]
    # Tables hold no spread of a head, which has no members; fitting it five times more costs nothing.
    predicted = None if METHODS[method].head else tested(tables, model, method, table["molecule"].to_numpy(np.int64))
    source = None
    if METHODS[method].joint:
        assert pretrained
        assert data
        encoder = load_encoder(pretrained.weights, ensemble_settings.training.dropout)
        panel = {
            one.dataset: schemas.read("molecules", data / one.dataset / "molecules.parquet") for one in settings.panel
        }
        tasks = {one.dataset: Task(one.task, one.metric) for one in settings.panel}
        source = JointNetworks.of(encoder, pretrained.featurizer, panel, tasks, settings.dataset)
    fitted = fit_bundle(
        table["smiles"].tolist(),
        parents.groups(table).tolist(),
        labels,
        ensemble_settings,
        pretrained,
        about,
        settings.level,
        predicted,
        source=source,
    )
    bundle.write(fitted, out)


def tested(tables: Path, model: str, method: str, molecules: npt.NDArray[np.int64]) -> OutOfSample:
    """Read what a candidate's ensembles predicted for the test part of each resample.

    Its molecules are numbered by their position in `molecules`.
    """
    rows = schemas.read("predictions", tables / "predictions.parquet")
    rows = rows[(rows["partition"] == "test") & (rows["model"] == model) & (rows["method"] == method)]
    position = pd.Series(np.arange(len(molecules)), index=molecules)
    values = {
        # One model has no spread.
        name: rows[name].map(lambda values: 0.0 if values is None else float(values[0])).to_numpy(np.float64)
        for name in ("prediction", "spread")
    }
    return OutOfSample(position[rows["molecule"]].to_numpy(np.int64), **values, part=rows["seed"].to_numpy(np.int64))


def fit_bundle(
    smiles: list[str],
    substances: Iterable[Hashable],
    labels: npt.NDArray[np.float32],
    settings: EnsembleSettings,
    pretrained: Pretrained | None,
    about: Mapping[str, Any],
    level: float,
    predicted: OutOfSample | None = None,
    ended: Ended = silent,
    source: Source | None = None,
) -> Bundle:
    """Fit a bundle on n molecules; `pretrained` is None for references, `about` is put on the card too.

    Molecules that are equal in `substances` stay in one part of whatever is dealt.
    `predicted` are the predictions of ensembles that did not have the molecule; they calibrate the bundle. Without
    them, such ensembles are fitted here, as many as a cross-validation has parts. `ended` is called when a fit ends.
    `source` is what is learnt from, where that is more than these molecules.
    """
    structures = pd.factorize(pd.Series(list(substances)))[0]
    card = {
        **about,
        "task": settings.task,
        "metric": settings.metric,
        "method": settings.method,
        "training": asdict(settings.training),
        "seed": settings.seed,
    }
    if pretrained is None:
        card |= {"model": model_of(settings.method, "")}
    else:
        card |= {
            "model": pretrained.name,
            "architecture": architecture_of(pretrained.weights),
            "featurizer": pretrained.featurizer,
            "encoder_sha256": sha256(pretrained.weights),
        }
    source = source or _source(smiles, structures, labels, settings, pretrained)
    predicted = predicted or out_of_sample(source, settings, ended)
    ensemble = source.fit(np.arange(len(smiles)), settings, ended)
    return bundle.make(ensemble, predicted, smiles, labels, card, level)


def _source(
    smiles: list[str],
    structures: npt.NDArray[np.integer],
    labels: npt.NDArray[np.float32],
    settings: EnsembleSettings,
    pretrained: Pretrained | None,
) -> Source:
    """Return what an ensemble is fitted from where no panel comes with it: n molecules, their labels and structures."""
    method = METHODS[settings.method]
    encoder = load_encoder(pretrained.weights, settings.training.dropout) if pretrained else None
    if method.head:
        if any(method.reads_with(method.parse(point)) != method.reads for point in settings.grid):
            raise UserError(
                f"{method.name}: a model to use reads RDKit's descriptors, which it computes by itself; leave the "
                "setting `descriptors` out."
            )
        reader = Reader(method.reads, encoder, pretrained.featurizer if pretrained else "")
        inputs = replace(reader.inputs(smiles), substances=structures)
        return Labelled(method.head(), reader, inputs, labels, structures)
    if pretrained and encoder:
        graphs = featurize.from_smiles(smiles, labels[:, None], name=pretrained.featurizer)
        return Networks(encoder, graphs, structures)
    return References(morgan_counts(smiles), labels, structures)
