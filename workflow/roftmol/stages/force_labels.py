"""Label a corpus' molecules that are in no dataset with forces; a killed run goes on from its parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, source: str) -> Json:
    """Return `force_labels.StageSettings`."""
    auxiliary = experiment.auxiliary
    return {
        "source": source,
        "molecules": auxiliary.force_molecules,
        "conformers": auxiliary.conformers,
        "displacement": auxiliary.displacement,
        "heavy_atoms": auxiliary.heavy_atoms,
        "elements": list(auxiliary.elements),
        "datasets": list(experiment.datasets),
    }


def run(settings: Json, *, corpus: Path, data: Path, parts: Path, out: Path, processes: int = 1) -> None:
    """Write the table "force_labels"."""
    from roftmol.data import force_labels
    from roftmol.tables import schemas

    parsed = build(force_labels.StageSettings, settings)
    datasets = [schemas.read("molecules", data / name / "molecules.parquet") for name in parsed.datasets]
    molecules = schemas.read("corpora", corpus, ["row", "canonical"])
    schemas.write("force_labels", force_labels.label(molecules, datasets, parsed, parts, processes), out, parsed)


STAGE = Stage(
    run,
    "train",
    Code(("roftmol.data.force_labels",), ("roftmol.data.molecules", "roftmol.features.featurizers.geometry")),
    settings_from,
)
