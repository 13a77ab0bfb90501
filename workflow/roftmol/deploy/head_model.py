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
from roftmol.encoders.base import Encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.features import featurize
from roftmol.features.descriptors import descriptors
from roftmol.features.fingerprints import morgan_counts
from roftmol.features.inputs import Inputs
from roftmol.heads.base import Head, HeadKind
from roftmol.methods import METHODS
from roftmol.tasks import TASKS
from roftmol.training.vectors import vectors


@dataclass(frozen=True, eq=False)
class Reader:
    """What turns SMILES into what a method's head reads."""

    reads: frozenset[str]
    encoder: Encoder | None = field(default=None, repr=False)
    featurizer: str = ""

    def inputs(self, smiles: Sequence[str], processes: int = 1) -> Inputs:
        """Return n molecules' inputs."""
        return Inputs(
            len(smiles),
            counts=morgan_counts(smiles) if "counts" in self.reads else None,
            descriptors=descriptors(smiles, processes) if "descriptors" in self.reads else None,
            vectors=self._vectors(smiles, processes) if self.encoder else None,
        )

    def _vectors(self, smiles: Sequence[str], processes: int) -> npt.NDArray[np.float32]:
        assert self.encoder
        no_labels = np.full((len(smiles), 1), np.nan, np.float32)
        data = featurize.from_smiles(list(smiles), no_labels, processes, self.featurizer)
        return vectors(self.encoder, data, np.arange(len(smiles)))


@dataclass(frozen=True, eq=False)
class HeadModel:
    """A fitted head with what reads molecules for it."""

    head: Head = field(repr=False)
    reader: Reader

    def predict(self, smiles: Sequence[str], processes: int = 1) -> Outputs:
        """Predict molecules, each with how unsure the head is."""
        return outputs_of(self.head, self.reader.inputs(smiles, processes))

    def tensors(self) -> dict[str, Tensor]:
        """Return all that it is made of."""
        arrays = self.head.arrays()
        tensors = {f"head.{name}": torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        if self.reader.encoder:
            tensors |= {f"encoder.{name}": tensor for name, tensor in self.reader.encoder.state_dict().items()}
        return tensors

    @classmethod
    def of(cls, card: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> HeadModel:
        """Return the model that :meth:`tensors` took apart."""
        arrays = {name.removeprefix("head."): t.numpy() for name, t in tensors.items() if name.startswith("head.")}
        encoder = None
        if card["architecture"]:
            encoder = new_encoder(card["architecture"])
            state = {name.removeprefix("encoder."): t for name, t in tensors.items() if name.startswith("encoder.")}
            encoder.load_state_dict(state)
            encoder.eval()
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
