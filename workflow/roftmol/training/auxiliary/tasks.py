"""From a table on disk to the second task of a job, and to what a force field is measured on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from roftmol.core.errors import UserError
from roftmol.encoders.base import Encoder, Spatial
from roftmol.features import featurize
from roftmol.features.featurizers import geometry
from roftmol.tables import schemas
from roftmol.training.auxiliary.base import AuxiliaryTask
from roftmol.training.auxiliary.force_field import ForceField, Labels, Probe, aligned, labelled_by
from roftmol.training.auxiliary.pretraining import OBJECTIVES, Pretraining

#: What a force field learns: GFN2-xTB's labels, the frozen pretrained model's own, or those of a user's file.
FORCE_SOURCES = ("gfn2", "self", "native")
SOURCES = (*FORCE_SOURCES, *OBJECTIVES)
#: The share of the labelled molecules, from the last, that nothing learns from: the force field is measured there.
HELD_OUT = 0.1


@dataclass(frozen=True, eq=False)
class AuxiliaryData:
    """A second task, and what an atomistic model's force field is measured on; None where there is none."""

    task: AuxiliaryTask | None = None
    probe: Probe | None = None


def read(path: Path | None, source: str, encoder: Encoder, batch_size: int) -> AuxiliaryData:
    """Return the second task of `source` for copies of `encoder`, from the table at `path`; nothing without a path.

    Raises `UserError` if the source is not one for such an encoder, or the table has too few molecules.
    """
    if path is None:
        return AuxiliaryData()
    sources = FORCE_SOURCES if isinstance(encoder, Spatial) else tuple(OBJECTIVES)
    if source and source not in sources:
        raise UserError(f"auxiliary source {source!r} is not for this model; choose one of {', '.join(sources)}")
    if not isinstance(encoder, Spatial):
        smiles = schemas.read("pretraining", path)["smiles"].tolist()
        return AuxiliaryData(
            Pretraining.prepared(OBJECTIVES[source](), smiles, encoder, batch_size) if source else None
        )
    table = schemas.read("force_labels", path)
    table = table[table["status"] == "ok"]
    _check_elements(path, table)
    molecules = table["inchikey"].unique()
    if len(molecules) < 2:
        raise UserError(f"{path}: it has the labels of {len(molecules)} molecules; at least two are needed")
    last = table["inchikey"].isin(molecules[-max(1, round(HELD_OUT * len(molecules))) :])
    learnt = labels_of(table[~last])
    held_out = labels_of(table[last])
    probe = Probe(held_out, labelled_by(encoder, held_out.conformers))
    if not source:
        return AuxiliaryData(probe=probe)
    pretrained = labelled_by(encoder, learnt.conformers)
    return AuxiliaryData(ForceField(pretrained if source == "self" else aligned(learnt, pretrained)), probe)


def _check_elements(path: Path, table: pd.DataFrame) -> None:
    """Raise `UserError` for labels of an element that not all models were trained on: they give numbers for any."""
    for smiles, numbers in zip(table["smiles"], table["numbers"], strict=True):
        if unsupported := geometry.unsupported(numbers.tolist()):
            raise UserError(
                f"{path}: {smiles!r} has {unsupported}; models of atoms in space are given {geometry.SYMBOLS} here; "
                "leave other elements out of auxiliary.elements"
            )


def labels_of(table: pd.DataFrame) -> Labels:
    """Return the conformers, energies and forces of table "force_labels"."""
    numbers = [np.asarray(row) for row in table["numbers"]]
    positions = [np.asarray(row).reshape(-1, 3) for row in table["positions"]]
    conformers = featurize.from_conformers(numbers, positions, np.empty((len(table), 0), np.float32))
    forces = np.concatenate([np.asarray(row, np.float32).reshape(-1, 3) for row in table["forces"]])
    return Labels(conformers, table["energy"].to_numpy(np.float64), forces)
