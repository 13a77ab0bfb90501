"""The experiment that `config.yaml` asks for: every name checked, and the settings that each stage gets.

The settings are JSON objects in the form of the stage's own dataclass. They hold what the stage's result depends on
and nothing else, so that a stage runs again when, and only when, one of its own settings changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from functools import reduce
from itertools import product
from operator import getitem
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from jsonschema import Draft202012Validator, ValidationError

from roftmol.core.errors import UserError
from roftmol.methods import CONSTANT, METHODS, WITHOUT_ENCODER, Method
from roftmol.methods.cells import Cells
from roftmol.registry import catalog
from roftmol.registry.catalog import Checkpoint, Corpus, Dataset, Source
from roftmol.scoring.selection import RULES

SCHEMA = Path(__file__).parents[2] / "schemas" / "config.schema.yaml"
#: A number as text.
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
#: Other values as text, in YAML's spelling.
WORDS = {"true": True, "false": False, "null": None}

Json = dict[str, Any]


#: Keys about a user's own file, which mean nothing without `data`.
OWN_FILE = ("smiles", "target", "task", "name", "duplicates")


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


@dataclass(frozen=True)
class Experiment:
    """What is run, and on what; made by :func:`experiment`."""

    cells: Cells
    datasets: dict[str, Dataset]
    checkpoints: dict[str, Checkpoint]
    corpora: dict[str, Corpus]  # all that are registered: recipes read those that no model here was pretrained on
    seeds: tuple[int, ...]
    training: Json
    validation: Json
    auxiliary: Json
    selection: str
    grids: dict[str, dict[str, list[Any]]]
    leave_out_contaminated: tuple[str, ...]
    landscape: bool
    tsne: bool
    max_rejected: float
    max_test: int | None
    mirror: str | None
    device: str
    recommendation: Recommendation | None = None

    @property
    def folder(self) -> Path:
        """Where tables, figures and page go: a recommendation has a folder of its own."""
        return Path("results", "recommendation", self.recommendation.name) if self.recommendation else Path("results")

    def audit(self) -> None:
        """Read the file of a recommendation as a whole; raises `UserError` if none can be made from it."""
        if self.recommendation:
            from roftmol.data import user_file

            asked = self.recommendation
            user_file.audit(Path(asked.path), self.datasets[asked.name], self.max_rejected, asked.settle_duplicates)

    @property
    def cliffs(self) -> list[str]:
        """The data sets whose activity cliffs are known or can be computed."""
        return [name for name, dataset in self.datasets.items() if dataset.has_cliffs]

    def auxiliary_file(self, model: str, method: str) -> str | None:
        """What a second task learns from, and what a force field is measured on; None where neither is asked for."""
        if self.checkpoints[model].spatial:
            source = self.auxiliary["forces"]
            return f"results/forces/{'gfn2' if source == 'self' else source}.parquet" if source else None
        return "results/auxiliary/molecules.parquet" if METHODS[method].alternation else None

    def pooled(self, model: str, dataset: str) -> Json:
        """Whether a head sums over atoms, where it pools them."""
        extensive = self.checkpoints[model].spatial and self.datasets[dataset].extensive
        return {"extensive": True} if extensive else {}

    def landscapes(self, results: Path) -> list[Path]:
        """The folder of each cell whose loss landscape is asked for."""
        return self.cells.landscapes(results) if self.landscape else []

    def checkable(self, model: str) -> list[str]:
        """The corpora of a model whose molecules can be had; none for a recommendation, which so needs no network."""
        if self.recommendation:
            return []
        return [name for name in self.checkpoints[model].corpora if self.corpora[name].files]

    def overlaps(self) -> list[tuple[str, str]]:
        """The pairs of data set and corpus that are compared."""
        corpora = dict.fromkeys(corpus for model in self.checkpoints for corpus in self.checkable(model))
        return list(product(self.datasets, corpora))

    def grid(self, method: str, layers: int) -> list[Json]:
        """The settings that are tried of a method.

        A recommendation fits each setting 25 times, so of a method that trains it tries the middle one, unless told.
        """
        found = grid(METHODS[method], layers, self.grids.get(method, {}))
        if self.recommendation and METHODS[method].stages and method not in self.grids:
            return [found[len(found) // 2]]
        return found

    def cell_settings(self, protocol: str, dataset: str, split: str, budget: str) -> Json:
        """What every stage that fits in a cell is told of it."""
        return {
            "protocol": protocol,
            "dataset": dataset,
            "split": split,
            "budget": budget,
            "task": self.datasets[dataset].task,
            "metric": self.datasets[dataset].metric,
            "seeds": list(self.seeds),
        }


def experiment(config: Mapping[str, Any]) -> Experiment:
    """Check a configuration and complete it with the defaults of the schema.

    Raises `UserError` that names each key, its value, and what is allowed there.
    """
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    validator = Draft202012Validator(schema)
    config = _with_values(config, validator)
    problems = [_problem(error) for error in validator.iter_errors(config)]
    if problems:
        raise UserError("\n".join(problems))
    full = {"methods": [name for name, method in METHODS.items() if method.by_default], **_complete(schema, config)}
    recommendation = None
    if "data" in full:
        full, recommendation = _own_file(full)
    elif alone := [key for key in OWN_FILE if key in full]:
        raise UserError(f"{alone[0]}: it is about a file of your own; name that with `data`")
    datasets, checkpoints, corpora = _registered(full["own_datasets"], full["own_models"], full["files"])
    _check_names("datasets", full["datasets"], datasets)
    _check_names("models", full["models"], checkpoints)
    _check_names("methods", full["methods"], METHODS)
    _check_names("grids", full["grids"], METHODS)
    _check_names("selection", [full["selection"]], RULES)
    for model in full["models"]:
        for key, known in (("corpora", corpora), ("labelled", checkpoints[model].corpora), ("suspected", datasets)):
            _check_names(f"checkpoint {model}: {key}", getattr(checkpoints[model], key), known)
    if "column" in full["splits"]:
        without = [name for name in full["datasets"] if datasets[name].split_column is None]
        if without:
            raise UserError(f"splits: column needs a split_column, and these datasets have none: {', '.join(without)}")
    if "boom" in full["splits"]:
        unfit = [name for name in full["datasets"] if not _one_regression(datasets[name])]
        if unfit:
            raise UserError(f"splits: boom is for a regression of one label, and these are none: {', '.join(unfit)}")
    if recommendation:
        _check_refitted(full["methods"])
    _check_corpus(full["auxiliary"]["corpus"], corpora)
    _check_spatial(full, datasets, checkpoints)
    _check_native(full["auxiliary"])
    for (method, axes), model in product(full["grids"].items(), full["models"]):
        # A wrong grid is found here, not when its jobs run.
        grid(METHODS[method], checkpoints[model].layers, axes)
    return Experiment(
        cells=Cells(
            protocols=tuple(full["protocols"]),
            models=tuple(full["models"]),
            datasets=tuple(full["datasets"]),
            splits=tuple(full["splits"]),
            budgets=tuple(map(str, full["budgets"])),
            methods=tuple(full["methods"]),
        ),
        datasets={name: datasets[name] for name in full["datasets"]},
        checkpoints={name: checkpoints[name] for name in full["models"]},
        corpora=corpora,
        seeds=tuple(full["seeds"]),
        training=full["training"],
        validation=full["validation"],
        auxiliary=full["auxiliary"],
        selection=full["selection"],
        grids=full["grids"],
        leave_out_contaminated=tuple(full["leave_out_contaminated"]),
        landscape=full["landscape"],
        tsne=full["tsne"],
        max_rejected=full["max_rejected"],
        max_test=full["max_test"],
        mirror=full["mirror"],
        device=full["device"],
        recommendation=recommendation,
    )


def _one_regression(dataset: Dataset) -> bool:
    return dataset.task == "regression" and len(dataset.labels) == 1


def _check_refitted(methods: Iterable[str]) -> None:
    """Raise `UserError` for a method that a recommendation's model, fitted on the user's labels alone, cannot have."""
    if second := [name for name in methods if _has_second_task(METHODS[name])]:
        raise UserError(f"methods: {second[0]} is not for a recommendation, which has no second task; leave it out")


def _check_corpus(name: str, corpora: Mapping[str, Corpus]) -> None:
    """Raise `UserError` where a second task is to learn from a corpus that is not known or not to be had."""
    _check_names("auxiliary.corpus", [name], corpora)
    if not corpora[name].files:
        raise UserError(
            f"auxiliary.corpus: the molecules of {name} are not to be had; name a list of their SMILES in `files`"
        )


def _check_spatial(full: Json, datasets: Mapping[str, Dataset], checkpoints: Mapping[str, Checkpoint]) -> None:
    """Raise `UserError` where a model of atoms in space meets data without geometry, or a model has no second task."""
    flat = [name for name in full["datasets"] if not datasets[name].has_geometry]
    second = [name for name in full["methods"] if _has_second_task(METHODS[name])]
    for model in full["models"]:
        if checkpoints[model].spatial:
            if flat:
                raise UserError(f"models: {model} reads geometries, and these datasets have none: {', '.join(flat)}")
            if second and full["auxiliary"]["forces"] is None:
                raise UserError(f"methods: {second[0]} needs force labels; set auxiliary.forces, for example to gfn2")
        elif second and (checkpoints[model].code or checkpoints[model].featuriser != "hu"):
            raise UserError(
                f"methods: {second[0]} goes on masking atoms, and {model} has no mask; leave out one of the two"
            )


def _check_native(auxiliary: Json) -> None:
    """Raise `UserError` where a user's own force labels are asked for and there is no such file."""
    if auxiliary["forces"] != "native":
        return
    path = auxiliary["native"]
    if path is None:
        raise UserError("auxiliary.forces: native are labels of your own; name their extended XYZ in auxiliary.native")
    _check_file("auxiliary.native", path)


