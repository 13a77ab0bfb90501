"""How alike two molecules are: Tanimoto's coefficient of their Morgan fingerprints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import BulkTanimotoSimilarity, CreateFromBitString, ExplicitBitVect

RADIUS, BITS = 2, 2048


def fingerprints(molecules: Sequence[Chem.Mol]) -> list[ExplicitBitVect]:
    """The Morgan bits of each molecule."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    return [generator.GetFingerprint(molecule) for molecule in molecules]


def nearest(ones: Sequence[ExplicitBitVect], others: Sequence[ExplicitBitVect]) -> npt.NDArray[np.float64]:
    """The similarity of each one to the most similar of the others: |a and b| / |a or b|."""
    return np.array([max(BulkTanimotoSimilarity(one, others)) for one in ones])


def pack(found: Sequence[ExplicitBitVect]) -> npt.NDArray[np.uint8]:
    """Fingerprints as n x 256 bytes."""
    return np.packbits(np.array([list(one) for one in found], np.uint8), axis=1)


def unpack(packed: npt.NDArray[np.uint8]) -> list[ExplicitBitVect]:
    """What :func:`pack` packed."""
    texts = np.unpackbits(packed, axis=1) + ord("0")
    return [CreateFromBitString(row.tobytes().decode()) for row in texts]
