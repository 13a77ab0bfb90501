"""What a student learns in distillation: a teacher's vectors, descriptors and Morgan counts of a corpus.

A file of targets (safetensors) has a row a molecule, in the order of the recipe's molecules:

    vectors      n x 2w  float16  the teacher's vectors, pooled, then summed over the atoms, w each; no dropout
    descriptors  n x f   float16  RDKit's (`features/descriptors.py`), NaN where undefined or not computed, within
                                  float16's range
    counts       n x 1024  uint8  how often each hashed Morgan environment occurs, 255 at most

They are made in parts of `PART` molecules, each a file of the same form under a name that says what it depends on, so
that a run that was killed goes on where it was.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from roftmol.core import tensor_file
from roftmol.core.errors import UserError
from roftmol.core.files import digest, sha256
from roftmol.core.parallel import each
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import featurize
from roftmol.features.descriptors import NAMES, descriptors
from roftmol.features.fingerprints import BITS, morgan_counts
from roftmol.training.vectors import vectors

FORMAT = "roftmol-targets-1"
#: What helps where a file cannot be read.
ANEW = "Delete it and run the workflow again."
PART = 2000
COUNTS = 1024
#: Of float16; anything near is clipped when targets are standardised.
LARGEST = 60_000.0

Part = dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Wanted:
    """One part: its molecules, how many of them, from the first on, get descriptors, and its file."""

    smiles: list[str]
    described: int
    path: Path


def make(
    smiles: list[str],
    teacher: Path,
    featurizer: str,
    parts: Path,
    out: Path,
    described: int | None = None,
    processes: int = 1,
) -> None:
    """Write the targets of these molecules to `out`, descriptors of the first `described` ones (None: of all).

    `parts` is the folder of parts that are ready.
    """
    parts.mkdir(parents=True, exist_ok=True)
    origin = [FORMAT, sha256(teacher), featurizer]
    wanted = []
    for first in range(0, len(smiles), PART):
        texts = smiles[first : first + PART]
        number = len(texts) if described is None else min(max(described - first, 0), len(texts))
        wanted.append(Wanted(texts, number, parts / f"{digest([*origin, number, *texts])}.safetensors"))
    missing = [part for part in wanted if not part.path.exists()]
    for number, _ in enumerate(each(partial(_make_part, teacher, featurizer), missing, processes), 1):
        print(f"targets of {number} of {len(missing)} parts", file=sys.stderr, flush=True)
    files = [_read_part(part.path) for part in wanted]
    whole = {name: np.concatenate([file[name] for file in files]) for name in files[0]}
    tensor_file.save(out, whole, {"format": FORMAT})


def _make_part(teacher: Path, featurizer: str, wanted: Wanted) -> None:
    part = targets(wanted.smiles, teacher, featurizer, wanted.described)
    tensor_file.save(wanted.path, part, {"format": FORMAT})


def _read_part(path: Path) -> Part:
    with tensor_file.opened(path, "no targets of a distillation", ANEW) as file:
        return file.tensors()


def targets(smiles: Sequence[str], teacher: Path, featurizer: str, described: int) -> Part:
    """Return molecules' targets, as the file has them; descriptors of the first `described` ones."""
    texts = list(smiles)
    graphs = featurize.from_smiles(texts, np.zeros((len(texts), 0), np.float32), 1, featurizer)
    # Molecules of one size side by side, so that a batch is no larger than it has to be.
    order = np.argsort(np.diff(graphs.offsets), kind="stable")
    of_teacher = vectors(load_encoder(teacher, 0.0), graphs, order)
    placed = np.empty_like(of_teacher)
    placed[order] = of_teacher
    counts = morgan_counts(texts)
    folded = sum(counts[:, first : first + COUNTS] for first in range(0, BITS, COUNTS)).toarray()
    of_rdkit = np.full((len(texts), len(NAMES)), np.nan, np.float32)
    of_rdkit[:described] = descriptors(texts[:described])
    return {
        "vectors": placed.astype(np.float16),
        "descriptors": np.clip(of_rdkit, -LARGEST, LARGEST).astype(np.float16),
        "counts": np.minimum(folded, 255).astype(np.uint8),
    }


def load(path: Path, molecules: int) -> tuple[npt.NDArray[np.float16], tuple[int, ...]]:
    """Return the targets of so many molecules, side by side, and how wide each block is.

    Vectors are two blocks, pooled and summed. Raises `UserError` if the file is of another kind or of other molecules.
    """
    with tensor_file.opened(path, "no targets of a distillation", ANEW) as file:
        file.expect(FORMAT)
        parts = [file.tensor(name) for name in ("vectors", "descriptors", "counts")]
    if len(parts[0]) != molecules:
        raise UserError(f"{path}: targets of {len(parts[0])} molecules, and the recipe has {molecules}. {ANEW}")
    vectors_wide, *others = (part.shape[1] for part in parts)
    blocks = (vectors_wide // 2, vectors_wide // 2, *others)
    return np.concatenate([part.astype(np.float16) for part in parts], 1), blocks
