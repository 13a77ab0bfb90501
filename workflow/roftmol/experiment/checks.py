"""What no key says alone: whether names are registered, and whether datasets, models and methods fit together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product

from roftmol.core.errors import UserError
from roftmol.experiment.grids import grid
from roftmol.experiment.keys import Auxiliary, Config
from roftmol.experiment.names import check_names
from roftmol.experiment.panels import check_in_panels, check_panels
from roftmol.experiment.registered import Registered, check_file
from roftmol.methods import (
    ALL_METHODS,
    DEFAULT_METHODS,
    JOINT_FT,
    METHODS,
    Method,
    check_pair,
    head_of,
    of_panels,
    source_of,
    with_sources,
)
from roftmol.registry.catalog import Dataset
from roftmol.registry.splits import SPLITS
from roftmol.scoring.selection import RULES


def check_methods(config: Config) -> None:
    """Raise `UserError` for a method that is not known, and one with another head where a model is recommended."""
    for name in config.methods:
        check_pair("methods", name, METHODS)
    check_names("methods", [name for name in config.methods if name not in ALL_METHODS], METHODS)
    joint = [name for name in config.methods if of_panels(name)]
    if config.data is not None and joint and len(config.target) < 2:
        raise UserError(f"methods: {joint[0]} is for panels, and this recommendation is of one target; leave it out")
    # Those among the defaults nobody has asked for, and a recommendation leaves them out.
    asked = () if config.methods == DEFAULT_METHODS else config.methods
    if config.data is not None and (pairs := [name for name in asked if name not in METHODS]):
        raise UserError(
            f"methods: {pairs[0]} is for experiments, and no model of it is handed out; leave it out, or name "
            f"{ALL_METHODS[pairs[0]].encoder_of} or a head on the frozen encoder"
        )


def check(config: Config, registered: Registered) -> None:
    """Raise `UserError` for a name that is not known, and for what cannot be run together."""
    _check_all_names(config, registered)
    check_panels(config, registered.datasets)
    _check_splits(config, [registered.datasets[name] for name in config.datasets])
    if config.data is not None:
        _check_refitted(config.methods)
        _check_described(config)
        _check_bundled(config.models, registered)
    if not registered.corpora[config.auxiliary.corpus].files:
        raise UserError(
            f"auxiliary.corpus: the molecules of {config.auxiliary.corpus} are not to be had; name a list of their "
            "SMILES in `files`"
        )
    _check_joint(config, registered)
    _check_goes_on(config)
    _check_spatial(config, registered)
    _check_native(config.auxiliary)
    for (method, axes), model in product(config.grids.items(), config.models):
        # A wrong grid is named here, not when its jobs run.
        grid(METHODS[method], registered.checkpoints[model].layers, axes)


def _check_all_names(config: Config, registered: Registered) -> None:
    check_names("datasets", config.datasets, registered.datasets)
    check_names("models", config.models, registered.checkpoints)
    for name in config.grids:
        if name in ALL_METHODS and (method := ALL_METHODS[name].encoder_of):
            head = head_of(ALL_METHODS[name])
            raise UserError(
                f"grids: {name} has the grid of {method}, its head that of {head}; give them by these names"
            )
    check_names("grids", config.grids, METHODS)
    check_names("selection", [config.selection], RULES)
    for model in config.models:
        checkpoint = registered.checkpoints[model]
        check_names(f"checkpoint {model}: corpora", checkpoint.corpora, registered.corpora)
        check_names(f"checkpoint {model}: labelled", checkpoint.labelled, checkpoint.corpora)
        check_names(f"checkpoint {model}: suspected", checkpoint.suspected, registered.datasets)
    check_names("auxiliary.corpus", [config.auxiliary.corpus], registered.corpora)


def _check_splits(config: Config, datasets: Sequence[Dataset]) -> None:
    """Raise `UserError` where a split needs what a dataset does not have."""
    for name in config.splits:
        need = SPLITS[name].need
        if need and (unfit := [dataset.name for dataset in datasets if not need.met_by(dataset)]):
            raise UserError(f"splits: {name} {need.otherwise}: {', '.join(unfit)}")
        if SPLITS[name].official and "honest" in config.protocols and config.validation.scheme != "holdout":
            raise UserError(
                f"validation.scheme: {config.validation.scheme} validates on parts of its own, and the split {name} "
                "brings its validation part for each seed; say holdout, or choose another split"
            )
        if SPLITS[name].together:
            check_in_panels(config, f"splits: {name}")
            if "paper" in config.protocols:
                raise UserError(f"splits: {name} is not among the published ones; leave out protocol paper")
            if SPLITS[name].repeats and config.validation.scheme != "crossfit":
                raise UserError(f"splits: {name} deals folds of a panel as one; set validation.scheme to crossfit")
            if not SPLITS[name].repeats and config.validation.scheme != "holdout":
                raise UserError(f"splits: {name} has a validation part of its own; set validation.scheme to holdout")


def _check_refitted(methods: Iterable[str]) -> None:
    """Raise `UserError` for a method that a recommendation's model, fitted on the user's labels alone, cannot have."""
    if second := [name for name in methods if _has_second_task(METHODS[name])]:
        raise UserError(f"methods: {second[0]} is not for a recommendation, which has no second task; leave it out")
    if further := [name for name in methods if of_panels(name) and not METHODS[name].joint]:
        raise UserError(
            f"methods: {further[0]} goes on from joint weights, and a recommendation has {JOINT_FT} alone; leave it out"
        )


def _check_bundled(models: Iterable[str], registered: Registered) -> None:
    """Raise `UserError` for a model that cannot be handed out: a bundle holds no code of the user's own."""
    if own := [name for name in models if registered.checkpoints[name].code]:
        raise UserError(
            f"recommend.models: {own[0]} is a model of your own, and the file that a recommendation hands out holds no "
            "code; leave it out, or compare it in an experiment (`own_datasets` and `models`)"
        )


