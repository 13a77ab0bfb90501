"""Keep what models are evaluated on out of what they are pretrained on.

Two molecules are one here if their skeletons are (`data/parents.py`): elements and connections of the heavy atoms of
the largest fragment, whatever the bond orders, charges, hydrogens and stereo. So salts, charged forms, tautomers and
stereoisomers of an evaluated molecule are kept out, and with them some that differ in their bond orders alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import pandas as pd
from rdkit import Chem, rdBase

from roftmol.core.parallel import by_chunk
from roftmol.core.seeds import seed_of
from roftmol.data.corpora import CHUNK
from roftmol.data.parents import skeleton

#: Heavy atoms of what is learnt from: a graph needs a bond, and very large molecules cost more than they teach.
SIZES = range(2, 101)
#: Bonds that the graphs of Hu et al. have a kind for (`features/featurizers/hu.py`).
BONDS = {Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC}


def apart(
    corpora: Mapping[str, pd.DataFrame], evaluated: Sequence[str], at_most: Mapping[str, int], processes: int = 1
) -> list[str]:
    """Return the canonical SMILES of corpora (tables "corpora") that share no skeleton with the evaluated molecules.

    Of a corpus that `at_most` names, so many. Molecules stand in the order of a hash of their SMILES, which also says
    which ones are taken: so the first n of them are a random sample, and a larger number keeps those of a smaller one.
    """
    taken = {skeleton for skeleton, _ in _all(evaluated, processes)}
    chosen: set[str] = set()
    for name, table in corpora.items():
        texts = sorted(set(table["canonical"]), key=_hash)
        pairs = zip(texts, _all(texts, processes), strict=True)
        free = [text for text, (skeleton, size) in pairs if size in SIZES and skeleton not in taken]
        chosen.update(free[: at_most.get(name)])
    return sorted(chosen, key=_hash)


def _hash(smiles: str) -> int:
    return seed_of("distillation", smiles)


def _all(smiles: Sequence[str], processes: int) -> list[tuple[str, int]]:
    return list(chain.from_iterable(by_chunk(_skeletons, smiles, CHUNK, processes)))


def _skeletons(smiles: Sequence[str]) -> list[tuple[str, int]]:
    """Return skeletons, and the molecules' heavy atoms.

    ("", 0) for what cannot be read, has no bond, or one that graphs have no kind for, such as to a metal.
    """
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(text) for text in smiles]
        return [
            (skeleton(molecule), molecule.GetNumHeavyAtoms()) if molecule and _bonded(molecule) else ("", 0)
            for molecule in molecules
        ]


def _bonded(molecule: Chem.Mol) -> bool:
    kinds = {bond.GetBondType() for bond in molecule.GetBonds()}
    return bool(kinds) and kinds <= BONDS
