"""Which records are forms of one substance: its salts, solvates, charge states, isotopes, stereoisomers and tautomers.

What a model has learnt of one form it knows of all, so they are dealt into one part. The parent of a molecule is its
largest organic fragment but for counter-ions, neutralised, without stereo and isotopes; where no fragment is organic,
all of them together. Forms are told by a hash of the parent that does not see where its mobile hydrogens are (RDKit's
HetAtomTautomerv2), which also joins what only looks like a tautomer; a group that is too large does no harm.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdMolHash
from rdkit.Chem.MolStandardize import rdMolStandardize

#: Common acids, bases and solvents of salts and solvates, neutral and without stereo. One of them is a parent only
#: where nothing else is organic: a citrate of a small amine is a form of the amine. Which salts are common: Paulekuhn,
#: Dressman and Saal, J. Med. Chem. 2007, 50, 6665.
COUNTER_IONS = (
    "OC=O", "CC(=O)O", "OC(=O)C(F)(F)F", "OC(=O)C(=O)O", "OC(=O)CC(=O)O", "OC(=O)CCC(=O)O", "OC(=O)C=CC(=O)O",
    "OC(=O)CC(O)C(=O)O", "OC(=O)C(O)C(O)C(=O)O", "OC(=O)CC(O)(CC(=O)O)C(=O)O", "CC(O)C(=O)O", "OCC(=O)O", "CCC(=O)O",
    "OC(=O)c1ccccc1", "CS(=O)(=O)O", "CCS(=O)(=O)O", "OS(=O)(=O)CCS(=O)(=O)O", "OCCS(=O)(=O)O", "OS(=O)(=O)c1ccccc1",
    "Cc1ccc(cc1)S(=O)(=O)O", "OCC(O)C(O)C(O)C(O)C(=O)O", "OS(=O)(=O)C(F)(F)F", "COS(=O)(=O)O", "OC(=O)O", "SC#N",
    "N#CS", "CO", "CCO", "CC(C)O", "CC(C)=O", "CC#N", "CS(C)=O", "CN(C)C=O", "ClCCl", "NCCO", "OCCNCCO", "CN(C)CCO",
    "OCC(N)(CO)CO", "CNCC(O)C(O)C(O)C(O)CO", "CCN(CC)CC", "CCNCC", "NCCN", "C[N+](C)(C)CCO",
)  # fmt: skip
CARBON = 6


class Parent(NamedTuple):
    """The parent structure as SMILES, and what is equal in all forms of a substance."""

    smiles: str
    key: str


def parent_of(molecule: Chem.Mol) -> Parent:
    """Return the parent of a molecule; the molecule itself stays as it is."""
    plain = Chem.Mol(molecule)
    Chem.RemoveStereochemistry(plain)
    for atom in plain.GetAtoms():
        atom.SetIsotope(0)
    neutral = [_neutral(fragment) for fragment in _fragments(plain)]
    written = {Chem.MolToSmiles(fragment): fragment for fragment in neutral}
    organic = {text: one for text, one in written.items() if any(a.GetAtomicNum() == CARBON for a in one.GetAtoms())}
    candidates = {text: one for text, one in organic.items() if text not in _counter_ions()} or organic
    if not candidates:
        whole = ".".join(sorted(map(Chem.MolToSmiles, neutral)))
        return Parent(whole, whole)
    smiles = max(candidates, key=lambda text: (candidates[text].GetNumHeavyAtoms(), text))
    return Parent(smiles, str(rdMolHash.MolHash(candidates[smiles], rdMolHash.HashFunction.HetAtomTautomerv2)))


def groups(molecules: pd.DataFrame) -> NDArray[np.intp]:
    """Return for each row of table "molecules" the number of its substance, in the order of their first rows.

    A table that was written before there were parents is grouped by its molecules.
    """
    parents = molecules["parent"].where(molecules["parent"] != "", molecules["canonical"])
    return pd.factorize(parents)[0]


def first_forms(molecules: pd.DataFrame) -> NDArray[np.intp]:
    """Return for each row of table "molecules" the row of its substance's first form."""
    substance = groups(molecules)
    return np.unique(substance, return_index=True)[1][substance]


def forms_told(molecules: pd.DataFrame) -> str:
    """Return in a sentence how many molecules are forms of others, or "" if none is.

    Records of the same molecule are repetitions, not forms, and count once.
    """
    different = molecules.drop_duplicates("canonical")
    sizes = np.bincount(groups(different))
    several = sizes[sizes > 1]
    if not len(several):
        return ""
    more, of = int((several - 1).sum()), len(several)
    are, others = ("is a form", "molecule") if more == 1 else ("are forms", "molecules")
    return (
        f"{more} {'molecule' if more == 1 else 'molecules'} {are} (salt, charge, isotope, stereoisomer or tautomer) "
        f"of {of} other {others if of > 1 else 'molecule'}; they are dealt together."
    )


def skeleton(molecule: Chem.Mol) -> str:
    """Return the elements and connections of the fragment with most heavy atoms, as a SMILES of single bonds.

    It joins more than a parent: benzene and cyclohexane, an alcohol and its ketone. So it is no substance, but a net
    to keep out of pretraining whatever might be an evaluated molecule.
    """
    fragments = Chem.GetMolFrags(molecule, asMols=True, sanitizeFrags=False)
    largest = Chem.Mol(max(fragments, key=Chem.Mol.GetNumHeavyAtoms))
    Chem.RemoveStereochemistry(largest)
    return str(rdMolHash.MolHash(largest, rdMolHash.HashFunction.ElementGraph))


def _fragments(molecule: Chem.Mol) -> tuple[Chem.Mol, ...]:
    """Return the fragments of a molecule, without their metals; with them, where a ligand is no molecule without."""
    try:
        return Chem.GetMolFrags(rdMolStandardize.DisconnectOrganometallics(molecule), asMols=True)
    except Chem.MolSanitizeException:  # such as a ring that is aromatic only with what its metal gives it
        return Chem.GetMolFrags(molecule, asMols=True)


def _neutral(fragment: Chem.Mol) -> Chem.Mol:
    """Return a fragment with its charges taken up by hydrogens, as far as they can be, and hydrogen atoms implicit."""
    try:
        return Chem.RemoveHs(_uncharger().uncharge(fragment))
    except Chem.MolSanitizeException:  # such as PF6-, which takes no hydrogen
        return fragment


@cache
def _uncharger() -> rdMolStandardize.Uncharger:
    return rdMolStandardize.Uncharger()


@cache
def _counter_ions() -> frozenset[str]:
    return frozenset(map(Chem.CanonSmiles, COUNTER_IONS))
