"""Compute RDKit's descriptors of a dataset's molecules."""

from __future__ import annotations

from pathlib import Path

from roftmol.stages.base import Code, Stage


def run(*, molecules: Path, out: Path, processes: int = 1) -> None:
    """Write the descriptors, a row a molecule."""
    from roftmol.features import array_file, descriptors
    from roftmol.tables import schemas

    smiles = schemas.read("molecules", molecules)["smiles"].tolist()
    array_file.save("descriptors", descriptors.descriptors(smiles, processes), descriptors.MADE, out)


STAGE = Stage(run, "train", Code(("roftmol.features.descriptors",)))
