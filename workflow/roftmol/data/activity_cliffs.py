"""Which molecules of a dataset are in an activity cliff: much alike and yet of very different potency.

The definition is that of MoleculeACE (van Tilborg, Alenicheva and Grisoni 2022, J. Chem. Inf. Model. 62, 5938): two
molecules whose potencies differ more than tenfold are a cliff if at least one of three similarities is 0.9 or more:
Tanimoto of the molecules' fingerprints (Morgan, radius 2, 1024 bits), Tanimoto of the fingerprints of their scaffolds,
and 1 - d / L of their canonical SMILES, with Levenshtein's distance d and the longer one's length L. As in the code of
MoleculeACE, a scaffold is the molecule with every atom a carbon and every bond single, side chains included.

Where the data come with a column that says so, it is taken instead.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rdkit.Chem.Scaffolds.MurckoScaffold import GetScaffoldForMol, MakeScaffoldGeneric
from rdkit.DataStructs import BulkTanimotoSimilarity, ExplicitBitVect

from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.data.delimited import Reading, load
from roftmol.registry.catalog import Dataset
from roftmol.tasks import TASKS

#: The radius of the Morgan fingerprints.
RADIUS = 2
#: Their length.
BITS = 1024
SIMILARITY = 0.9
#: No logarithm of a potency is larger, in whatever unit: 1e-16 M is far below what binds, 1e16 of any unit above it.
LARGEST = 16.0
#: Labels are base-10 logarithms in single precision, whose rounding must not turn tenfold into more than tenfold.
DIFFERENCE = 1.0 + 1e-5

Flags = NDArray[np.bool_]


def find(source: Path, molecules: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Return table "cliff_molecules" of a dataset: by `dataset.cliff_column`, or computed where it has none."""
    if dataset.cliff_column:
        origin = "published"
        flags = published(source, molecules["row"].to_numpy(), dataset)
    else:
        origin = "computed"
        # A limit is in no cliff: how far it is from a value is not known.
        labels = TASKS[dataset.task].values(np.array(molecules["labels"].tolist(), np.float64))[:, 0]
        demand_logarithms(labels, molecules["row"].to_numpy(), dataset)
        flags = computed(molecules["canonical"].tolist(), labels)
    return pd.DataFrame(
        {"dataset": dataset.name, "molecule": molecules["molecule"].to_numpy(), "cliff": flags, "origin": origin}
    )


def demand_logarithms(
    labels: NDArray[np.float64],
    rows: NDArray[np.int64],
    dataset: Dataset,
    position: Callable[[int], str] = "record {}".format,
) -> None:
    """Raise `UserError` for labels that cannot be base-10 logarithms of a potency; `position` finds a record."""
    beyond = np.flatnonzero(np.abs(labels) > LARGEST)
    if len(beyond):
        raise UserError(
            f"dataset {dataset.name}: `potency: true` says that labels are log10 of a potency, as pIC50, but "
            f"{len(beyond)} of {len(labels)} are beyond {LARGEST:g}, first in {position(int(rows[beyond[0]]))}: "
            f"{labels[beyond[0]]:g}. Give -log10 of the molar potency (of 10 nM: 8), or leave `potency` out."
        )


def published(source: Path, rows: NDArray[np.int64], dataset: Dataset) -> Flags:
    """Return which of the records `rows` are in a cliff by the file's own column.

    Raises `UserError` for a value that is neither 0 nor 1.
    """
    assert dataset.cliff_column
    origin = dataset.source_of(sha256(source))
    named = origin.columns if origin else {}
    name = named.get(dataset.cliff_column, dataset.cliff_column)
    table = load(source, Reading(named.get(dataset.smiles, dataset.smiles), dataset.sheet))
    values = table.column(name)
    for row in rows.tolist():
        if values[row] not in ("0", "1"):
            raise UserError(
                f"{source}: column {name!r}, {table.position(row)}: {values[row]!r} does not say whether the molecule "
                "is in an activity cliff. Write 1 or 0."
            )
    return np.array([values[row] == "1" for row in rows.tolist()], np.bool_)


def computed(smiles: list[str], labels: NDArray[np.float64]) -> Flags:
    """Return which molecules are in a cliff with any other.

    `smiles` are canonical; `labels` are base-10 logarithms, NaN where missing. Every pair is looked at, so the time
    grows with the square of the number of molecules: 4,000 take some ten seconds.
    """
    whole, scaffolds = _fingerprints(smiles)
    flags = np.zeros(len(smiles), np.bool_)
    for one in range(len(smiles) - 1):
        others = one + 1 + np.flatnonzero(np.abs(labels[one + 1 :] - labels[one]) > DIFFERENCE)
        # What is known to be in a cliff need not be found there again.
        if flags[one]:
            others = others[~flags[others]]
        if not len(others):
            continue
        alike = np.zeros(len(others), np.bool_)
        for prints in (whole, scaffolds):
            similarities = BulkTanimotoSimilarity(prints[one], [prints[other] for other in others.tolist()])
            alike |= np.array(similarities) >= SIMILARITY
        for position in np.flatnonzero(~alike).tolist():
            similarity = Levenshtein.normalized_similarity(smiles[one], smiles[others[position]])
            alike[position] = similarity >= SIMILARITY
        flags[others[alike]] = True
        flags[one] |= bool(alike.any())
    return flags


def _fingerprints(smiles: list[str]) -> tuple[list[ExplicitBitVect], list[ExplicitBitVect]]:
    """Return the fingerprints of the molecules and of their generic scaffolds."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(text) for text in smiles]
        scaffolds = [_generic(molecule) for molecule in molecules]
    return [generator.GetFingerprint(m) for m in molecules], [generator.GetFingerprint(s) for s in scaffolds]


def _generic(molecule: Chem.Mol) -> Chem.Mol:
    """Return the molecule with every atom a carbon and every bond single.

    Where that breaks a valence, it is the molecule's Murcko scaffold.
    """
    try:
        return MakeScaffoldGeneric(molecule)
    except (ValueError, RuntimeError):
        return GetScaffoldForMol(molecule)
