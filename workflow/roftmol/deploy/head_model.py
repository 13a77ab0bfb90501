"""A head as a model to use: fitted once on all labels, and as sure of a molecule as it says.

It is no ensemble, for nothing is stopped: every label teaches. It computes what it reads of a molecule by itself:
counts and descriptors from the SMILES, vectors by the frozen encoder that it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from roftmol.deploy.ensemble import Ended, Ensemble, EnsembleSettings, Outputs, Rows, Source, silent
from roftmol.deploy.new_molecules import NewMolecules
from roftmol.encoders.base import Encoder
from roftmol.features.inputs import Inputs
from roftmol.heads.base import Head, HeadKind
from roftmol.methods import METHODS
from roftmol.tasks import TASKS


@dataclass(frozen=True, eq=False)
class Reader:
    """What turns SMILES into what a method's head reads."""

    reads: frozenset[str]
    encoder: Encoder | None = field(default=None, repr=False)
    featurizer: str = ""

    def inputs(self, smiles: Sequence[str]) -> Inputs:
        """Return n molecules' inputs."""
        return self.read(NewMolecules(smiles))

    def read(self, molecules: NewMolecules) -> Inputs:
        """Return n molecules' inputs; what another model has read of them is not computed again."""
        return Inputs(
            len(molecules.smiles),
            counts=molecules.counts if "counts" in self.reads else None,
            descriptors=molecules.descriptors if "descriptors" in self.reads else None,
            vectors=molecules.vectors(self.encoder, self.featurizer) if self.encoder else None,
        )


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A fitted head with what reads molecules for it."""

    head: Head = field(repr=False)
    reader: Reader

    def predict(self, molecules: NewMolecules) -> Outputs:
        """Predict molecules, each with how unsure the head is."""
        return outputs_of(self.head, self.reader.read(molecules))

    def tensors(self) -> dict[str, Tensor]:
        """Return all that it is made of."""
        arrays = self.head.arrays()
        tensors = {f"head.{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        if self.reader.encoder:
            tensors |= {f"encoder.{name}": tensor for name, tensor in self.reader.encoder.state_dict().items()}
        return tensors

    @classmethod
    def of(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor], encoder: Encoder | None) -> HeadModel:
        """Return the model that :meth:`tensors` took apart, but for its encoder, which is given."""
        arrays = {name.removeprefix("head."): t.numpy() for name, t in tensors.items() if name.startswith("head.")}
        method = METHODS[card["method"]]
        assert method.head
        return cls(method.head().read(arrays), Reader(method.reads, encoder, card.get("featurizer", "")))


@dataclass(frozen=True, eq=False)
class Labelled(Source):
    """Labelled molecules with what a head reads of them."""

    kind: HeadKind
    reader: Reader
    inputs: Inputs
    labels: npt.NDArray[np.float32]
    structures: npt.NDArray[np.integer]

    def fit(self, molecules: Rows, settings: EnsembleSettings, ended: Ended = silent) -> Ensemble:
        """Fit the head on these molecules."""
        head = self.kind.fit(self.inputs[molecules], self.labels[molecules, None], TASKS[settings.task], settings.seed)
        ended()
        return Ensemble([HeadModel(head, self.reader)], "{}")

    def outputs(self, ensemble: Ensemble, molecules: Rows, settings: EnsembleSettings) -> Outputs:
        """Predict these molecules."""
        (model,) = ensemble.members
        assert isinstance(model, HeadModel)
        return outputs_of(model.head, self.inputs[molecules])


def outputs_of(head: Head, inputs: Inputs) -> Outputs:
    """Return what a head of one label column says of molecules."""
    predicted = head.predict(inputs)
    return Outputs(predicted.mean[:, 0], predicted.deviation[:, 0])
