"""A fine-tuned ensemble as one file that predicts: safetensors, with a card in its metadata. See docs/bundle.md.

The file holds tensors and JSON, and no code. It does not hold the training molecules' SMILES, only their fingerprints,
which measure the similarity of a new molecule. A kernel head's also holds what it reads of them, and their labels.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import rdkit
import torch
from rdkit.DataStructs import ExplicitBitVect
from torch import Tensor

from roftmol.core import run_origin, tensor_file
from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json
from roftmol.deploy import card as cards
from roftmol.deploy import panel_bundle, uncertainty
from roftmol.deploy.applicability_domain import Domain, symbols
from roftmol.deploy.card import FORMAT, MEMBERS, NEWEST, OLDEST, VERSION
from roftmol.deploy.ensemble import Ensemble, Outputs, Reference, predict_networks
from roftmol.deploy.given_smiles import Smiles
from roftmol.deploy.head_model import HeadModel
from roftmol.deploy.new_molecules import GivenRows, NewMolecules
from roftmol.deploy.panel_bundle import PanelBundle
from roftmol.deploy.uncertainty import Certainty, OutOfSample
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import check_size
from roftmol.encoders.kinds import new_encoder
from roftmol.features import graphs
from roftmol.features.fingerprints import BITS, fingerprints, nearest, pack, unpack
from roftmol.methods import CONSTANT, METHODS, WITHOUT_ENCODER
from roftmol.scoring import metrics
from roftmol.tasks import METRICS, TASKS
from roftmol.training.fit import Task
from roftmol.training.model import Model

#: What helps where a file cannot be read.
AGAIN = "Copy it again, or make it again by `snakemake recommend`."
#: A molecule that every bundle can predict, so that tensors that do not fit together are found when the file is read.
PROBE = "CCO"

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A fitted ensemble with its card: what it predicts, how well, how sure, and what it was made of."""

    card: Mapping[str, Any]
    members: Sequence[Model] | Sequence[Reference] | Sequence[HeadModel]
    training: Sequence[ExplicitBitVect]  #: the training molecules' fingerprints

    @property
    def columns(self) -> list[str]:
        """The columns that :meth:`predict` returns, in order."""
        return [*self.certainty.columns, "similarity", "in_domain", "problem"]

    def describe(self) -> str:
        """Return the card in lines of text: what is predicted, how well and how sure, and what it was made of."""
        return describe(self.card)

    def full_name(self, column: str) -> str:
        """Return a column's name with the class that a probability is of, where classes have names."""
        if column == "probability" and "classes" in self.card:
            return f"probability_{self.card['classes'][1]}"
        return column

    @property
    def certainty(self) -> Certainty:
        """The calibration that makes columns of the members' outputs."""
        return uncertainty.from_card(self.card["calibration"])

    def __repr__(self) -> str:
        card = self.card
        title = METHODS[card["method"]].title
        reader = "" if card["method"] in WITHOUT_ENCODER else f" of {card['model']}"
        scored = card["out_of_sample"]
        score = f"{METRICS[scored['metric']].title} {scored['score']:.3g} out of sample"
        return f"<Bundle: {title}{reader}, predicts {card['target']} from {card['molecules']:,} molecules, {score}>"

    def predict(self, smiles: Smiles, processes: int = 1) -> pd.DataFrame:
        """Predict a row a SMILES, in order; the row of one that cannot be featurized is empty except for `problem`.

        A series' or frame's index stays. Of a frame's columns, the one of SMILES is found as in a file. Raises
        `ValueError` for what is no column of texts, such as one SMILES alone; a missing text is an empty row.

        `prediction` is the members' mean or a head's prediction, in label units, `low` to `high` its interval,
        `probability` the calibrated probability of class 1 (the second of the card's `classes`), `similarity` the
        Tanimoto similarity to the nearest training molecule. `problem` is the reason why a SMILES cannot be featurized
        or why a molecule is outside the domain.
        """
        rows = GivenRows.of(smiles)
        return rows.table(self.judged(NewMolecules(rows.smiles, processes)))

    def judged(self, molecules: NewMolecules, outputs: Outputs | None = None) -> pd.DataFrame:
        """Return the columns of molecules that can be read; `outputs` are the members', where these are known."""
        if not molecules.smiles:
            return pd.DataFrame(columns=self.columns)
        outputs = outputs or self.outputs(molecules)
        similarity = nearest(molecules.fingerprints, self.training)
        domain = Domain.from_card(self.card["domain"])
        each = zip(molecules.molecules, similarity.tolist(), outputs.spread.tolist(), strict=True)
        outside = [domain.outside(*one) for one in each]  # of an ensemble's spread the domain asks nothing
        values = self.certainty.values(*outputs, 1 - similarity)
        problem = [f"outside the domain: {reason}" if reason else "" for reason in outside]
        inside = [not reason for reason in outside]
        return pd.DataFrame({**values, "similarity": similarity, "in_domain": inside, "problem": problem})

    def outputs(self, molecules: NewMolecules) -> Outputs:
        """Return the members' mean and spread, or what a head says of itself."""
        if isinstance(self.members[0], HeadModel):
            return self.members[0].predict(molecules)
        if isinstance(self.members[0], Reference):
            references = [member for member in self.members if isinstance(member, Reference)]
            return Outputs.of_members(
                np.stack([one.predict(molecules.counts, self.card["task"]) for one in references])
            )
        return Outputs.of_members(predict_networks(self.networks, molecules.graphs(self.card["featurizer"])))

    @property
    def networks(self) -> list[Model]:
        """The members that are networks: all or none."""
        return [member for member in self.members if isinstance(member, Model)]

    def tensors(self) -> dict[str, Tensor]:
        """Return all that a file holds of it beside the card; what is equal in all members is there once."""
        states = [_tensors(member) for member in self.members]

        def equal(tensor: Tensor, other: Tensor) -> bool:
            return tensor.shape == other.shape and tensor.equal(other)

        shared = [name for name, one in states[0].items() if all(equal(one, state[name]) for state in states[1:])]
        tensors = {f"shared.{name}": states[0][name] for name in shared}
        for number, state in enumerate(states):
            tensors |= {f"member.{number}.{name}": tensor for name, tensor in state.items() if name not in shared}
        return tensors | {"training_bits": torch.from_numpy(pack(self.training))}


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
    tensor_file.save(path, {name: one.contiguous().clone() for name, one in bundle.tensors().items()}, metadata)


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
        return _of_one(str(path), card, tensors, encoders)
    parts = panel_bundle.taken_apart(path, *several, tensors)
    return panel_bundle.together(path, [_of_one(*part, encoders) for part in parts])


