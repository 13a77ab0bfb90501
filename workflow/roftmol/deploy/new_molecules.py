"""Rows of SMILES that are to be predicted, and what models read of their molecules, each thing once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.DataStructs import ExplicitBitVect
from scipy.sparse import csr_matrix

from roftmol.data.molecules import Reject, readable
from roftmol.deploy.applicability_domain import described
from roftmol.deploy.given_smiles import Smiles, texts_of
from roftmol.encoders.base import Encoder
from roftmol.features import descriptors, featurize, fingerprints
from roftmol.features.graphs import Graphs
from roftmol.training.vectors import vectors


class NewMolecules:
    """n molecules and what models read of them: whichever model reads it first has it computed for all."""

    def __init__(self, smiles: Sequence[str], processes: int = 1):
        """Take n SMILES that can be read; graphs and descriptors are computed by so many processes."""
        self.smiles = list(smiles)
        self._processes = processes
        self._graphs: dict[str, Graphs] = {}
        self._vectors: dict[Encoder, npt.NDArray[np.float32]] = {}

    @cached_property
    def molecules(self) -> list[Chem.Mol]:
        """The molecules."""
        with rdBase.BlockLogs():
            return [Chem.MolFromSmiles(text) for text in self.smiles]

    @cached_property
    def described(self) -> list[dict[str, float]]:
        """What their domains ask of them."""
        return [described(molecule) for molecule in self.molecules]

    @cached_property
    def fingerprints(self) -> list[ExplicitBitVect]:
        """Their Morgan bits."""
        return fingerprints.fingerprints(self.molecules)

    @cached_property
    def counts(self) -> csr_matrix:
        """Their Morgan counts, n x 2048."""
        return fingerprints.morgan_counts(self.smiles)

    @cached_property
    def descriptors(self) -> npt.NDArray[np.float32]:
        """Their RDKit descriptors, n x f."""
        return descriptors.descriptors(self.smiles, self._processes)

    def graphs(self, featurizer: str) -> Graphs:
        """Return their graphs by a featurizer."""
        if featurizer not in self._graphs:
            no_labels = np.full((len(self.smiles), 1), np.nan, np.float32)
            self._graphs[featurizer] = featurize.from_smiles(self.smiles, no_labels, self._processes, featurizer)
        return self._graphs[featurizer]

    def vectors(self, encoder: Encoder, featurizer: str) -> npt.NDArray[np.float32]:
        """Return their vectors under an encoder, n x d."""
        if encoder not in self._vectors:
            self._vectors[encoder] = vectors(encoder, self.graphs(featurizer), np.arange(len(self.smiles)))
        return self._vectors[encoder]


@dataclass(frozen=True, eq=False)
class GivenRows:
    """Rows of SMILES as they were given: the different molecules among them, and why a row is none."""

    smiles: list[str]  #: the m different SMILES that can be read, in the order of their first rows
    molecule: list[int]  #: of each row; -1 for one that cannot be read
    problem: list[str]  #: of each row: why it cannot be read, or ""
    index: pd.Index

    @classmethod
    def of(cls, given: Smiles) -> GivenRows:
        """Read rows; a series' or frame's index is kept. Raises `ValueError` for what is no column of texts."""
        texts = texts_of(given, "smiles", gaps=True)
        with rdBase.BlockLogs():
            problem = {text: _problem(text) for text in dict.fromkeys(texts)}
        smiles = [text for text, why in problem.items() if not why]
        number = {text: number for number, text in enumerate(smiles)}
        index = given.index if isinstance(given, pd.Series | pd.DataFrame) else pd.RangeIndex(len(texts))
        return cls(smiles, [number.get(text, -1) for text in texts], [problem[text] for text in texts], index)

    def table(self, predicted: pd.DataFrame) -> pd.DataFrame:
        """Return a row for each given one, from predictions of the m molecules; one that is none is empty."""
        table = predicted.reindex(self.molecule)
        unread = np.array(self.molecule, int) < 0
        table["problem"] = np.where(unread, self.problem, table["problem"])
        table.index = self.index
        numbers = [name for name in table.columns if name not in ("in_domain", "problem")]
        return table.astype({**dict.fromkeys(numbers, float), "in_domain": "boolean"})


def _problem(text: str) -> str:
    """Return why a text cannot be read as a molecule; "" if it can."""
    read = readable(text)
    if not isinstance(read, Reject):
        return ""
    reason, detail, _ = read
    return f"{reason}: {detail}" if detail else reason
