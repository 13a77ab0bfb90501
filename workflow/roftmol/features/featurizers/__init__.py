"""From a molecule to what an encoder reads, one file a featuriser."""

from __future__ import annotations

from collections.abc import Callable

from rdkit import Chem

from roftmol.features.featurizers import hu, minimol, own
from roftmol.features.featurizers.base import Graph

Featuriser = Callable[[Chem.Mol], Graph]

#: The featurisers by name.
FEATURISERS: dict[str, Featuriser] = {"hu": hu.featurize, "minimol": minimol.featurize}


def featuriser(name: str) -> Featuriser:
    """The featuriser of this name, or that of a user's own file at this path."""
    return FEATURISERS[name] if name in FEATURISERS else own.featuriser(name)


__all__ = ["FEATURISERS", "Featuriser", "Graph", "featuriser"]
