"""Draw the figures from the tables."""

from __future__ import annotations

from pathlib import Path

from roftmol.stages.base import Code, Stage


def run(*, tables: Path, out: Path) -> None:
    """Write the figures and their manifest."""
    from roftmol import figures

    figures.draw(tables, out)


STAGE = Stage(run, "report", Code(("roftmol.figures",)))
