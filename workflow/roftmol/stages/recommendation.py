"""Write the page of a recommendation."""

from __future__ import annotations

from pathlib import Path

from roftmol.stages import report
from roftmol.stages.base import Code, Json, Stage


def run(settings: Json, *, tables: Path, verdict: Path, bundle: Path, out: Path) -> None:
    """Write the page."""
    from roftmol.report import recommendation

    recommendation.build(tables, verdict, bundle, settings, out)


STAGE = Stage(run, "report", Code(("roftmol.report.recommendation",)), report.settings_from)
