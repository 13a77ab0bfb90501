"""Kinds of atoms: by hand, in the graph and in space, and what cannot be read."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem

from atoms_in_space import geometry, rotation
from roftmol.core.errors import UserError
from roftmol.features.atom_kinds import CLASSES, classes_in_space, classes_of
from small_dataset import SMILES

#: What is undefined is found out beforehand.
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")

BY_HAND = {
    "CCO": ["C4", "C4", "O2"],
    "CC(=O)O": ["C4", "C3", "O1", "O2"],
    "c1ccncc1": ["C3", "C3", "C3", "N2", "C3", "C3"],
    "CC#N": ["C4", "C2", "N1"],
    "CNC(=O)CF": ["C4", "N3", "C3", "O1", "C4", "F"],
}


def of_smiles(smiles: list[str]) -> list[np.ndarray]:
    return [classes_of(Chem.MolFromSmiles(text)) for text in smiles]


def named(classes: np.ndarray) -> list[str | None]:
    return [CLASSES[index] if index >= 0 else None for index in classes]


@pytest.mark.parametrize("smiles", BY_HAND)
def test_classes_by_hand_in_the_graph_and_in_space(smiles):
    assert named(of_smiles([smiles])[0]) == BY_HAND[smiles]
    numbers, positions = geometry(smiles)
    found = named(classes_in_space(numbers, positions))
    assert found[: len(BY_HAND[smiles])] == BY_HAND[smiles]
    assert set(found[len(BY_HAND[smiles]) :]) == {"H"}


def test_graph_and_space_agree_for_awkward_molecules_too():
    for smiles, wanted in zip(SMILES, of_smiles(SMILES), strict=True):
        numbers, positions = geometry(smiles)
        found = classes_in_space(numbers, positions)
        np.testing.assert_array_equal(found[numbers > 1], wanted, smiles)
        assert set(named(found[numbers == 1])) <= {"H"}


def test_atoms_outside_the_ten():
    ammonium, salt, sulfoxide, deuterium, oxonium = of_smiles(["C[NH3+]", "[Na+].[Cl-]", "CS(C)=O", "[2H]O", "[OH3+]"])
    assert named(ammonium) == ["C4", None]  # a nitrogen with four neighbours
    assert named(salt) == [None, None]
    assert named(sulfoxide) == ["C4", None, "C4", "O1"]
    assert named(deuterium) == ["H", "O2"]
    assert named(oxonium) == [None]
    assert [one.dtype for one in (ammonium, salt)] == [np.int8, np.int8]
    assert len(of_smiles([""])[0]) == 0


def test_classes_in_space_depend_on_neither_order_nor_frame():
    numbers, positions = geometry("CNC(=O)CF")
    wanted = classes_in_space(numbers, positions)
    order = np.random.default_rng(0).permutation(len(numbers))
    moved = positions[order] @ rotation() + [5, -3, 100]
    np.testing.assert_array_equal(classes_in_space(numbers[order], moved), wanted[order])


def test_what_cannot_be_read_is_named():
    numbers, positions = geometry("CCO")
    wrong = np.where(np.arange(len(numbers)) == 2, 119, numbers)
    with pytest.raises(UserError, match="atom 2: 119 is no atomic number"):
        classes_in_space(wrong, positions)
    positions[4, 1] = np.nan
    with pytest.raises(UserError, match=r"atom 4: its position .*nan.* is not finite"):
        classes_in_space(numbers, positions)
    with pytest.raises(ValueError, match="must be n and n x 3"):
        classes_in_space(numbers, positions[1:])
