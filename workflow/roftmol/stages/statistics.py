"""Say what differs, by how much and how surely: comparisons, mean ranks, pairs."""

from __future__ import annotations

from pathlib import Path

from roftmol.stages.base import Code, Stage


def run(*, tables: Path, out: Path) -> None:
    """Write the tables of the statistics."""
    from roftmol.statistics import stage

    stage.build(tables, out)


STAGE = Stage(run, "report", Code(("roftmol.statistics.stage",)))