def _has_second_task(method: Method) -> bool:
    """Whether a method, or the one whose weights it mixes, trains on a second task."""
    trained = METHODS[method.mixing.source] if method.mixing else method
    return trained.alternation is not None


def _own_file(full: Json) -> tuple[Json, Recommendation]:
    """The configuration of an experiment on the file `data` alone, by repeated cross-validation inside its labels."""
    from roftmol.data import user_file

    asked, path = full["recommend"], full["data"]
    _check_path("data", path)
    columns = user_file.describe(Path(path), *(full.get(key) for key in ("smiles", "target", "task")))
    name = full.get("name") or _name_of(path)
    recommendation = Recommendation(
        name=name,
        path=path,
        target=columns.target,
        choose=asked["choose"],
        members=asked["members"],
        level=asked["level"],
        settle_duplicates="duplicates" in full,
    )
    entry = {
        "path": path,
        "smiles": columns.smiles,
        "labels": [columns.target],
        "task": columns.task,
        "duplicates": full.get("duplicates", "drop"),
    }
    _check_names("methods", full["methods"], METHODS)
    # The network from random weights says what pretraining is worth, which is a question of experiments.
    methods = list(dict.fromkeys([*(name for name in full["methods"] if METHODS[name].pretrained), CONSTANT]))
    own = {
        "protocols": ["honest"],
        "models": asked["models"],
        "datasets": [name],
        "splits": ["cv" if asked["split"] == "random" else "scaffold_cv"],
        "budgets": ["all"],
        "seeds": list(range(asked["resamplings"])),
        # What is judged is what is handed out: an ensemble, of the setting with the best predictions out of fold.
        "validation": {**full["validation"], "scheme": "crossfit", "folds": asked["members"]},
        "selection": "validation",
        "grids": asked["grids"],
        "methods": methods,
        "own_datasets": {name: entry},
        "leave_out_contaminated": [],
        "landscape": False,
    }
    return {**full, **own}, recommendation