def _of_one(where: str, card: Any, tensors: dict[str, Tensor], encoders: Encoders) -> Bundle:
    """Return the bundle of one card and its tensors, checked; `where` they were read begins what is told."""
    card = cards.check(card, where)
    if card["featurizer_format"] != graphs.FORMAT:
        raise UserError(
            f"{where}: it was made for molecules as {card['featurizer_format']}, and this program makes "
            f"{graphs.FORMAT}. Make the bundle again."
        )
    try:
        return _of_tensors(where, card, tensors, encoders)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        # A card that passes its checks may still be of other tensors.
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(f"{where}: its card and its tensors do not fit together ({reason}). {AGAIN}") from error


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


class Encoders:
    """The encoders of a file: where all tensors are the same ones, it is one encoder, which then runs once."""

    def __init__(self, stored: int):
        """Take how many numbers the file holds."""
        self._read: dict[Any, Encoder] = {}
        # A file can say of many encoders that they are the same tensors but for one.
        self._left = MEMBERS * stored

    def of(self, architecture: Mapping[str, Any], state: Mapping[str, Tensor]) -> Encoder:
        """Return the encoder of a member; raise `ValueError` where a file would become far more than it holds."""
        tensors = {name.removeprefix("encoder."): one for name, one in state.items() if name.startswith("encoder.")}
        key = (canonical_json(dict(architecture)), *sorted((name, id(one)) for name, one in tensors.items()))
        if key not in self._read:
            self._left -= sum(one.numel() for one in tensors.values())
            if self._left < 0:
                raise ValueError(f"its encoders are more than {MEMBERS} times what the file holds")
            encoder = new_encoder(architecture)
            encoder.load_state_dict(tensors)
            self._read[key] = encoder.eval()
        return self._read[key]


