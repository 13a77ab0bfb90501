"""Put the models of several targets into one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment) -> Json:
    """Return where the model of each target lies below the recommendation's folder, by its column."""
    assert experiment.recommendation
    targets = experiment.recommendation.targets.items()
    return {"bundles": [[target.column, f"{folder}/{target.dataset}.roftmol"] for folder, target in targets]}


def run(settings: Json, *, folder: Path, out: Path) -> None:
    """Write the bundle."""
    from roftmol.deploy import bundle, panel_bundle

    bundles = {}
    for column, path in settings["bundles"]:
        one = bundle.read(folder / path)
        assert isinstance(one, bundle.Bundle)
        bundles[column] = one
    panel_bundle.write(bundles, out)


STAGE = Stage(run, "train", Code(("roftmol.deploy.panel_bundle",)), settings_from)
