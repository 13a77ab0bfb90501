"""Attribute masking: predict what a hidden atom is from what surrounds it.

Hu et al. 2020 (arXiv 1905.12265) hide an atom's element and predict it. Three in four atoms of a drug-like molecule are
carbon, so that task is soon solved; Mole-BERT (Xia et al. 2023) answers with a richer vocabulary of atoms in context.
Here the vocabulary needs no training of its own: an atom's token of radius r is its Morgan environment of radius r
(Rogers & Hahn 2010), and the loss is

    L = mean over chosen atoms of  sum over r in {0, 1} of  cross entropy(token_r, W_r z)

with z the atom's vector after the last layer. As in BERT, of the chosen atoms most are masked, some get a random
element, some stay as they are, so that the encoder also learns to describe atoms it can see.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from torch import Tensor, nn

from roftmol.encoders.base import Encoder
from roftmol.features import featurize
from roftmol.features.graphs import Batch, Graphs
from roftmol.features.vocabulary import MASKED_ELEMENT
from roftmol.training.pretraining.loop import Labels, Level

RADII = (0, 1)


@dataclass(frozen=True)
class AttributeMasking:
    """The objective's hyperparameters: the share of atoms chosen, and what happens to them."""

    chosen: float = 0.25
    masked: float = 0.8
    randomised: float = 0.1
    vocabulary: int = 2048  # tokens a radius; the rarest environments share the last one

    level: ClassVar[Level] = "atom"
    merges: ClassVar[bool] = False

    def prepare(self, smiles: list[str], _labels: Labels, processes: int) -> tuple[Graphs, npt.NDArray[np.int64]]:
        """Return the corpus as graphs, and its atoms' tokens: atoms x radii."""
        corpus = featurize.from_smiles(smiles, np.zeros((len(smiles), 0), np.float32), processes)
        with ProcessPoolExecutor(processes) as pool:
            environments = np.concatenate(list(pool.map(_environments, smiles, chunksize=500)))
        return corpus, np.stack([_tokens(column, self.vocabulary) for column in environments.T], 1)

    def decoder(self, width: int, _tasks: int) -> nn.Module:
        """Return one linear map a radius, from an atom's vector to its token's logits."""
        return nn.ModuleList(nn.Linear(width, self.vocabulary) for _ in RADII)

    def loss(
        self, encoder: Encoder, decoder: nn.Module, batch: Batch, targets: Tensor, rng: np.random.Generator
    ) -> Tensor:
        """Return the objective on one batch; `targets` is atoms x radii."""
        chosen, corrupted = self.corrupt(batch, rng)
        z = encoder.nodes(corrupted)[chosen]
        assert isinstance(decoder, nn.ModuleList)
        return torch.stack([F.cross_entropy(head(z), targets[chosen, r]) for r, head in enumerate(decoder)]).sum()

    def corrupt(self, batch: Batch, rng: np.random.Generator) -> tuple[Tensor, Batch]:
        """Choose atoms (their indices) and hide most of them; at least one atom is chosen."""
        n = len(batch.atoms)
        chosen = rng.choice(n, max(1, round(self.chosen * n)), replace=False)
        fate = rng.random(len(chosen))
        masked = torch.from_numpy(chosen[fate < self.masked])
        swapped = torch.from_numpy(chosen[(fate >= self.masked) & (fate < self.masked + self.randomised)])
        atoms = batch.atoms.clone()
        atoms[masked] = torch.tensor([MASKED_ELEMENT, 0], device=atoms.device)
        atoms[swapped, 0] = batch.atoms[torch.from_numpy(rng.integers(0, n, len(swapped))), 0]
        return torch.from_numpy(chosen), replace(batch, atoms=atoms)


def _environments(smiles: str) -> npt.NDArray[np.int64]:
    """Return the Morgan identifiers of each atom, one column a radius."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=max(RADII), includeRedundantEnvironments=True)
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    generator.GetSparseCountFingerprint(molecule, additionalOutput=output)
    identifiers = np.zeros((molecule.GetNumAtoms(), len(RADII)), np.int64)
    for identifier, environments in output.GetBitInfoMap().items():
        for atom, radius in environments:
            identifiers[atom, radius] = identifier
    return identifiers


def _tokens(identifiers: Iterable[int], vocabulary: int) -> npt.NDArray[np.int64]:
    """Return the identifiers numbered by falling frequency; all beyond the vocabulary become its last token."""
    identifiers = np.asarray(identifiers)
    counts = Counter(identifiers.tolist())
    ranked = sorted(counts, key=lambda identifier: (-counts[identifier], identifier))
    number = {identifier: min(rank, vocabulary - 1) for rank, identifier in enumerate(ranked)}
    return np.array([number[identifier] for identifier in identifiers.tolist()])
