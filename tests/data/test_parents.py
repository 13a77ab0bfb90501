"""Forms of one substance have one parent, are dealt into one part, and are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem

from molecule_tables import SMILES, molecule_table
from roftmol.data import molecules
from roftmol.data.parents import COUNTER_IONS, forms_told, parent_of
from roftmol.data.splits import SplitSettings, assign
from roftmol.registry.catalog import Dataset
from split_roles import HONEST, PAPER

BASES = [text for text in SMILES if Chem.CanonSmiles(text) not in set(map(Chem.CanonSmiles, COUNTER_IONS))][::4]
#: Each molecule, its hydrochloride, and a citrate.
FORMS = [*BASES, *(f"{text}.Cl" for text in BASES), *(f"{text}.OC(=O)CC(O)(CC(=O)O)C(=O)O" for text in BASES)]


def key(smiles: str) -> str:
    return parent_of(Chem.MolFromSmiles(smiles)).key


@pytest.mark.parametrize(
    ("forms", "parent"),
    [
        (["CC(=O)[O-].[Na+]", "CC(=O)O", "CC(=O)O[Na]", "CC(=O)[O-].[NH4+]"], "CC(=O)O"),
        (["CCN.Cl", "CC[NH3+].[Br-]", "CCN", "CCN.F[P-](F)(F)(F)(F)F", "CCN.O.O"], "CCN"),
        (["NCCc1ccccc1.OC(=O)CC(O)(CC(=O)O)C(=O)O", "NCCc1ccccc1"], "NCCc1ccccc1"),  # an acid larger than the base
        (["C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CC([NH3+])C(=O)[O-]"], "CC(N)C(=O)O"),
        (["F/C=C/F", r"F/C=C\F"], "FC=CF"),
        (["[2H]C([2H])([2H])O", "CO", "[13CH3]O"], "CO"),
        (["C[N+](C)(C)C.[Cl-]", "C[N+](C)(C)C.[I-]"], "C[N+](C)(C)C"),
        (["Oc1ccccn1", "O=c1cccc[nH]1"], "Oc1ccccn1"),
        (["CCCSc1ccc2[nH]c(NC(=O)OC)nc2c1", "CCCSc1ccc2nc(NC(=O)OC)[nH]c2c1"], "CCCSc1ccc2[nH]c(NC(=O)OC)nc2c1"),
    ],
)
def test_forms_of_a_substance_have_one_parent(forms: list[str], parent: str) -> None:
    assert len({key(text) for text in forms}) == 1
    assert parent_of(Chem.MolFromSmiles(forms[0])).smiles == Chem.CanonSmiles(parent)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("c1ccccc1", "C1CCCCC1"),
        ("CC(C)O", "CC(C)=O"),
        ("[Na+].[Cl-]", "[K+].[Cl-]"),
        ("CCN", "CNC"),
        ("CC(=O)O", "CCC(=O)O"),
        ("O=C1C=CC(=O)C=C1", "Oc1ccc(O)cc1"),
    ],
)
def test_different_substances_have_different_parents(one: str, other: str) -> None:
    assert key(one) != key(other)


def test_a_ligand_that_is_no_molecule_without_its_metal_keeps_it() -> None:
    """A porphyrin of tin, which three sets of TDC hold: its ring is aromatic with what the metal gives."""
    smiles = "C=CC1=C(C)C2=Cc3c(C=C)c(C)c4n3[Sn+2]n3c(c(C)c(CCC(=O)O)c3=CC3=NC(=C4)C(C)=C3CCC(=O)O)=CC1=N2"
    parent = parent_of(Chem.MolFromSmiles(f"{smiles}.[Cl-].[Cl-]"))
    assert parent == parent_of(Chem.MolFromSmiles(smiles))
    assert Chem.CanonSmiles(parent.smiles) == Chem.CanonSmiles(smiles)


def test_counter_ions_are_written_as_parents_are() -> None:
    for text in COUNTER_IONS:
        assert parent_of(Chem.MolFromSmiles(text)).smiles == Chem.CanonSmiles(text)


@pytest.fixture(scope="module")
def salts() -> pd.DataFrame:
    return molecule_table(FORMS, np.tile(np.linspace(-3, 2, len(BASES)), 3))


EVERY = replace(HONEST, task="regression", seeds=(0, 1, 2, 3, 4))


@pytest.mark.parametrize("split", ["random", "scaffold", "size", "size_strict", "cv", "scaffold_cv", "boom"])
@pytest.mark.parametrize("validation", ["holdout", "crossfit"])
def test_forms_are_dealt_together(salts: pd.DataFrame, split: str, validation: str) -> None:
    for budget in ("all", "60"):
        settings = replace(EVERY, split=split, validation=validation, budget=budget)
        splits = assign(salts, settings)
        parent = splits["molecule"].map(salts["parent"])
        # In "boom" a form of a molecule with a rare label is tested among the others.
        sides = splits["role"].replace("test_id", "test")
        dealt = sides.groupby([splits["seed"], splits["fold"], parent])
        assert (dealt.size() > 1).any()
        assert (dealt.nunique() == 1).all()


def test_published_splits_know_no_parents(salts: pd.DataFrame) -> None:
    settings: SplitSettings = replace(PAPER, task="regression")
    assert assign(salts, settings).equals(assign(salts.assign(parent=salts["canonical"]), settings))


def test_a_table_without_parents_is_dealt_by_its_molecules(salts: pd.DataFrame) -> None:
    old, plain = (assign(salts.assign(parent=value), EVERY) for value in ("", salts["canonical"]))
    assert old.equals(plain)


def test_forms_are_counted_and_repetitions_are_not(salts: pd.DataFrame) -> None:
    assert forms_told(salts).startswith(f"{2 * len(BASES)} molecules are forms")
    assert f"of {len(BASES)} other molecules; they are dealt together." in forms_told(salts)
    repeated = pd.concat([salts[: len(BASES)]] * 2)
    assert forms_told(repeated) == ""
    one = molecule_table(["CCN", "CCN.Cl", "CCO", "CCO"], np.arange(4))
    assert forms_told(one).startswith("1 molecule is a form (salt, ")
    assert "of 1 other molecule;" in forms_told(one)


def test_the_table_tells_each_records_substance(tmp_path: Path) -> None:
    path = tmp_path / "source"
    path.write_text("smiles,y\nO=c1cccc[nH]1,1\nOc1ccccn1.Cl,2\nCCN,3\n")
    dataset = Dataset.from_dict(
        {"name": "mine", "path": str(path), "smiles": "smiles", "labels": ["y"], "task": "regression"}
    )
    kept, _, _ = molecules.read(path, dataset, max_rejected=0)
    assert kept["parent"].tolist() == ["O=c1cccc[nH]1"] * 2 + ["CCN"]  # tautomers have the first one's
