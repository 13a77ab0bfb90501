"""Tables of molecules that are split."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem.Crippen import MolLogP

from molecule_tables import SMILES, molecule_table


@pytest.fixture(scope="module")
def nitrogen() -> pd.DataFrame:
    """Classification: does the molecule hold nitrogen? Every twentieth molecule is given a second time."""
    smiles = [*SMILES, *SMILES[::20]]
    return molecule_table(smiles, np.array(["n" in text.lower() for text in smiles], float))


@pytest.fixture(scope="module")
def lipophilic() -> pd.DataFrame:
    """Regression: Crippen's logP."""
    return molecule_table(SMILES, np.array([MolLogP(Chem.MolFromSmiles(text)) for text in SMILES]))
