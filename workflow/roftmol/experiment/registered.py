"""All that a configuration can name: the registry, and the user's own datasets, models and files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.experiment.keys import Config, OwnDataset, OwnModel
from roftmol.experiment.names import check_names
from roftmol.methods import WITHOUT_ENCODER
from roftmol.registry import catalog
from roftmol.registry.catalog import Checkpoint, Corpus, Dataset, Source
from roftmol.registry.encoder_kinds import ENCODER_KINDS
from roftmol.registry.hub import hub_file, is_on_hub


@dataclass(frozen=True)
class Registered:
    """Datasets, checkpoints and corpora by name."""

    datasets: dict[str, Dataset]
    checkpoints: dict[str, Checkpoint]
    corpora: dict[str, Corpus]


def registered(config: Config) -> Registered:
    """Return all that is registered and all that is the user's own, with the user's files as first sources.

    Raises `UserError` for a name that is taken or unknown, and for a missing file.
    """
    datasets, checkpoints, corpora = catalog.datasets(), catalog.checkpoints(), catalog.corpora()
    for name in config.own_datasets:
        if name in datasets:
            raise UserError(f"own_datasets: {name!r} is a registered dataset; choose another name")
    # A model's name is also that of its folder of runs and, for an own model, of its graphs.
    taken = {*checkpoints, *(checkpoint.featurizer for checkpoint in checkpoints.values())}
    taken.update(WITHOUT_ENCODER.values())
    for name in config.own_models:
        if name in taken:
            raise UserError(f"own_models: {name!r} is taken by a registered model or featurizer; choose another name")
    check_names("files", config.files, [*datasets, *checkpoints, *corpora])
    weights = {f"own_models.{name}.weights" for name in config.own_models} | {f"files.{name}" for name in checkpoints}
    for key, path in _paths(config).items():
        if key in weights and is_on_hub(path):
            hub_file(path, key)
        else:
            check_file(key, path)
    datasets |= {name: _dataset(name, entry) for name, entry in config.own_datasets.items()}
    checkpoints |= {name: _checkpoint(name, entry) for name, entry in config.own_models.items()}
    for name, path in config.files.items():
        here = Source(kind=_kind(path), file=path)
        if name in datasets:
            datasets[name] = replace(datasets[name], sources=(here, *datasets[name].sources))
        if name in checkpoints:
            checkpoints[name] = replace(checkpoints[name], sources=(here, *checkpoints[name].sources))
        if name in corpora:
            # One file of the user's own holds the corpus whole, in however many files it is published.
            corpora[name] = replace(corpora[name], files=((here,),))
    return Registered(datasets, checkpoints, corpora)


def check_file(key: str, path: str) -> None:
    """Raise `UserError` for a path without a file, or with characters that mean something to Snakemake."""
    if is_on_hub(path):
        raise UserError(f"{key}: {path!r} is on the hub, from where only weights of models are read; name a file here")
    check_path(key, path)
    if not Path(path).is_file():
        raise UserError(f"{key}: there is no file {path!r} (from {Path.cwd()})")


def check_path(key: str, path: str) -> None:
    """Raise `UserError` for a path with a character that means something to Snakemake, in any rule."""
    if special := [character for character in "{}<>*?" if character in path]:
        raise UserError(f"{key}: {path!r} has a {special[0]!r} in its name; rename the file")


def _paths(config: Config) -> dict[str, str]:
    """Return every file of the user's own, here or on the hub, by the key that names it."""
    paths = {f"own_datasets.{name}.path": entry.path for name, entry in config.own_datasets.items()}
    for name, entry in config.own_models.items():
        paths[f"own_models.{name}.code"] = entry.code
        paths[f"own_models.{name}.weights"] = entry.weights
    return paths | {f"files.{name}": path for name, path in config.files.items()}


def _dataset(name: str, entry: OwnDataset) -> Dataset:
    """Return a user's own file as a dataset like any other."""
    return Dataset.from_dict({"name": name, **entry.model_dump(exclude_none=True)})


def _checkpoint(name: str, entry: OwnModel) -> Checkpoint:
    """Return a user's own model as a checkpoint like any other."""
    values = entry.model_dump()
    architecture = {"kind": "own", **{key: values.pop(key) for key in ENCODER_KINDS["own"].keys}}
    weights, checksum = values.pop("weights"), values.pop("sha256")
    source = {"kind": _kind(weights), "file": weights, "sha256": checksum or ""}
    return Checkpoint.from_dict({"name": name, "sources": [source], "architecture": architecture, **values})


def _kind(place: str) -> str:
    return "hub" if is_on_hub(place) else "path"
