"""The configuration of a recommendation: an experiment on one file of the user's own, by cross-validation inside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.experiment.keys import Config, OwnDataset
from roftmol.experiment.names import check_names
from roftmol.experiment.registered import check_path
from roftmol.methods import CONSTANT, METHODS
from roftmol.registry import catalog
from roftmol.registry.splits import CROSS_VALIDATION

#: Keys about a user's own file, which mean nothing without `data`.
ABOUT_DATA = ("smiles", "target", "task", "name", "duplicates")


@dataclass(frozen=True)
class Recommendation:
    """What `snakemake recommend` was asked for: the user's file, and how to choose and to fit in the end."""

    name: str
    path: str
    target: str
    choose: str
    members: int
    level: float
    settle_duplicates: bool  #: whether the user said what becomes of contradicting duplicates


def recommendation(config: Config) -> tuple[Config, Recommendation | None]:
    """Return the configuration of the experiment that a recommendation is made from, and what is asked of it.

    Without a file of the user's own it is the configuration as given. Raises `UserError` for a file that cannot be
    read, and for keys about a file that is not named.
    """
    if config.data is None:
        if alone := [key for key in ABOUT_DATA if getattr(config, key) is not None]:
            raise UserError(f"{alone[0]}: it is about a file of your own; name that with `data`")
        return config, None
    from roftmol.data import user_file

    check_path("data", config.data)
    columns = user_file.describe(Path(config.data), config.smiles, config.target, config.task)
    name = config.name or _name_of(config.data)
    asked = config.recommend
    own = OwnDataset.model_validate(
        {
            "path": config.data,
            "smiles": columns.smiles,
            "labels": [columns.target],
            "task": columns.task,
            "duplicates": config.duplicates or "drop",
        }
    )
    check_names("methods", config.methods, METHODS)
    # The network from random weights says what pretraining is worth, which is a question of experiments.
    methods = [method for method in config.methods if METHODS[method].pretrained]
    experiment = {
        "protocols": ("honest",),
        "models": asked.models,
        "datasets": (name,),
        "splits": (CROSS_VALIDATION[asked.split],),
        "budgets": ("all",),
        "seeds": tuple(range(asked.resamplings)),
        # What is judged is what is handed out: an ensemble, of the setting with the best predictions out of fold.
        "validation": config.validation.model_copy(update={"scheme": "crossfit", "folds": asked.members}),
        "selection": "validation",
        "grids": asked.grids,
        "methods": tuple(dict.fromkeys([*methods, CONSTANT])),
        "own_datasets": {name: own},
        "leave_out_contaminated": (),
        "landscape": False,
    }
    return config.model_copy(update=experiment), Recommendation(
        name=name,
        path=config.data,
        target=columns.target,
        choose=asked.choose,
        members=asked.members,
        level=asked.level,
        settle_duplicates=config.duplicates is not None,
    )


def _name_of(path: str) -> str:
    """Return a name for the results on a file, from the file's own."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", Path(path).name.split(".")[0].lower()).strip("-_") or "data"
    return f"my-{stem}" if stem in catalog.datasets() else stem
