"""Write the page of a recommendation."""

from __future__ import annotations

from pathlib import Path

from roftmol.stages import report
from roftmol.stages.base import Code, Json, Stage


def run(settings: Json, *, tables: Path, verdict: Path, bundle: Path, out: Path, evidence: Path | None = None) -> None:
    """Write the page; that of the first verdict has no page of evidence."""
    from roftmol.report import recommendation

    recommendation.build(tables, verdict, bundle, settings, out, evidence)


STAGE = Stage(run, "report", Code(("roftmol.report.recommendation",)), report.settings_from)
