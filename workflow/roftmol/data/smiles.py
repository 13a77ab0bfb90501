"""Is a text one SMILES and nothing else? RDKit reads up to a blank or an odd sign and drops the rest without a word.

Behind a blank may stand ChemAxon's extension, `|...|` (CXSMILES). Every model here reads the graph: elements, bonds,
charges, hydrogens and stereo. An extension that leaves these as they are is allowed, and RDKit reads it: coordinates,
labels and values of atoms, and how a stereocentre is meant. So a racemate, `|&1:...|`, is read as the form that is
drawn, as it is without the extension. One that makes another structure of it, or more than one (radicals, repeating
units, bonds to several places, queries), is refused by its name.
"""

from __future__ import annotations

import re

from rdkit import Chem

_NUMBERS = r"[\d.:]+(?:,[\d.:]+)*"
#: What an extension may hold, up to the next comma: positions, labels and values, properties, stereo, and the cis and
#: trans bonds of rings. The names are ChemAxon's.
_HARMLESS = re.compile(
    rf"""\([^()]*\) | \$[^$]*\$ | r | (?:a|[&o]\d+|c|t|ctu|w[UD]?|lp|f):{_NUMBERS} | atomProp(?::[^:,|]+)+""",
    re.VERBOSE,
)
_SHOWN = 40  # characters of a text in a message


def fault_around(text: str) -> str:
    """Return why a text is not one SMILES, with nothing but a harmless extension behind it; "" if it is.

    Blanks around it count as nothing. Whether what stands there is a molecule, RDKit says.
    """
    smiles, *rest = text.split(maxsplit=1)
    odd = re.search(r"[^!-~]", smiles)
    if odd:
        sign = odd.group()
        shown = f"{sign!r} (U+{ord(sign):04X})" if sign.isprintable() else f"U+{ord(sign):04X}"
        return f"{shown} at character {odd.start() + 1} is no sign of SMILES"
    if not rest:
        return ""
    behind = rest[0].rstrip()
    if len(text.strip().splitlines()) > 1:
        return f"more than one line: {_short(behind)} follows {_short(smiles)}"
    if not re.fullmatch(r"\|[^|]*\|", behind):
        return f"text behind the SMILES {_short(smiles)}: {_short(behind)}"
    return _extension_fault(smiles, behind)


def _extension_fault(smiles: str, extension: str) -> str:
    """Return why an extension cannot be taken; "" for one that leaves the structure as it is."""
    position, content = 0, extension[1:-1]
    while position < len(content):
        item = _HARMLESS.match(content, position)
        if not item or content[item.end() : item.end() + 1] not in ("", ","):
            return f"the extension {_short(content[position:])} of CXSMILES is not read"
        position = item.end() + 1
    plain, extended = Chem.MolFromSmiles(smiles), Chem.MolFromSmiles(f"{smiles} {extension}")
    if plain and (not extended or Chem.MolToSmiles(plain) != Chem.MolToSmiles(extended)):
        return f"the extension {_short(extension)} of CXSMILES does not fit {_short(smiles)}, or changes it"
    return ""


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
