"""The settings that stages get of an experiment."""

from __future__ import annotations

from typing import Any

from roftmol.core.records import without_defaults
from roftmol.experiment.config import Experiment
from roftmol.stages import STAGES


def settings_for(stage: str, experiment: Experiment | None, *wildcards: str, **named: str) -> dict[str, Any]:
    """The settings of a stage's job, by the wildcards of its rule."""
    ask = STAGES[stage].settings
    assert ask is not None
    settings: dict[str, Any] = without_defaults(ask(experiment, *wildcards, **named))
    return settings
