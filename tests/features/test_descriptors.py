"""Descriptors are RDKit's own numbers, for odd molecules too, and in every process alike."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from roftmol.features.descriptors import NAMES, SLOW, descriptors
from small_dataset import SMILES


def test_they_are_rdkits_numbers():
    values = descriptors(["CC(=O)Nc1ccc(O)cc1"])
    theirs = Descriptors.CalcMolDescriptors(Chem.MolFromSmiles("CC(=O)Nc1ccc(O)cc1"))
    assert set(NAMES) == set(theirs) - SLOW
    assert values[0] == pytest.approx([theirs[name] for name in NAMES], rel=1e-6)


def test_what_is_no_number_is_nan_and_hurts_no_other_molecule():
    """RDKit knows no partial charges of iron."""
    values = descriptors(["[Fe]C", "CCO"])
    assert np.isnan(values[0, NAMES.index("MaxPartialCharge")])
    assert values[0, NAMES.index("MolWt")] == pytest.approx(70.88, abs=0.01)
    assert np.isfinite(values[1]).all()
    assert not np.isinf(values).any()


def test_processes_give_the_same():
    smiles = list(SMILES) * 5
    assert np.array_equal(descriptors(smiles, processes=2), descriptors(smiles), equal_nan=True)
    assert descriptors([]).shape == (0, len(NAMES))
