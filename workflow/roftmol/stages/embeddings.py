"""Put atoms' vectors before and after each fit on a plane, by t-SNE."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return `atom_embeddings.EmbeddingsSettings`."""
    return {"cells": asdict(experiment.cells), "pictures": experiment.tsne}


def run(settings: Json, *, tables: Path, results: Path, out: Path) -> None:
    """Write the tables "embeddings" and "tsne"."""
    from roftmol.evaluation import atom_embeddings

    parsed = build(atom_embeddings.EmbeddingsSettings, settings)
    runs = parsed.cells.runs(results) if parsed.pictures else []
    atom_embeddings.embed(runs, tables, out, parsed)


STAGE = Stage(run, "train", Code(("roftmol.evaluation.atom_embeddings",)), settings_from)
