"""Bring the files of a pretraining corpus and read their molecules."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, corpus: str) -> Json:
    """Return where the corpus' files are and how they are read."""
    return replace(experiment.corpora[corpus], title="", citation="", licence="", note="").to_dict()


def run(settings: Json, *, archives: Path, out: Path, processes: int = 1) -> None:
    """Write the table "corpora"."""
    from roftmol.data import corpora
    from roftmol.data.download import fetch, mirror
    from roftmol.registry.catalog import Corpus
    from roftmol.tables import schemas

    entry = Corpus.from_dict(settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=".fetch-") as scratch:
        paths = [Path(scratch) / str(number) for number in range(len(entry.files))]
        for path, sources in zip(paths, entry.files, strict=True):
            used = fetch(sources, path, mirror=mirror(), name=entry.name, archives=archives)
            print(f"{entry.name}: from {used}", file=sys.stderr)
        schemas.write("corpora", corpora.read(paths, entry, processes), out, settings)


STAGE = Stage(run, "data", Code(("roftmol.data.corpora",)), settings_from)
