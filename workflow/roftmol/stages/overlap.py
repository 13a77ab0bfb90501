"""List a dataset's molecules that are in a pretraining corpus."""

from __future__ import annotations

from pathlib import Path

from roftmol.stages.base import Code, Stage


def run(*, molecules: Path, corpus: Path, out: Path) -> None:
    """Write the table "hits"."""
    from roftmol.data import overlap
    from roftmol.tables import schemas

    schemas.write("hits", overlap.find(molecules, corpus), out)


STAGE = Stage(run, "data", Code(("roftmol.data.overlap",)))
