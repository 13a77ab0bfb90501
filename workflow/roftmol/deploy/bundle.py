"""A fine-tuned ensemble as one file that predicts: safetensors, with a card in its metadata. See docs/bundle.md.

The file holds tensors and JSON, and no code. It does not hold the training molecules' SMILES, only their fingerprints,
which measure the similarity of a new molecule. A kernel head's also holds what it reads of them, and their labels.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rdkit
import torch

from roftmol.core import run_origin, tensor_file
from roftmol.core.errors import UserError
from roftmol.deploy import panel_bundle, uncertainty
from roftmol.deploy.applicability_domain import Domain
from roftmol.deploy.card import FORMAT, NEWEST, OLDEST, VERSION
from roftmol.deploy.ensemble import Ensemble
from roftmol.deploy.fitted_models import Bundle, PanelBundle
from roftmol.deploy.head_model import HeadModel
from roftmol.deploy.new_molecules import NewMolecules
from roftmol.deploy.stored_members import AGAIN, Encoders, bundle_of, tensors_of
from roftmol.deploy.uncertainty import OutOfSample
from roftmol.features import graphs
from roftmol.features.fingerprints import fingerprints, nearest
from roftmol.scoring import metrics
from roftmol.tasks import METRICS, TASKS
from roftmol.training.model import Model


def make(
    ensemble: Ensemble,
    predicted: OutOfSample,
    smiles: Sequence[str],
    labels: npt.NDArray[np.float32],
    about: Mapping[str, Any],
    level: float = 0.9,
) -> Bundle:
    """Make the bundle of an ensemble: calibrate its predictions, draw its domain, write its card.

    `predicted` are predictions of ensembles like it for molecules that these did not have (see `uncertainty`). `about`
    says target, task, metric, method, model and whatever else the card is to say. Raises `UserError` for a user's own
    module, whose code a bundle cannot hold.
    """
    first = ensemble.members[0]
    architecture: Mapping[str, Any] | None = None
    if isinstance(first, Model) or (isinstance(first, HeadModel) and first.reader.encoder):
        if about["architecture"]["kind"] == "own":
            raise UserError(
                f"model {about['model']}: a bundle holds no code, so it cannot hold your own module. Use the weights "
                "in results/runs, or choose a registered model."
            )
        architecture = about["architecture"]
    molecules = NewMolecules(smiles).molecules
    training = fingerprints(molecules)
    similar = [nearest([one], training[:row] + training[row + 1 :])[0] for row, one in enumerate(training)]
    task = TASKS[about["task"]]
    values = task.values(labels.astype(np.float64))
    truth = values[predicted.molecule]
    constant = np.empty(len(predicted.molecule))
    distance = np.empty(len(predicted.molecule))
    for part in np.unique(predicted.part):
        rows = np.flatnonzero(predicted.part == part)
        learnt = np.setdiff1d(np.arange(len(smiles)), predicted.molecule[rows])
        constant[rows] = np.nanmean(values[learnt])
        held_out = [training[number] for number in predicted.molecule[rows]]
        distance[rows] = 1 - nearest(held_out, [training[number] for number in learnt])
    # How far a prediction is from a value behind a limit is not known, so values alone calibrate.
    known = ~np.isnan(truth)
    certainty = uncertainty.certainty_of(task).of(predicted.of(known), truth[known], distance[known], level)
    scores = {
        name: metrics.primary(about["metric"], truth[:, None], scored[:, None])
        for name, scored in {"score": predicted.prediction, "constant": constant}.items()
    }
    always = METRICS[about["metric"]].constant
    if always is not None:
        scores["constant"] = always  # within a part; between parts the larger share of class 1 goes with the lower rate
    unsure = predicted.spread if isinstance(first, HeadModel) else None
    domain = Domain.of(molecules, np.array(similar), deviations=unsure)
    card = {
        **about,
        "architecture": architecture,
        "setting": json.loads(ensemble.setting),
        "members": len(ensemble.members),
        "molecules": len(smiles),
        "featurizer_format": graphs.FORMAT,
        "out_of_sample": {"metric": about["metric"], **scores},
        "labels": {"mean": float(np.nanmean(values)), "min": float(np.nanmin(values)), "max": float(np.nanmax(values))}
        | ({"limits": int(np.isnan(values).sum())} if task.limits else {}),
        "calibration": certainty.to_card(),
        "domain": domain.to_card(),
        "made": {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "code": run_origin.code(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "rdkit": rdkit.__version__,
        },
    }
    return Bundle(card, ensemble.members, training)


def write(bundle: Bundle, path: Path) -> None:
    """Write the bundle to one file, atomically; tensors that are equal in all members are stored once."""
    metadata = {"format": FORMAT, "version": str(VERSION), "card": json.dumps(bundle.card, sort_keys=True)}
    tensor_file.save(path, tensors_of(bundle), metadata)


def read(path: Path | str) -> Bundle | PanelBundle:
    """Read the bundle that :func:`write` or `panel_bundle.write` wrote.

    Nothing in it runs: kinds of architectures and featurizers are those of this program. Raises `UserError` if the file
    is missing, truncated, damaged, no bundle, of another version, or if its card and its tensors do not fit together.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    card, several, tensors = None, None, {}
    with tensor_file.opened(path, "the file is truncated, damaged or no bundle", AGAIN, "pt") as file:
        is_bundle = file.metadata.get("format") == FORMAT
        if is_bundle:
            _check_version(path, file.metadata.get("version", ""))
            if panel_bundle.CARDS in file.metadata:
                several = file.json(panel_bundle.CARDS), file.json(panel_bundle.SAME)
            else:
                card = file.json("card")
            tensors = file.tensors()
    if not is_bundle:
        raise UserError(f"{path}: no bundle, but another kind of safetensors file. Name a .roftmol file.")
    encoders = Encoders(sum(tensor.numel() for tensor in tensors.values()))
    if several is None:
        return bundle_of(str(path), card, tensors, encoders)
    parts = panel_bundle.taken_apart(path, *several, tensors)
    return panel_bundle.together(path, [bundle_of(*part, encoders) for part in parts])


def _check_version(path: Path, version: str) -> None:
    if not version.isdecimal() or not version.isascii() or len(version) > 9:
        raise UserError(f"{path}: the bundle is of version {version!r}, which is no number. {AGAIN}")
    if int(version) < OLDEST:
        raise UserError(
            f"{path}: the bundle is of version {version}, and this program reads {NEWEST}. Make it again, "
            "by `snakemake recommend` or an estimator's `save`."
        )
    if int(version) > NEWEST:
        raise UserError(
            f"{path}: the bundle is of version {version}, and this program reads {NEWEST}. "
            "Use a newer version of the program."
        )