def _check_joint(config: Config, registered: Registered) -> None:
    """Raise `UserError` where a joint method meets a dataset without a panel, or a model of atoms in space."""
    joint = [name for name in config.methods if of_panels(name)]
    if not joint:
        return
    check_in_panels(config, f"methods: {joint[0]}")
    if spatial := [name for name in config.models if registered.checkpoints[name].spatial]:
        raise UserError(
            f"methods: {joint[0]} is for models of molecular graphs, and {spatial[0]} reads geometries; leave out one "
            "of the two"
        )


def _check_goes_on(config: Config) -> None:
    """Raise `UserError` where a method goes on with a head that reads descriptors, which it does not."""
    for name in (other for method in config.methods for other in with_sources(method)):
        source, record = source_of(name), ALL_METHODS[name]
        if not source or record.encoder_of or "descriptors" not in METHODS[source].reads:
            continue
        read = [chosen for chosen in config.grids.get(source, {}).get("descriptors", []) if chosen != "none"]
        if read:
            raise UserError(
                f"grids.{source}.descriptors: {name} goes on from {source}'s head and reads no descriptors, and "
                f"{read[0]} has its head read them; say none, or leave out {name}"
            )


def _check_described(config: Config) -> None:
    """Raise `UserError` for other descriptors than RDKit's where a model is handed out, which reads SMILES alone."""
    for name, axes in config.grids.items():
        if name in METHODS and axes.get("descriptors", ["rdkit"]) != ["rdkit"]:
            raise UserError(
                f"recommend.grids.{name}.descriptors: a recommendation reads RDKit's, which its file computes by "
                "itself; leave the line out, or compare others in an experiment (`own_datasets` and `grids`)"
            )


def _check_spatial(config: Config, registered: Registered) -> None:
    """Raise `UserError` where a model of atoms in space meets data without geometry, or a model has no second task."""
    flat = [name for name in config.datasets if not registered.datasets[name].has_geometry]
    second = [name for name in config.methods if _has_second_task(ALL_METHODS[name])]
    for model in config.models:
        checkpoint = registered.checkpoints[model]
        if checkpoint.spatial:
            if flat:
                raise UserError(f"models: {model} reads geometries, and these datasets have none: {', '.join(flat)}")
            if started := [name for name in config.methods if _starts_in_closed_form(ALL_METHODS[name])]:
                raise UserError(
                    f"methods: {started[0]} starts from a linear head on molecules' vectors, and {model} has a head on "
                    "atoms; leave out one of the two"
                )
            if second and config.auxiliary.forces is None:
                raise UserError(f"methods: {second[0]} needs force labels; set auxiliary.forces, for example to gfn2")
        elif second and (checkpoint.code or checkpoint.featurizer != "hu"):
            raise UserError(
                f"methods: {second[0]} goes on masking atoms, and {model} has no mask; leave out one of the two"
            )


def _check_native(auxiliary: Auxiliary) -> None:
    """Raise `UserError` where a user's own force labels are asked for and there is no such file."""
    if auxiliary.forces != "native":
        return
    if auxiliary.native is None:
        raise UserError("auxiliary.forces: native are labels of your own; name their extended XYZ in auxiliary.native")
    check_file("auxiliary.native", auxiliary.native)


def _starts_in_closed_form(method: Method) -> bool:
    """Return whether a method, or the one whose encoder it reads, begins with a linear head on vectors."""
    return (METHODS[method.encoder_of] if method.encoder_of else method).start_head is not None


def _has_second_task(method: Method) -> bool:
    """Return whether a method, or the one whose weights it mixes or whose encoder it reads, has a second task."""
    method = METHODS[method.encoder_of] if method.encoder_of else method
    trained = METHODS[method.mixing.source] if method.mixing else method
    return trained.alternation is not None