def _check_path(key: str, path: str) -> None:
    """Refuse signs that mean something to Snakemake, in whichever rule the path stands."""
    if found := [sign for sign in "{}<>*?" if sign in path]:
        raise UserError(f"{key}: {path!r} has a {found[0]!r} in its name; rename the file")


def _check_file(key: str, path: str) -> None:
    """Refuse a path without a file, or of such signs."""
    _check_path(key, path)
    if not Path(path).is_file():
        raise UserError(f"{key}: there is no file {path!r} (from {Path.cwd()})")


def _name_of(path: str) -> str:
    """A name for the results on a file, from the file's own."""
    stem = re.sub(r"[^a-z0-9_-]+", "-", Path(path).name.split(".")[0].lower()).strip("-_") or "data"
    return f"my-{stem}" if stem in catalog.datasets() else stem


def grid(method: Method, layers: int, axes: Mapping[str, list[Any]]) -> list[Json]:
    """A method's settings: its own grid, or the product of `axes`, where an axis not given keeps its own values.

    Raises `UserError` for a key that the method does not have or a value of another type.
    """
    default = [asdict(settings) for settings in method.grid(layers)]
    if not axes:
        return default
    _check_names(f"grids.{method.name}", axes, [field.name for field in fields(method.settings)])
    own = {key: list(dict.fromkeys(settings[key] for settings in default)) for key in default[0]}
    hints = get_type_hints(method.settings)
    typed = {key: [_typed(f"grids.{method.name}.{key}", value, hints[key]) for value in axes[key]] for key in axes}
    chosen = method.grid_from(own | typed)
    if method.stages:
        parts = ("embed", *(f"blocks.{layer}" for layer in range(layers)))
        for settings in chosen:
            method.stages(settings, parts)  # a part that the encoder does not have is named here, before any job
    return [asdict(settings) for settings in chosen]


