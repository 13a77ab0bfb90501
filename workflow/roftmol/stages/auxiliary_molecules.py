"""Take molecules of a corpus that are in none of the datasets: what a second task learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


@dataclass(frozen=True)
class Settings:
    """Which corpus, how many of its molecules, and the datasets whose molecules are left out."""

    corpus: str
    molecules: int
    datasets: tuple[str, ...]


def settings_from(experiment: Experiment) -> Json:
    """Return which corpus, how many molecules, and the datasets of the experiment."""
    auxiliary = experiment.auxiliary
    return {
        "corpus": auxiliary.corpus,
        "molecules": auxiliary.molecules,
        "datasets": list(experiment.datasets),
    }


def run(settings: Json, *, corpus: Path, data: Path, out: Path) -> None:
    """Write the table "pretraining"."""
    from roftmol.data import corpora
    from roftmol.tables import schemas

    parsed = build(Settings, settings)
    tables = [schemas.read("molecules", data / name / "molecules.parquet") for name in parsed.datasets]
    others = corpora.others(schemas.read("corpora", corpus), tables, parsed.molecules)
    schemas.write("pretraining", others, out, parsed)


STAGE = Stage(run, "data", Code(("roftmol.data.corpora",)), settings_from)
