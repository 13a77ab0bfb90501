"""The configuration of a recommendation: an experiment on one file of the user's own, by cross-validation inside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.errors import UserError
from roftmol.experiment.keys import Config, OwnDataset, Recommend
from roftmol.experiment.names import check_names
from roftmol.experiment.registered import check_path
from roftmol.methods import (
    CLASSICAL,
    CONSTANT,
    DEFAULT_METHODS,
    DESCRIPTORS,
    FINGERPRINT,
    HYBRID,
    JOINT_FT,
    METHODS,
    model_of,
)
from roftmol.registry import catalog
from roftmol.registry.catalog import BEST, EMBEDDED
from roftmol.registry.splits import CROSS_VALIDATION, JOINT_CROSS_VALIDATION
from roftmol.tables.predicted_columns import check_together, predicted
from roftmol.tasks import TASKS

if TYPE_CHECKING:
    from roftmol.data.user_file import Columns

#: Keys about a user's own file, which mean nothing without `data`.
ABOUT_DATA = ("smiles", "sheet", "target", "task", "values", "name", "duplicates", "censored", "relations", "units")
#: Folders in that of a recommendation, which no target's is called.
TAKEN = ("data", "evidence", "figures", "first", "provenance", "report", "tables")
#: What is fitted first, in seconds: the heads on frozen encoders, and the references.
FIRST = (HYBRID, CLASSICAL, DESCRIPTORS, FINGERPRINT, CONSTANT)


@dataclass(frozen=True)
class Target:
    """A column of labels that is learnt."""

    column: str
    dataset: str  #: its records' name
    classes: tuple[str, str] | None  #: what 0 and 1 are called, where they are called something else


@dataclass(frozen=True)
class Recommendation:
    """What `snakemake recommend` is to do: the user's file, how to choose, and how to fit in the end."""

    name: str
    path: str
    targets: dict[str, Target]  #: by the folder of each in the recommendation's; one alone has none, "" stands for it
    choose: str
    members: int
    level: float
    learnt: str  #: what is learnt, a line a target
    settle_duplicates: bool  #: whether the user said what to do with contradicting duplicates
    prior: tuple[tuple[str, str], ...]  #: models and methods; the first one that competes is the default
    tuned: tuple[str, ...]  #: the models whose encoder is fine-tuned; () for all

    @property
    def target(self) -> Target:
        """The one target."""
        (target,) = self.targets.values()
        return target

    @property
    def folder(self) -> Path:
        """The folder of results; of one of several targets, its own."""
        return Path("results", "recommendation", self.name, next(iter(self.targets)) if len(self.targets) == 1 else "")

    def about(self, folder: str) -> Recommendation:
        """Return what of it is about the target of a folder."""
        return replace(self, targets={folder: self.targets[folder]})


