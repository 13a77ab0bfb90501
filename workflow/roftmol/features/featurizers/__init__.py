"""From a molecule to what an encoder reads, one file a featurizer. Adding one is adding its file and its line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from rdkit import Chem

from roftmol.features.featurizers import own
from roftmol.features.featurizers.base import Graph

Featurizer = Callable[[Chem.Mol], Graph]

#: The file of each featurizer of molecules, imported when it is asked for; that of geometries is `geometry.py`.
FEATURIZERS = {
    "hu": "roftmol.features.featurizers.hu",
    "minimol": "roftmol.features.featurizers.minimol",
}


def featurizer(name: str) -> Featurizer:
    """Return the featurizer of this name, or that of a user's own file at this path."""
    if name not in FEATURIZERS:
        return own.featurizer(name)
    found: Featurizer = import_module(FEATURIZERS[name]).featurize
    return found