def _of_tensors(where: str, card: Mapping[str, Any], tensors: dict[str, Tensor], encoders: Encoders) -> Bundle:
    """Return the bundle of a card and tensors; raise whatever they make it raise where they do not fit together."""
    # Of what a head reads, some is undefined.
    of_head = "head." if METHODS[card["method"]].head else " "
    for name, tensor in tensors.items():
        if of_head not in name and tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ValueError(f"{name} is not finite")
    bits = tensors.pop("training_bits")
    if bits.dtype != torch.uint8 or bits.shape[1:] != (BITS // 8,) or not len(bits):
        raise ValueError(f"training_bits is {bits.dtype} {tuple(bits.shape)}")
    states: list[dict[str, Tensor]] = [{} for _ in range(card["members"])]
    for name, tensor in tensors.items():
        if name.startswith("shared."):
            owners, inner = states, name.removeprefix("shared.")
        else:
            _, number, inner = name.split(".", 2)
            owners = [states[int(number)]]
        for state in owners:
            state[inner] = tensor
    if card["architecture"]:
        check_size(where, card["architecture"], states[-1])
    members = [_member(card, state, encoders) for state in states]
    read = Bundle(card, members, unpack(bits.numpy()))  # type: ignore[arg-type]
    if not np.isfinite(read.predict([PROBE])[read.columns[0]].to_numpy()).all():
        raise ValueError(f"what it predicts for {PROBE} is no number")
    return read


def _tensors(member: Model | Reference | HeadModel) -> dict[str, Tensor]:
    if isinstance(member, HeadModel):
        return member.tensors()
    if isinstance(member, Reference):
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in member.arrays.items()}
    return dict(member.state_dict())


def _member(card: Mapping[str, Any], state: Mapping[str, Tensor], encoders: Encoders) -> Model | Reference | HeadModel:
    encoder = encoders.of(card["architecture"], state) if card["architecture"] else None
    if METHODS[card["method"]].head:
        return HeadModel.of(card, state, encoder)
    if encoder is None:
        return Reference({name: tensor.numpy() for name, tensor in state.items()})
    task = Task(card["task"], TASKS[card["task"]].primary.name)
    model = Model(encoder, 1, task)
    model.load_state_dict(dict(state))
    return model.eval()


def _classes(card: Mapping[str, Any]) -> str:
    """Say of which class the probability is."""
    if not TASKS[card["task"]].classes:
        return ""
    other, one = card.get("classes", ("0", "1"))
    return f": the probability of class {one}; the other class is {other}"


def describe(card: Mapping[str, Any]) -> str:
    """Return the card in lines of text."""
    title = METHODS[card["method"]].title
    made, scores = card["made"], card["out_of_sample"]
    domain = Domain.from_card(card["domain"])
    method = f"{title}, no network" if card["architecture"] is None else f"{title} of {card['model']}"
    reference = f"the constant {scores['constant']:.4g}"
    count = card["labels"].get("limits", 0)
    limits = f"; {count} limits beside them, which calibrate nothing" if count else ""
    ranges = (f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in domain.ranges.items())
    lines = {
        "predicts": f"{card['target']} ({card['task']})" + _classes(card),
        "method": f"{method}, hyperparameters {json.dumps(card['setting'])}",
        "members": (
            f"one, fitted on all {card['molecules']} labelled molecules"
            if METHODS[card["method"]].head
            else f"{card['members']}, each stopped on another part of {card['molecules']} labelled molecules"
        ),
        "labels": f"{card['labels']['min']:g} to {card['labels']['max']:g}, mean {card['labels']['mean']:.4g}" + limits,
        "out of sample": f"{scores['metric']} {scores['score']:.4g}, {reference}",
        "certainty": uncertainty.from_card(card["calibration"]).words(),
        "domain": f"similarity of at least {domain.threshold:.2f} to a training molecule; elements "
        f"{symbols(domain.elements)}; {', '.join(ranges)}",
        "made": f"{made['date']}, by {made['code']}, torch {made['torch']}, RDKit {made['rdkit']}, "
        f"Python {made['python']}",
    }
    if card["method"] == CONSTANT:
        lines["predicts"] += "; it is the same for every molecule, as nothing was better than that beyond doubt"
    evidence = card.get("evidence") or {}
    if evidence.get("sentences"):
        lines["verdict"] = " ".join(evidence["sentences"])
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())
