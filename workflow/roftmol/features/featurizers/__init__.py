"""From a molecule to what an encoder reads, one file a featurizer. Adding one is adding its file and its line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from rdkit import Chem

from roftmol.features.featurizers import own
from roftmol.features.featurizers.base import Graph

Featurizer = Callable[[Chem.Mol], Graph]

#: The featurizers of molecules, each the name of its file, imported when it is asked for; `geometry.py` is another's.
FEATURIZERS = ("hu", "minimol", "chemprop")


def featurizer(name: str) -> Featurizer:
    """Return the featurizer of this name, or that of a user's own file at this path."""
    if name not in FEATURIZERS:
        return own.featurizer(name)
    featurize: Featurizer = import_module(f"roftmol.features.featurizers.{name}").featurize
    return featurize
