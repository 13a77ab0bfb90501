"""Write the page of a recommendation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.stages import report
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def run(settings: Json, *, tables: Path, verdict: Path, bundle: Path, out: Path, evidence: Path | None = None) -> None:
    """Write the page; that of the first verdict has no page of evidence."""
    from roftmol.report import recommendation

    recommendation.build(tables, verdict, bundle, settings, out, evidence)


def settings_from(experiment: Experiment, first: str = "") -> Json:
    """Return what the report tells of the experiment."""
    return report.settings_from(experiment)


STAGE = Stage(run, "report", Code(("roftmol.report.recommendation",)), settings_from)
