"""Morgan fingerprints: bits, which say how alike two molecules are by Tanimoto's coefficient, and counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity, CreateFromBitString, ExplicitBitVect
from scipy.sparse import csr_matrix

RADIUS = 2
BITS = 2048


def fingerprints(molecules: Sequence[Chem.Mol]) -> list[ExplicitBitVect]:
    """Return the Morgan bits of each molecule."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    return [generator.GetFingerprint(molecule) for molecule in molecules]


def nearest(ones: Sequence[ExplicitBitVect], others: Sequence[ExplicitBitVect]) -> npt.NDArray[np.float64]:
    """Return the similarity of each one to the most similar of the others: |a and b| / |a or b|."""
    return np.array([max(BulkTanimotoSimilarity(one, others)) for one in ones])


def pack(prints: Sequence[ExplicitBitVect]) -> npt.NDArray[np.uint8]:
    """Return fingerprints as n x 256 bytes."""
    return np.packbits(np.array([list(one) for one in prints], np.uint8), axis=1)


def unpack(packed: npt.NDArray[np.uint8]) -> list[ExplicitBitVect]:
    """Return what :func:`pack` packed."""
    texts = np.unpackbits(packed, axis=1) + ord("0")
    return [CreateFromBitString(row.tobytes().decode()) for row in texts]


def morgan_counts(smiles: Sequence[str]) -> csr_matrix:
    """Return how often each molecule has each hashed Morgan environment, n x 2048."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    columns: list[int] = []
    counts: list[int] = []
    ends = [0]
    with rdBase.BlockLogs():  # what is odd about a molecule is said where it is read
        for text in smiles:
            count_of = generator.GetCountFingerprint(Chem.MolFromSmiles(text)).GetNonzeroElements()
            columns += count_of.keys()
            counts += count_of.values()
            ends.append(len(columns))
    matrix = csr_matrix((np.array(counts, np.float64), columns, ends), shape=(len(smiles), BITS))
    matrix.sort_indices()
    return matrix
