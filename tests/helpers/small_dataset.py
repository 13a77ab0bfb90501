"""Two dozen real molecules, with what makes each of them awkward; their sizes are the labels to learn."""

import numpy as np
import pandas as pd
from rdkit import Chem

from roftmol.features import featurize, graphs
from roftmol.tables import schemas

SMILES = [
    "CCO",
    "CC(=O)Oc1ccccc1C(=O)O",  # aspirin
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",  # caffeine
    "C[C@H](N)C(=O)O",  # one chiral centre
    "C[C@@H](N)C(=O)O",  # its mirror image
    "F/C=C/F",  # bond directions
    "F/C=C\\F",
    "C#N",
    "[Na+].[Cl-]",  # no bonds, two fragments
    "O",  # one atom
    "CC(C)Cc1ccc(cc1)[C@@H](C)C(=O)O",  # ibuprofen
    "CN1CCC[C@H]1c1cccnc1",  # nicotine
    "OC[C@H]1OC(O)[C@H](O)[C@@H](O)[C@@H]1O",  # glucose
    "c1ccc2c(c1)ccc1ccccc12",  # phenanthrene
    "ClC(Cl)(Cl)Cl",
    "CCCCCCCC",
    "CC(=O)Nc1ccc(O)cc1",  # paracetamol
    "Clc1ccccc1",
    "NC(=O)N",
    "BrCCBr",
    "CCN(CC)CC",
    "O=C(O)c1ccccc1O",
    "c1ccncc1",
    "CS(C)=O",
]


def corpus(tasks: int = 1, *, classification: bool = False) -> graphs.Graphs:
    """The molecules as graphs, with labels that a network can learn: how many atoms, and whether many."""
    return featurize.from_smiles(SMILES, labels_of_size(tasks, classification=classification))


def labels_of_size(tasks: int = 1, *, classification: bool = False) -> np.ndarray:
    """How many atoms each molecule has, as a logarithm, or whether it has many."""
    sizes = np.array([Chem.MolFromSmiles(text).GetNumAtoms() for text in SMILES], np.float32)
    return np.stack([sizes > np.median(sizes) if classification else np.log(sizes)] * tasks, 1).astype(np.float32)


def split_table(seeds=(0, 1), folds=1) -> pd.DataFrame:
    """Five molecules to test, a part of the others to validate, drawn anew with each seed: table "splits"."""
    rows = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(SMILES))
        labelled = order[5:]
        for fold in range(folds):
            valid = set(np.array_split(labelled, max(4, folds))[fold].tolist())
            for molecule in order:
                role = "test" if molecule in order[:5] else "valid" if molecule in valid else "train"
                rows.append(("honest", "sizes", "random", "all", seed, fold, molecule, role))
    return pd.DataFrame(rows, columns=schemas.SCHEMAS["splits"].names)
