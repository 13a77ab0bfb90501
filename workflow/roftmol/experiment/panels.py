"""Panels of a configuration: datasets that share an encoder, named together."""

from __future__ import annotations

from collections.abc import Mapping

from roftmol.core.errors import UserError
from roftmol.experiment.keys import Config


def spelt_out(config: Config) -> Config:
    """Return the configuration with each panel's datasets in its place among `datasets`, each once."""
    datasets = (member for name in config.datasets for member in config.panels.get(name, (name,)))
    return config.model_copy(update={"datasets": tuple(dict.fromkeys(datasets))})


def panels(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the datasets of each panel by its name, sorted, so that the order of a configuration changes nothing."""
    return {name: tuple(sorted(members)) for name, members in config.panels.items()}


def check_panels(config: Config, registered: Mapping[str, object]) -> None:
    """Raise `UserError` where a panel has a dataset's name, a dataset that is not run, or one that another panel has.

    `config` is spelt out; `registered` has every dataset's name.
    """
    panel_of: dict[str, str] = {}
    for name, members in config.panels.items():
        if name in registered:
            raise UserError(f"panels: {name!r} is the name of a dataset; choose another one for the panel")
        for dataset in members:
            if dataset in panel_of:
                raise UserError(
                    f"panels: {dataset} is in {panel_of[dataset]} and in {name}; a dataset is in one panel of an "
                    "experiment. Run the other panel with another results folder (--directory)"
                )
            panel_of[dataset] = name
            if dataset not in config.datasets:
                raise UserError(
                    f"panels.{name}: {dataset} is not among the datasets that are run; add it, or the panel's name, to "
                    "`datasets`"
                )


def check_in_panels(config: Config, asks: str) -> None:
    """Raise `UserError`, which begins with who asks, where a dataset is in no panel."""
    members = {dataset for panel in config.panels.values() for dataset in panel}
    if alone := [dataset for dataset in config.datasets if dataset not in members]:
        raise UserError(f"{asks} is for panels, and these datasets are in none: {', '.join(alone)}; see `panels`")