def _typed(key: str, value: Any, hint: Any) -> Any:
    """The value as the field's type, so that 1 and 1.0 are one setting."""
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UserError(f"{key}: {value!r} is not allowed. Allowed: {', '.join(map(repr, get_args(hint)))}")
        return value
    kind = next((part for part in get_args(hint) if part is not NoneType), hint)  # X | None -> X
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
        raise UserError(f"{key}: {value!r} is not of type {kind.__name__}")
    return kind(value)


def _registered(
    own: Mapping[str, Json], models: Mapping[str, Json], files: Mapping[str, str]
) -> tuple[dict[str, Dataset], dict[str, Checkpoint], dict[str, Corpus]]:
    """Every known data set, checkpoint and corpus, the user's included, with the user's files as first sources."""
    datasets, checkpoints, corpora = catalog.datasets(), catalog.checkpoints(), catalog.corpora()
    for name in own:
        if name in datasets:
            raise UserError(f"own_datasets: {name!r} is a registered dataset; choose another name")
    # A model's name is also that of its folder of runs and, for an own model, of its graphs.
    taken = {*checkpoints, *(checkpoint.featuriser for checkpoint in checkpoints.values())}
    taken.update(WITHOUT_ENCODER.values())
    for name in models:
        if name in taken:
            raise UserError(f"own_models: {name!r} is taken by a registered model or featuriser; choose another name")
    _check_names("files", files, [*datasets, *checkpoints, *corpora])
    given = {f"own_datasets.{name}.path": entry["path"] for name, entry in own.items()}
    given |= {f"own_models.{name}.{key}": entry[key] for name, entry in models.items() for key in ("code", "weights")}
    for key, path in (given | {f"files.{name}": path for name, path in files.items()}).items():
        _check_file(key, path)
    datasets |= {name: Dataset.from_dict({"name": name, **entry}) for name, entry in own.items()}
    checkpoints |= {name: _own_model(name, entry) for name, entry in models.items()}
    for name, path in files.items():
        here = Source(kind="path", file=path)
        if name in datasets:
            datasets[name] = replace(datasets[name], sources=(here, *datasets[name].sources))
        if name in checkpoints:
            checkpoints[name] = replace(checkpoints[name], sources=(here, *checkpoints[name].sources))
        if name in corpora:
            # One file of the user's own holds the corpus whole, in however many files it is published.
            corpora[name] = replace(corpora[name], files=((here,),))
    return datasets, checkpoints, corpora


