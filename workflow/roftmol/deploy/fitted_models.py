"""Fitted models that predict molecules: one of one target, or of several targets together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rdkit.DataStructs import ExplicitBitVect

from roftmol.core.files import canonical_json
from roftmol.deploy import uncertainty
from roftmol.deploy.applicability_domain import Domain, symbols
from roftmol.deploy.ensemble import Outputs, Reference, predict_networks
from roftmol.deploy.given_smiles import Smiles
from roftmol.deploy.head_model import HeadModel
from roftmol.deploy.new_molecules import GivenRows, NewMolecules
from roftmol.deploy.uncertainty import Certainty
from roftmol.features.fingerprints import nearest
from roftmol.methods import CONSTANT, METHODS, WITHOUT_ENCODER
from roftmol.tables.predicted_columns import OF_MOLECULE, named
from roftmol.tasks import METRICS, TASKS
from roftmol.training.model import Model


@dataclass(frozen=True, eq=False)
class Bundle:
    """A fitted ensemble with its card: what it predicts, how well, how sure, and what it was made of."""

    card: Mapping[str, Any]
    members: Sequence[Model] | Sequence[Reference] | Sequence[HeadModel]
    training: Sequence[ExplicitBitVect]  #: the training molecules' fingerprints

    @property
    def columns(self) -> list[str]:
        """The columns that :meth:`predict` returns, in order."""
        return [*self.certainty.columns, *OF_MOLECULE]

    def table_names(self, prefix: str = "") -> dict[str, str]:
        """Return what `roftmol predict` calls each of the columns: what is predicted carries the target's name."""
        target = f"{prefix}{self.card['target']}_"
        return {
            column: (target if column in self.certainty.columns else prefix) + self.full_name(column)
            for column in self.columns
        }

    def full_name(self, column: str) -> str:
        """Return a column's name with the class that a probability is of, where classes have names."""
        return named(column, self.card.get("classes"))

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
        return rows.table(self._judged(NewMolecules(rows.smiles, processes)))

    def describe(self) -> str:
        """Return the card in lines of text: what is predicted, how well and how sure, and what it was made of."""
        card = self.card
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
            "labels": f"{card['labels']['min']:g} to {card['labels']['max']:g}, mean {card['labels']['mean']:.4g}"
            + limits,
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

    def _judged(self, molecules: NewMolecules, outputs: Outputs | None = None) -> pd.DataFrame:
        """Return the columns of molecules that can be read; `outputs` are the members', where these are known."""
        if not molecules.smiles:
            return pd.DataFrame(columns=self.columns)
        outputs = outputs or self._outputs(molecules)
        similarity = nearest(molecules.fingerprints, self.training)
        domain = Domain.from_card(self.card["domain"])
        each = zip(molecules.molecules, molecules.described, similarity.tolist(), outputs.spread.tolist(), strict=True)
        outside = [domain.outside(*one) for one in each]  # of an ensemble's spread the domain asks nothing
        values = self.certainty.values(*outputs, 1 - similarity)
        problem = [f"outside the domain: {reason}" if reason else "" for reason in outside]
        inside = [not reason for reason in outside]
        return pd.DataFrame({**values, "similarity": similarity, "in_domain": inside, "problem": problem})

    def _outputs(self, molecules: NewMolecules) -> Outputs:
        """Return the members' mean and spread, or what a head says of itself."""
        if isinstance(self.members[0], HeadModel):
            return self.members[0].predict(molecules)
        if isinstance(self.members[0], Reference):
            references = [member for member in self.members if isinstance(member, Reference)]
            outputs = [reference.predict(molecules.counts, self.card["task"]) for reference in references]
            return Outputs.of_members(np.stack(outputs))
        return Outputs.of_members(predict_networks(self._networks, molecules.graphs(self.card["featurizer"])))

    @property
    def _networks(self) -> list[Model]:
        """The members that are networks: all or none."""
        return [member for member in self.members if isinstance(member, Model)]


@dataclass(frozen=True, eq=False)
class PanelBundle:
    """Bundles of several targets, which predict the same molecules together.

    Where several hold the same encoder, as those of one file do, it runs once.
    """

    bundles: Mapping[str, Bundle]  #: by target, in the order of the columns

    @property
    def columns(self) -> list[str]:
        """The columns that :meth:`predict` returns, in order: target by target, `LogD_prediction`."""
        return [f"{target}_{column}" for target, bundle in self.bundles.items() for column in bundle.columns]

    def table_names(self, prefix: str = "") -> dict[str, str]:
        """Return what `roftmol predict` calls each of the columns: all carry their target's name."""
        return {
            f"{target}_{column}": f"{prefix}{target}_{bundle.full_name(column)}"
            for target, bundle in self.bundles.items()
            for column in bundle.columns
        }

    def __repr__(self) -> str:
        return f"<PanelBundle of {len(self.bundles)}: {', '.join(map(repr, self.bundles.values()))}>"

    def describe(self) -> str:
        """Return the cards in lines of text, target by target in the order of the columns."""
        targets = len(self.bundles)
        each = (
            f"target {number} of {targets}\n{bundle.describe()}"
            for number, bundle in enumerate(self.bundles.values(), 1)
        )
        return "\n\n".join(each)

    def predict(self, smiles: Smiles, processes: int = 1) -> pd.DataFrame:
        """Predict a row a SMILES, in order, with the columns of `Bundle.predict` for each target, under its name.

        A target's columns are what its own bundle predicts. Each has training molecules and a domain of its own, so a
        molecule can be inside one domain and outside another. What several models read of a molecule is computed once.
        """
        rows = GivenRows.of(smiles)
        molecules = NewMolecules(rows.smiles, processes)
        known = _by_networks(self.bundles, molecules) if rows.smiles else {}
        tables = [
            rows.table(bundle._judged(molecules, known.get(target))).add_prefix(f"{target}_")
            for target, bundle in self.bundles.items()
        ]
        return pd.concat(tables, axis=1)


def _by_networks(bundles: Mapping[str, Bundle], molecules: NewMolecules) -> dict[str, Outputs]:
    """Return the outputs of those targets that networks predict: all networks of one architecture in one pass."""
    alike: dict[str, list[str]] = {}
    for target, bundle in bundles.items():
        if bundle._networks:
            alike.setdefault(canonical_json(dict(bundle.card["architecture"])), []).append(target)
    found: dict[str, Outputs] = {}
    for targets in alike.values():
        members = [bundles[target]._networks for target in targets]
        graphs = molecules.graphs(bundles[targets[0]].card["featurizer"])
        predicted = predict_networks([network for networks in members for network in networks], graphs)
        parts = np.split(predicted, np.cumsum([len(networks) for networks in members])[:-1])
        found |= {target: Outputs.of_members(part) for target, part in zip(targets, parts, strict=True)}
    return found


def _classes(card: Mapping[str, Any]) -> str:
    """Say of which class the probability is."""
    if not TASKS[card["task"]].classes:
        return ""
    other, one = card.get("classes", ("0", "1"))
    return f": the probability of class {one}; the other class is {other}"
