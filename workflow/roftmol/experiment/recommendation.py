"""The configuration of a recommendation: an experiment on one file of the user's own, by cross-validation inside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.experiment.keys import Config, OwnDataset
from roftmol.experiment.names import check_names
from roftmol.experiment.registered import check_path
from roftmol.methods import CLASSICAL, CONSTANT, DEFAULT_METHODS, DESCRIPTORS, FINGERPRINT, HYBRID, METHODS, model_of
from roftmol.registry import catalog
from roftmol.registry.catalog import BEST, EMBEDDED
from roftmol.registry.splits import CROSS_VALIDATION

#: Keys about a user's own file, which mean nothing without `data`.
ABOUT_DATA = ("smiles", "sheet", "target", "task", "values", "name", "duplicates", "censored", "relations", "units")
#: What is fitted first, in seconds: the heads on frozen encoders, and the references.
FIRST = (HYBRID, CLASSICAL, DESCRIPTORS, FINGERPRINT, CONSTANT)


@dataclass(frozen=True)
class Recommendation:
    """What `snakemake recommend` is to do: the user's file, how to choose, and how to fit in the end."""

    name: str
    path: str
    target: str
    choose: str
    members: int
    level: float
    learnt: str  #: what is learnt, in a line
    classes: tuple[str, str] | None  #: what 0 and 1 are called, where they are called something else
    settle_duplicates: bool  #: whether the user said what to do with contradicting duplicates
    prior: tuple[tuple[str, str], ...]  #: models and methods; the first one that competes is the default
    tuned: tuple[str, ...]  #: the models whose encoder is fine-tuned; () for all


def recommendation(config: Config) -> tuple[Config, Recommendation | None]:
    """Return the configuration of the experiment that a recommendation is made from, and the recommendation.

    Without a user's own file, the configuration is returned as given, with None. Raises `UserError` for a file that
    cannot be read, and for keys about a file that is not named.
    """
    if config.data is None:
        if alone := [key for key in ABOUT_DATA if getattr(config, key) not in (None, {})]:
            raise UserError(f"{alone[0]}: it is about a file of your own; name that with `data`")
        return config, None
    from roftmol.data import user_file

    check_path("data", config.data)
    columns = user_file.describe(
        Path(config.data),
        config.smiles,
        config.target,
        config.task,
        config.values,
        config.censored,
        config.sheet or "",
    )
    name = config.name or _name_of(config.data)
    options = config.recommend
    dataset = OwnDataset.model_validate(
        {
            "path": config.data,
            "smiles": columns.smiles,
            "sheet": config.sheet,
            "labels": [columns.target],
            "task": columns.task,
            "duplicates": config.duplicates or "drop",
            "censored": config.censored,
            "relations": config.relations,
            "units": config.units,
            "values": config.values,
        }
    )
    by_default = config.methods == DEFAULT_METHODS
    check_names("recommend.methods", options.methods, METHODS)
    # The network from random weights shows what pretraining is worth, which is a question for experiments.
    asked = [name for name in config.methods if name in METHODS and METHODS[name].pretrained]
    competing = list(options.methods) if by_default else asked
    if options.thorough:
        competing = [*asked, *options.methods]
    models = options.models or (EMBEDDED,)
    experiment = {
        "protocols": ("honest",),
        "models": models,
        "datasets": (name,),
        "splits": (CROSS_VALIDATION[options.split],),
        "budgets": ("all",),
        "seeds": tuple(range(options.resamplings)),
        # The methods are judged by what is put into the bundle: an ensemble, with the hyperparameters whose out-of-fold
        # predictions are best.
        "validation": config.validation.model_copy(update={"scheme": "crossfit", "folds": options.members}),
        "selection": "validation",
        "grids": options.grids,
        "methods": tuple(dict.fromkeys([*FIRST, *competing])),
        "own_datasets": {name: dataset},
        "leave_out_contaminated": (),
        "landscape": False,
    }
    return config.model_copy(update=experiment), Recommendation(
        name=name,
        path=config.data,
        target=columns.target,
        choose=options.choose,
        members=options.members,
        level=options.level,
        learnt=str(columns),
        classes=columns.classes,
        settle_duplicates=config.duplicates is not None,
        prior=((models[0], HYBRID), *((model_of(name, ""), name) for name in (CLASSICAL, FINGERPRINT))),
        tuned=tuple(model for model in models if model != BEST) if models == (BEST, EMBEDDED) else (),
    )


def _name_of(path: str) -> str:
    """Return a name for the results on a file, from the file's own."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", Path(path).name.split(".")[0].lower()).strip("-_") or "data"
    return f"my-{stem}" if stem in catalog.datasets() else stem
