"""Which column of a table holds what, where nobody has said so."""

from __future__ import annotations

from collections.abc import Iterable

from roftmol.core.errors import UserError

#: What columns of SMILES are usually called, in lower case and without what is no letter.
SMILES_NAMES = ("smiles", "canonicalsmiles", "isomericsmiles", "smi", "structure", "mol", "molecule")


def smiles_column(names: Iterable[str], where: str = "the table") -> str:
    """Return the column of SMILES, by its name.

    Raises `UserError` if no name or more than one is a usual one; `where` begins the message.
    """
    names = list(names)
    for usual in SMILES_NAMES:
        usable = [name for name in names if "".join(filter(str.isalpha, name.casefold())) == usual]
        if len(usable) == 1:
            return usable[0]
        if usable:
            raise UserError(f"{where}: {' and '.join(map(repr, usable))} may both hold SMILES; name one with `smiles`.")
    raise UserError(f"{where}: no column is called SMILES; name it with `smiles`. The columns are {listed(names)}.")


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names as a message lists them, at most `most` of them."""
    names = list(names)
    return ", ".join(map(repr, names[:most])) + (", ..." if len(names) > most else "")
