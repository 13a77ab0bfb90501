"""Panels of a configuration: datasets that share an encoder, named together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from roftmol.core.errors import UserError
from roftmol.experiment.keys import Config
from roftmol.registry.catalog import Dataset


def spelt_out(config: Config) -> Config:
    """Return the configuration with each panel's datasets in its place among `datasets`, each once."""
    datasets = (member for name in config.datasets for member in config.panels.get(name, (name,)))
    return config.model_copy(update={"datasets": tuple(dict.fromkeys(datasets))})


def panels(config: Config) -> dict[str, tuple[str, ...]]:
    """Return the datasets of each panel by its name, sorted, so that the order of a configuration changes nothing."""
    return {name: tuple(sorted(members)) for name, members in config.panels.items()}


def check_panels(config: Config, registered: Mapping[str, Dataset]) -> None:
    """Raise `UserError` where a panel has a dataset's name, one that is not run, or one that is in a panel already.

    `config` is spelt out; `registered` has every dataset.
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
        _check_once(name, [registered[dataset] for dataset in members])


def _check_once(panel: str, members: Sequence[Dataset]) -> None:
    """Raise `UserError` where two datasets of a panel are one label column of one file."""
    for one, other in combinations(members, 2):
        if one.own_file is None or other.own_file is None:
            continue
        same = one.own_file.resolve() == other.own_file.resolve() and one.sheet == other.sheet
        if same and (column := _common_label(one, other)):
            raise UserError(
                f"panels.{panel}: {one.name} and {other.name} are {column} of the same file, {one.own_file}; leave out "
                "one of the two"
            )


def _common_label(one: Dataset, other: Dataset) -> str:
    """Return what two datasets of one file both take for labels, in words; "" where that is nothing."""
    if "*" in (*one.labels, *other.labels):
        return "label columns"
    return next((f"the label column {name!r}" for name in one.labels if name in other.labels), "")


def check_in_panels(config: Config, asks: str) -> None:
    """Raise `UserError`, which begins with who asks, where a dataset is in no panel."""
    members = {dataset for panel in config.panels.values() for dataset in panel}
    if alone := [dataset for dataset in config.datasets if dataset not in members]:
        raise UserError(f"{asks} is for panels, and these datasets are in none: {', '.join(alone)}; see `panels`")