def recommendation(config: Config) -> tuple[Config, Recommendation | None]:
    """Return the configuration of the experiment that a recommendation is made from, and the recommendation.

    Without a user's own file, the configuration is returned as given, with None. Raises `UserError` for a file that
    cannot be read, and for keys about a file that is not named.
    """
    if config.data is None:
        if alone := [key for key in ABOUT_DATA if getattr(config, key) not in (None, {}, ())]:
            raise UserError(f"{alone[0]}: it is about a file of your own; name that with `data`")
        return config, None
    check_path("data", config.data)
    columns, learnt = _columns(config)
    name = config.name or _name_of(config.data)
    several = len(columns) > 1
    targets = {
        folder: Target(one.target, f"{name}-{folder}" if several else name, one.classes)
        for folder, one in zip(_folders(one.target for one in columns) if several else [""], columns, strict=True)
    }
    datasets = {
        target.dataset: _dataset(config, one, several) for target, one in zip(targets.values(), columns, strict=True)
    }
    options = config.recommend
    by_default = config.methods == DEFAULT_METHODS
    check_names("recommend.methods", options.methods, METHODS)
    # The network from random weights shows what pretraining is worth, which is a question for experiments.
    asked = [name for name in config.methods if name in METHODS and METHODS[name].pretrained]
    competing = list(options.methods) if by_default else asked
    if options.thorough:
        competing = [*asked, *options.methods]
    if several and options.methods == Recommend().methods and by_default:
        competing.append(JOINT_FT)
    models = options.models or (EMBEDDED,)
    experiment = {
        "protocols": ("honest",),
        "models": models,
        "datasets": tuple(datasets),
        "panels": {name: tuple(datasets)} if several else {},
        "splits": ((JOINT_CROSS_VALIDATION if several else CROSS_VALIDATION)[options.split],),
        "budgets": ("all",),
        "seeds": tuple(range(options.resamplings)),
        # The methods are judged by what is put into the bundle: an ensemble, with the hyperparameters whose out-of-fold
        # predictions are best.
        "validation": config.validation.model_copy(update={"scheme": "crossfit", "folds": options.members}),
        "selection": "validation",
        "grids": options.grids,
        "methods": tuple(dict.fromkeys([*FIRST, *competing])),
        "own_datasets": datasets,
        "leave_out_contaminated": (),
        "landscape": False,
    }
    return config.model_copy(update=experiment), Recommendation(
        name=name,
        path=config.data,
        targets=targets,
        choose=options.choose,
        members=options.members,
        level=options.level,
        learnt=learnt,
        settle_duplicates=config.duplicates is not None,
        prior=((models[0], HYBRID), *((model_of(name, ""), name) for name in (CLASSICAL, FINGERPRINT))),
        tuned=tuple(model for model in models if model != BEST) if models == (BEST, EMBEDDED) else (),
    )


def _columns(config: Config) -> tuple[list[Columns], str]:
    """Return what the columns of the user's file are for each target, and what is learnt of it, in lines."""
    from roftmol.data import user_file

    path, sheet = Path(config.data or ""), config.sheet or ""
    said = (config.task, config.values, config.censored, sheet)
    if len(config.target) < 2:
        one = user_file.describe(path, config.smiles, next(iter(config.target), None), *said)
        return [one], str(one)
    columns, labelled = user_file.describe_several(path, config.smiles, config.target, *said)
    measured = [one.target for one in columns if not TASKS[one.task].classes]
    about_one = [key for key in ("relations", "units") if getattr(config, key)]
    if about_one and len(measured) > 1:
        raise UserError(
            f"{about_one[0]}: it is about the labels of one target, and {len(measured)} are measured values; recommend "
            "for one target at a time, or write limits into the labels' cells, as >10, and all labels in one unit"
        )
    check_together(path, ((one.target, predicted(TASKS[one.task].classes, one.classes)) for one in columns))
    count = f"{len(columns)} targets; records with a label of each: {labelled}"
    return columns, "\n".join([*map(str, columns), count])


def _dataset(config: Config, columns: Columns, several: bool) -> OwnDataset:
    """Return the user's file as the dataset of a target; of several, classes have none of the keys of values."""
    of_values = {"censored": config.censored, "relations": config.relations, "units": config.units}
    return OwnDataset.model_validate(
        {
            "path": config.data,
            "smiles": columns.smiles,
            "sheet": config.sheet,
            "labels": [columns.target],
            "task": columns.task,
            "duplicates": config.duplicates or "drop",
            "values": columns.values or None,
            **({} if several and TASKS[columns.task].classes else of_values),
        }
    )


def _folders(columns: Iterable[str]) -> list[str]:
    """Return a folder for each of several targets, from its column's name."""
    folders: list[str] = []
    for column in columns:
        stem = re.sub(r"[^a-z0-9_-]+", "-", column.lower()).strip("-_") or "target"
        names = [stem, *(f"{stem}-{number}" for number in range(2, len(folders) + 3))]
        folders.append(next(name for name in names if name not in (*folders, *TAKEN)))
    return folders


def _name_of(path: str) -> str:
    """Return a name for the results on a file, from the file's own."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", Path(path).name.split(".")[0].lower()).strip("-_") or "data"
    return f"my-{stem}" if stem in catalog.datasets() else stem
