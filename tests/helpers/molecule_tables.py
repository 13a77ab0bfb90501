"""The table `molecules` made of real SMILES, for tests that do not read a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from roftmol.data import molecules

RINGS = (
    "c1ccccc1", "c1ccncc1", "C1CCCCC1", "C1CCCC1", "c1ccoc1", "c1ccsc1", "C1CCOCC1", "C1CCNCC1", "c1ccc2ccccc2c1",
    "c1ccc2ncccc2c1", "C1CCOC1", "c1cc[nH]c1", "c1cnc[nH]1", "C1COCCN1", "c1ccc2[nH]ccc2c1", "C1CCCCCC1",
)  # fmt: skip
SUBSTITUENTS = ("", "C", "CC", "CCC", "O", "N", "Cl", "F", "CO", "OC(=O)", "CC(C)", "NC(=O)", "CS(=O)(=O)", "BrC")
CHAINS = ("CCCCC", "CCCCCC", "CCCO", "CCCCO", "CCN", "CCCCN", "CC(=O)O", "CCC(=O)OC", "CCOCC", "ClCCCl")
#: 234 molecules: ten without a ring, and sixteen ring systems, each with fourteen substituents.
SMILES = (*CHAINS, *(substituent + ring for ring in RINGS for substituent in SUBSTITUENTS))


def molecule_table(
    smiles: Sequence[str], labels: np.ndarray, group: Sequence[str] | None = None, dataset: str = "own"
) -> pd.DataFrame:
    """Parse SMILES as the workflow does; `labels` is molecules x tasks."""
    parsed = [molecules.parse(text) for text in smiles]
    assert all(isinstance(molecule, molecules.Molecule) for molecule in parsed)
    return pd.DataFrame(
        {
            "dataset": dataset,
            "molecule": np.arange(len(smiles), dtype=np.int32),
            "row": np.arange(len(smiles), dtype=np.int64),
            "smiles": list(smiles),
            "canonical": [molecule.canonical for molecule in parsed],
            "scaffold": [molecule.scaffold for molecule in parsed],
            "atoms": np.array([molecule.atoms for molecule in parsed], dtype=np.int32),
            "parent": [molecule.parent.key for molecule in parsed],
            "group": list(group) if group is not None else [""] * len(smiles),
            "labels": list(np.asarray(labels, dtype=np.float32).reshape(len(smiles), -1)),
        }
    )
