"""Say of several targets what to take for each, in one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.stages import report
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return the name, the folder and dataset of each target by its column, and what the report tells."""
    of = experiment.recommendation
    assert of
    return {
        "name": of.name,
        "targets": [[target.column, folder, target.dataset] for folder, target in of.targets.items()],
        "learnt": of.learnt.splitlines(),
        "experiment": report.settings_from(experiment),
    }


def run(settings: Json, *, folder: Path) -> None:
    """Write the page and the verdict on all targets into the recommendation's folder."""
    from roftmol.report import overview

    overview.build(settings, folder)


STAGE = Stage(run, "report", Code(("roftmol.report.overview",)), settings_from)
