"""Which columns hold SMILES, where no name says so: RDKit is asked about their first cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rdkit import rdBase

from roftmol.data import molecules

#: So many cells of a column are tried.
TRIED = 50
#: What is said behind a column that was taken for its cells.
WHY = " (no column is called SMILES, and it is the only one that holds some)"


def is_one(text: str) -> bool:
    """Return whether a cell is the SMILES of a molecule, as a whole."""
    with rdBase.BlockLogs():
        return not isinstance(molecules.readable(text), molecules.Reject)


def columns_of(columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names of the columns whose first cells are SMILES, one of more than two characters among them."""
    return [name for name, cells in columns.items() if _hold(cells)]


def _hold(cells: Sequence[str]) -> bool:
    given = [text for text in cells if text]
    return any(len(text) > 2 for text in given) and all(map(is_one, given))
