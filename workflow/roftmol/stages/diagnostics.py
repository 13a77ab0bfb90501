"""Look behind the mean score: shift, activity cliffs, calibration, similarity to the training molecules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return `diagnostics.stage.DiagnosticsSettings`."""
    return {"cliffs": experiment.cliffs}


def run(settings: Json, *, tables: Path, results: Path, out: Path) -> None:
    """Write the tables of the diagnostics."""
    from roftmol.evaluation.diagnostics import stage

    stage.diagnose(build(stage.DiagnosticsSettings, settings), tables, results, out)


STAGE = Stage(run, "report", Code(("roftmol.evaluation.diagnostics.stage",)), settings_from)
