"""Write the report: one page, from tables and figures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.registry import catalog
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return what the report tells of the experiment beside its tables."""
    corpora = dict.fromkeys(name for checkpoint in experiment.checkpoints.values() for name in checkpoint.corpora)
    return {
        **{key: list(values) for key, values in asdict(experiment.cells).items()},
        **catalog.about(
            experiment.datasets, experiment.checkpoints, {name: experiment.corpora[name] for name in corpora}
        ),
        "seeds": list(experiment.seeds),
        "training": experiment.training.model_dump(),
        "validation": experiment.validation.model_dump(),
        "grids": experiment.grids,
        "leave_out_contaminated": list(experiment.leave_out_contaminated),
        "landscape": experiment.landscape,
        "tsne": experiment.tsne,
        "max_rejected": experiment.max_rejected,
        "device": experiment.device,
    }


def run(settings: Json, *, tables: Path, figures: Path, out: Path, recommendation: Path | None = None) -> None:
    """Write the page."""
    from roftmol import report

    report.build(tables, figures, settings, out, recommendation)


STAGE = Stage(run, "report", Code(("roftmol.report",)), settings_from)
