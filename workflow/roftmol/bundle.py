"""A fine-tuned ensemble as one file that predicts: safetensors, and a card in its metadata. See docs/bundle.md.

The file holds tensors and JSON and nothing that runs. It does not hold the training molecules, but their fingerprints,
by which the similarity of a new molecule is measured.
"""

from __future__ import annotations

import json
import math
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
from rdkit import Chem, rdBase
from rdkit.DataStructs import ExplicitBitVect
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from roftmol import dependencies, graphs, metrics
from roftmol.encoders import Encoder, Own, new_encoder
from roftmol.ensemble import Ensemble, Fingerprint, predict_networks
from roftmol.errors import UserError
from roftmol.files import atomic, code_digest
from roftmol.fingerprints import morgan_counts
from roftmol.methods import METHODS
from roftmol.molecules import Reject, parse
from roftmol.similarity import BITS, RADIUS, fingerprints, nearest, pack, unpack
from roftmol.train import Model, Task

FORMAT, VERSION = "roftmol-bundle", 1
#: A new molecule is in the domain if it is as similar to its nearest training molecule as 95% of those are to theirs.
DOMAIN_QUANTILE = 0.05
EDGE = 1e-6  # probabilities stay this far from 0 and 1, so that their logits are finite

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bundle:
    """A fitted ensemble with its card: what it predicts, how well, how sure, and what it was made of."""

    card: Mapping[str, Any]
    members: Sequence[Model] | Sequence[Fingerprint]
    residuals: Array  #: sorted absolute out-of-fold residuals (regression), else empty
    training: Sequence[ExplicitBitVect]  #: the training molecules' fingerprints

    @property
    def columns(self) -> list[str]:
        """What :meth:`predict` gives, in order."""
        values = ["probability"] if self.card["task"] == "classification" else ["prediction", "low", "high"]
        return [*values, "similarity", "in_domain", "problem"]

    def predict(self, smiles: Sequence[str], processes: int = 1) -> pd.DataFrame:
        """A row a SMILES, in order; one that cannot be featurised is empty but for `problem`, the reason.

        `prediction` is the members' mean in label units with its interval `low` to `high`, `probability` that of
        class 1, calibrated; `similarity` is the Tanimoto similarity to the nearest training molecule.
        """
        found = pd.DataFrame(index=range(len(smiles)), columns=self.columns)
        found["problem"] = ""
        read = {text: parse(text) for text in dict.fromkeys(smiles)}
        bad = [isinstance(read[text], Reject) for text in smiles]
        for row in np.flatnonzero(bad).tolist():
            reason, detail, _ = read[smiles[row]]
            found.loc[row, "problem"] = f"{reason}: {detail}" if detail else reason
        good = np.flatnonzero(~np.array(bad, bool)).tolist()
        texts = list(dict.fromkeys(smiles[row] for row in good))
        if texts:
            place = {text: number for number, text in enumerate(texts)}
            known = self._predict(texts, processes).iloc[[place[smiles[row]] for row in good]]
            for column in known:
                found.loc[good, column] = known[column].to_numpy()
        numbers = [name for name in self.columns if name not in ("in_domain", "problem")]
        return found.astype({**dict.fromkeys(numbers, float), "in_domain": "boolean"})

    def _predict(self, smiles: list[str], processes: int) -> pd.DataFrame:
        outputs = self._outputs(smiles, processes)
        found, elements = _read(smiles)
        similarity = nearest(found, self.training)
        domain = self.card["domain"]
        known = set(domain["elements"])
        inside = (similarity >= domain["threshold"]) & np.array([present <= known for present in elements])
        calibration = self.card["calibration"]
        if self.card["task"] == "classification":
            logit = calibration["slope"] * logits(outputs).mean(0) + calibration["intercept"]
            values = {"probability": 1 / (1 + np.exp(-logit))}
        else:
            mean, half = outputs.mean(0), calibration["half_width"]
            values = {"prediction": mean, "low": mean - half, "high": mean + half}
        return pd.DataFrame({**values, "similarity": similarity, "in_domain": inside})

    def _outputs(self, smiles: list[str], processes: int) -> Array:
        """Members x molecules: each one's probabilities or values."""
        if isinstance(self.members[0], Fingerprint):
            X = morgan_counts(smiles)
            found = [m.predict(X, self.card["task"]) for m in self.members if isinstance(m, Fingerprint)]
        else:
            nothing = np.full((len(smiles), 1), np.nan, np.float32)
            data = graphs.from_smiles(smiles, nothing, processes, self.card["featuriser"])
            return predict_networks([m for m in self.members if isinstance(m, Model)], data).astype(np.float64)
        return np.stack(found).astype(np.float64)