def _own_model(name: str, entry: Json) -> Checkpoint:
    """A user's own model as a checkpoint like any other."""
    architecture = {"kind": "own", **{key: entry[key] for key in catalog.ARCHITECTURES["own"]}}
    about = {key: entry[key] for key in ("pretraining", "corpora", "labelled", "suspected", "drop")}
    return Checkpoint.from_dict({"name": name, "path": entry["weights"], "architecture": architecture, **about})


def _with_values(config: Mapping[str, Any], validator: Draft202012Validator) -> Json:
    """The configuration with values for their text: Snakemake's `--config` gives `false` so, and numbers in lists.

    Text stays where it may stand; what grids hold, the schema leaves to the methods.
    """
    found = deepcopy(dict(config))
    for error in list(validator.iter_errors(found)):
        *above, last = error.absolute_path or [None]
        place = reduce(getitem, above, found)
        if isinstance(error.instance, str) and place[last] is error.instance:  # the error is no key's
            place[last] = _value(error.instance)
    asked = found.get("recommend")
    for holder in (found, asked if isinstance(asked, dict) else {}):
        if "grids" in holder:
            holder["grids"] = _value(holder["grids"])
    return found


def _value(value: Any) -> Any:
    """The number, truth value or null that a text says, at every depth; anything else as it is."""
    if isinstance(value, dict):
        return {key: _value(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_value(entry) for entry in value]
    if not isinstance(value, str):
        return value
    if not NUMBER.fullmatch(value):
        return WORDS.get(value, value)
    return int(value) if value.lstrip("-").isdigit() else float(value)


def _complete(schema: Mapping[str, Any], value: Any) -> Any:
    """The value with the schema's defaults where it is silent, at every depth."""
    if schema.get("type") != "object":
        return value
    known = schema.get("properties", {})
    silent = {key: part["default"] for key, part in known.items() if key not in value and "default" in part}
    others = schema.get("additionalProperties") or {}
    return {key: _complete(known.get(key, others), entry) for key, entry in {**value, **silent}.items()}


def _problem(error: ValidationError) -> str:
    """One line: the key, its value, and what is allowed there."""
    key = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        allowed = error.schema["properties"]
        unknown = [name for name in error.instance if name not in allowed]
        return "\n".join(f"{_join(key, name)}: unknown key{_hint(name, allowed)}" for name in unknown)
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{key}: missing {', '.join(missing)}"
    if error.validator == "enum":
        allowed = ["null" if value is None else value for value in error.validator_value]
        return f"{key}: {error.instance!r} is not allowed{_hint(error.instance, allowed)}"
    if "description" in error.schema:
        return f"{key}: {error.instance!r} is not {error.schema['description']}"
    return f"{key}: {error.message}"


def _check_names(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    problems = [f"{key}: {name!r} is not known{_hint(name, known)}" for name in names if name not in known]
    if problems:
        raise UserError("\n".join(problems))


def _hint(name: Any, allowed: Iterable[str]) -> str:
    near = get_close_matches(str(name), allowed, n=1)
    return (f"; did you mean {near[0]!r}?" if near else ".") + f" Allowed: {', '.join(allowed) or 'none'}"


def _join(*parts: str) -> str:
    return ".".join(part for part in parts if part)
