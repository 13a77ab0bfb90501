"""What the names of a table's columns say, where nobody has said which holds what."""

from __future__ import annotations

import re
from collections.abc import Iterable

from roftmol.core.errors import UserError

#: What columns of SMILES are usually called, in lower case and without what is no letter.
SMILES_NAMES = ("smiles", "canonicalsmiles", "isomericsmiles", "smi", "structure", "mol", "molecule", "drug")
#: The most words of a name in which one may be SMILES, as in "Structure (SMILES)"; a text of more is a title or a note.
SMILES_WORDS = 3
#: What columns are called that number, identify, date or group records, or describe molecules: whole names in lower
#: case without what is no letter, and words that say it wherever they stand in a name.
NO_LABELS = frozenset(
    [
        "no",
        "nr",
        "num",
        "number",
        "cas",
        "casno",
        "casnumber",
        "casrn",
        "row",
        "rownumber",
        "line",
        "record",
        "entry",
        "sample",
        "compound",
        "cpd",
        "cmpd",
        "page",
        "order",
        "rank",
        "count",
        "plate",
        "well",
        "lot",
        "set",
        "split",
        "group",
        "cluster",
        "replicate",
        "atoms",
        "atomcount",
        "natoms",
        "numatoms",
        "numberofatoms",
        "heavyatoms",
        "heavyatomcount",
        "nheavyatoms",
        "numheavyatoms",
        "numberofheavyatoms",
        "molwt",
        "molweight",
        "molecularweight",
        "molarmass",
        "mass",
        "exactmass",
        "monoisotopicmass",
        "hba",
        "hbd",
        "tpsa",
        "psa",
        "rings",
        "ringcount",
        "nrings",
        "numrings",
        "rotatablebonds",
        "nrotb",
        "charge",
        "formalcharge",
    ]
)
NO_LABEL_WORDS = frozenset(
    [
        "id",
        "ids",
        "cid",
        "sid",
        "uid",
        "idx",
        "index",
        "year",
        "date",
        "batch",
        "fold",
        "mw",
        "mwt",
        "pmid",
        "doi",
        "registry",
        "barcode",
        "identifier",
    ]
)
#: A header stands within so many records.
HEADER_WITHIN = 10
UNNAMED = re.compile(r"(Unnamed: \d+)?")


def smiles_column(names: Iterable[str], where: str = "the table", key: str = "smiles") -> str:
    """Return the column of SMILES, by its name.

    Raises `UserError` if no name or more than one is a usual one; `where` begins the message, `key` is what names the
    column there.
    """
    names = list(names)
    for usable in [
        *([name for name in names if _letters(name) == usual] for usual in SMILES_NAMES),
        [name for name in names if _mentions_smiles(name)],
    ]:
        if len(usable) == 1:
            return usable[0]
        if usable:
            raise UserError(f"{where}: {' and '.join(map(repr, usable))} may both hold SMILES; name one with `{key}`.")
    raise UserError(f"{where}: no column is called SMILES; name it with `{key}`. The columns are {listed(names)}.")


def is_smiles_name(name: str) -> bool:
    """Return whether a column has a usual name of SMILES, whatever its capitals, signs and digits, or mentions them."""
    return _letters(name) in SMILES_NAMES or _mentions_smiles(name)


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.casefold()))


def _mentions_smiles(name: str) -> bool:
    if not re.fullmatch(r"[\w\s()\[\]./-]+", name):  # such as cells that another separator would part
        return False
    words = re.findall(r"[^\W\d_]+", name.casefold())
    return "smiles" in words and len(words) <= SMILES_WORDS


def is_unnamed(name: str) -> bool:
    """Return whether a column has no name, or the one that pandas gives it then: usually it numbers the rows."""
    return UNNAMED.fullmatch(name) is not None


def is_no_label(name: str) -> bool:
    """Return whether a column, by its name, identifies records or describes molecules, so that nobody learns it."""
    before_unit = re.split(r"[(\[]", name)[0]
    letters = _letters(before_unit)
    # Capitals begin words too: CompoundID, PubChemCID.
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", before_unit)
    return not letters or letters in NO_LABELS or any(word.casefold() in NO_LABEL_WORDS for word in words)


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names as a message lists them, at most `most` of them."""
    names = list(names)
    return ", ".join(map(repr, names[:most])) + (", ..." if len(names) > most else "")