def make(
    ensemble: Ensemble,
    smiles: Sequence[str],
    labels: npt.NDArray[np.float32],
    about: Mapping[str, Any],
    level: float = 0.9,
) -> Bundle:
    """Calibrate an ensemble on its out-of-fold predictions of the n training molecules, and write its card.

    `about` says target, task, metric, method, model and what else the card is to tell. Regression: the interval's half
    width is the ceil((n + 1) level)-th smallest absolute residual (cross-conformal prediction, Vovk 2015,
    doi 10.1007/s10472-013-9368-4); the mean of the members errs less than one of them, so the interval is rather too
    wide. Classification: Platt's logistic regression of the label on the logit.

    Raises `UserError` for a user's own module, whose code a bundle cannot hold.
    """
    first = ensemble.members[0]
    architecture: Mapping[str, Any] | None = None
    if isinstance(first, Model):
        if isinstance(first.encoder, Own):
            raise UserError(
                f"model {about['model']}: a bundle holds no code, so it cannot hold your own module. Use the weights "
                "in results/runs, or choose a registered model."
            )
        architecture = about["architecture"]
    training, elements = _read(smiles)
    similar = [nearest([one], training[:row] + training[row + 1 :]) for row, one in enumerate(training)]
    residuals = np.empty(0)
    if about["task"] == "classification":
        platt = LogisticRegression(C=1.0).fit(logits(ensemble.out_of_fold)[:, None], labels.astype(int))
        calibration = {"kind": "Platt", "slope": float(platt.coef_[0, 0]), "intercept": float(platt.intercept_[0])}
    else:
        residuals = np.sort(np.abs(labels - ensemble.out_of_fold).astype(np.float64))
        rank = math.ceil((len(residuals) + 1) * level)
        calibration = {
            "kind": "cross-conformal",
            "level": level,
            "half_width": float(residuals[min(rank, len(residuals)) - 1]),
            "note": "" if rank <= len(residuals) else f"{len(residuals)} molecules are too few for this level",
        }
    modules = ["roftmol.bundle", f"roftmol.methods.{about['method']}"]
    card = {
        **about,
        "architecture": architecture,
        "setting": json.loads(ensemble.setting),
        "members": len(ensemble.members),
        "molecules": len(smiles),
        "featuriser_format": graphs.FORMAT,
        "out_of_fold": {"metric": about["metric"], "score": ensemble.score},
        "labels": {"mean": float(labels.mean()), "min": float(labels.min()), "max": float(labels.max())},
        "calibration": {**calibration, "molecules": len(smiles)},
        "domain": {
            "threshold": float(np.quantile(similar, DOMAIN_QUANTILE)),
            "elements": sorted(set().union(*elements)),
            "fingerprint": f"Morgan, radius {RADIUS}, {BITS} bits",
        },
        "made": {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "code": code_digest(dependencies.sources(modules)),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "rdkit": rdkit.__version__,
        },
    }
    return Bundle(card, ensemble.members, residuals, training)


def write(bundle: Bundle, path: Path) -> None:
    """Write the bundle to one file, atomically. What is the same in all members is stored once."""
    states = [_tensors(member) for member in bundle.members]
    shared = {
        name
        for name, tensor in states[0].items()
        if all(tensor.equal(state[name]) if tensor.shape == state[name].shape else False for state in states[1:])
    }
    tensors = {f"shared.{name}": states[0][name] for name in shared}
    for number, state in enumerate(states):
        tensors |= {f"member.{number}.{name}": tensor for name, tensor in state.items() if name not in shared}
    tensors["residuals"] = torch.from_numpy(bundle.residuals)
    tensors["training_bits"] = torch.from_numpy(pack(bundle.training))
    card = json.dumps(bundle.card, sort_keys=True)
    with atomic(path) as temporary:
        metadata = {"format": FORMAT, "version": str(VERSION), "card": card}
        save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, temporary, metadata=metadata)


def read(path: Path) -> Bundle:
    """The bundle that :func:`write` wrote.

    Raises `UserError` if the file is missing, truncated, no bundle, or of a later version.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path}: the file is truncated or no bundle ({error}). Copy it again, or make it again by "
            "`snakemake recommend`."
        ) from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path}: no bundle, but another kind of safetensors file. Name a .roftmol file.")
    if int(metadata["version"]) > VERSION:
        raise UserError(
            f"{path}: the bundle is of version {metadata['version']}, and this program reads up to {VERSION}. "
            "Use a newer version of the program."
        )
    card = json.loads(metadata["card"])
    if card["featuriser_format"] != graphs.FORMAT:
        raise UserError(
            f"{path}: it was made for molecules as {card['featuriser_format']}, and this program makes "
            f"{graphs.FORMAT}. Make the bundle again."
        )
    states = []
    for number in range(card["members"]):
        own = f"member.{number}."
        states.append(
            {
                name.removeprefix("shared.").removeprefix(own): tensor
                for name, tensor in tensors.items()
                if name.startswith(("shared.", own))
            }
        )
    # Members that all kept the pretrained encoder share one, which then runs once.
    together = None
    if card["architecture"] and not any(name.startswith("member.0.encoder.") for name in tensors):
        together = new_encoder(card["architecture"])
    members = [_member(card, state, together) for state in states]
    return Bundle(card, members, tensors["residuals"].numpy(), unpack(tensors["training_bits"].numpy()))  # type: ignore[arg-type]


def _tensors(member: Model | Fingerprint) -> dict[str, Tensor]:
    if isinstance(member, Fingerprint):
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in member.arrays.items()}
    return dict(member.state_dict())


def _member(card: Mapping[str, Any], state: Mapping[str, Tensor], encoder: Encoder | None) -> Model | Fingerprint:
    if card["architecture"] is None:
        return Fingerprint({name: tensor.numpy() for name, tensor in state.items()})
    model = Model(encoder or new_encoder(card["architecture"]), 1, Task(card["task"], metrics.PRIMARY[card["task"]]))
    model.load_state_dict(dict(state))
    return model.eval()


def logits(probabilities: npt.NDArray[Any]) -> Array:
    """log p / (1 - p), finite at the ends."""
    p = np.clip(np.asarray(probabilities, np.float64), EDGE, 1 - EDGE)
    return np.log(p / (1 - p))


def _read(smiles: Sequence[str]) -> tuple[list[ExplicitBitVect], list[set[int]]]:
    """The fingerprint of each molecule and the atomic numbers in it."""
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(text) for text in smiles]
    return fingerprints(molecules), [{atom.GetAtomicNum() for atom in molecule.GetAtoms()} for molecule in molecules]


def describe(card: Mapping[str, Any]) -> str:
    """The card as lines of text."""
    title = METHODS[card["method"]].title
    domain, made, calibration = card["domain"], card["made"], card["calibration"]
    network = "Morgan counts, no network" if card["architecture"] is None else card["model"]
    if card["task"] == "classification":
        sure = f"probabilities calibrated by Platt's method on {calibration['molecules']} out-of-fold predictions"
    else:
        sure = f"{calibration['level']:.0%} interval: prediction ± {calibration['half_width']:.3g}"
        sure += f" ({calibration['note']})" if calibration["note"] else ""
    lines = {
        "predicts": f"{card['target']} ({card['task']})",
        "method": f"{title} of {network}, setting {json.dumps(card['setting'])}",
        "members": f"{card['members']}, each stopped on another part of {card['molecules']} labelled molecules",
        "labels": f"{card['labels']['min']:g} to {card['labels']['max']:g}, mean {card['labels']['mean']:.4g}",
        "out of fold": f"{card['metric']} {card['out_of_fold']['score']:.4g} (single members)",
        "certainty": sure,
        "domain": f"similarity of at least {domain['threshold']:.2f} to a training molecule ({domain['fingerprint']}); "
        f"elements {', '.join(Chem.GetPeriodicTable().GetElementSymbol(z) for z in domain['elements'])}",
        "made": f"{made['date']}, code {made['code']}, torch {made['torch']}, RDKit {made['rdkit']}, "
        f"Python {made['python']}",
    }
    evidence = card.get("evidence") or {}
    if evidence.get("sentences"):
        lines["verdict"] = " ".join(evidence["sentences"])
    width = max(map(len, lines))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines.items())
