"""What is made from the keys of the configuration says what the program accepts; and the keys say what the code has."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft7Validator

from roftmol.core.errors import UserError
from roftmol.data import splits
from roftmol.evaluation import contamination
from roftmol.experiment import keys, reference, value_types
from roftmol.experiment.reading import read
from roftmol.methods.protocols import PROTOCOLS
from roftmol.registry import catalog
from roftmol.registry.splits import CROSS_VALIDATION, SPLITS
from roftmol.tasks import TASKS
from roftmol.training.auxiliary.pretraining import OBJECTIVES
from roftmol.training.auxiliary.tasks import FORCE_SOURCES
from roftmol.training.fit import TrainSettings

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = [ROOT / "config.yaml", *(p for f in ("config", "examples") for p in sorted((ROOT / f).glob("*.yaml")))]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", reference.PAGE.read_text(), re.DOTALL)
VALIDATOR = Draft7Validator(json.loads(reference.SCHEMA.read_text()))
OUT_OF_DATE = "write it anew: make docs"


def test_the_schema_and_the_page_are_made_from_the_keys():
    assert json.loads(reference.SCHEMA.read_text()) == reference.schema(), OUT_OF_DATE
    assert reference.PAGE.read_text() == reference.markdown(), OUT_OF_DATE


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_editors_find_the_schema_and_accept_what_comes_along(path: Path):
    schema = os.path.relpath(reference.SCHEMA, path.parent)
    assert path.read_text().splitlines()[0] == f"# yaml-language-server: $schema={schema}"
    assert list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))) == []


def test_the_examples_are_configurations():
    assert len(EXAMPLES) == 4
    for example in map(yaml.safe_load, EXAMPLES):
        assert read(example)
        assert list(VALIDATOR.iter_errors(example)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": ["esol"]},
        {"splits": ["scafold"]},
        {"splits": []},
        {"seeds": [0, 0]},
        {"seeds": [-1]},
        {"budgets": [5]},
        {"budgets": ["most"]},
        {"training": {"epoch": 5}},
        {"training": {"epochs": "ten"}},
        {"training": {"dropout": 1}},
        {"auxiliary": {"forces": "natve"}},
        {"max_test": 5},
        {"landscape": "no"},
        {"own_datasets": {"../x": {"path": "a.csv", "labels": ["y"], "task": "regression"}}},
        {"own_datasets": {"mine": {"path": "a.csv", "labels": ["y"]}}},
        {"own_datasets": {"mine": {"path": "a.csv", "labels": ["y"], "task": "regression", "geometry": ["x"]}}},
        {"own_models": {"mine": {"code": "a.py", "weights": "a.pt", "blocks": [5]}}},
        {"grids": {"l2_sp": {"lam": 1}}},
        {"grids": {"l2_sp": {"lam": [1, 1]}}},
        {"recommend": {"members": 1}},
    ],
)
def test_editors_and_the_program_refuse_the_same_forms(change: dict[str, Any]):
    with pytest.raises(UserError):
        read(change)
    assert list(VALIDATOR.iter_errors(change))


@pytest.mark.parametrize(
    "change",
    [
        {"methods": ["l2sp"]},
        {"selection": "best"},
        {"grids": {"l2": {"lam": [1]}}},
        {"recommend": {"grids": {"l2_sp": {"lambda": [1]}}}},
        {"files": {"zinc250": "zinc.smi"}},
        {"auxiliary": {"corpus": "zinc250"}},
    ],
)
def test_editors_know_the_names(change: dict[str, Any]):
    assert list(VALIDATOR.iter_errors(change))


def test_what_is_allowed_is_what_the_code_has():
    assert list(get_args(value_types.Protocol)) == list(splits.PROTOCOLS) == list(PROTOCOLS)
    assert list(get_args(value_types.Split)) == list(SPLITS)
    assert list(get_args(value_types.Task)) == list(TASKS)
    assert _allowed(keys.Recommend, "split") == CROSS_VALIDATION.keys()
    assert set(get_args(value_types.Duplicates)) == set(catalog.DUPLICATES)
    assert {*get_args(value_types.Contamination), "none"} == set(contamination.KINDS)
    assert _allowed(keys.Validation, "scheme") == set(splits.VALIDATIONS)
    assert _allowed(keys.OwnModel, "pooling") == set(catalog.POOLINGS)
    assert {*_allowed(keys.OwnModel, "pretraining"), "none"} == set(catalog.PRETRAINING)
    assert _allowed(keys.Auxiliary, "forces") == {*FORCE_SOURCES, None}
    assert _allowed(keys.Auxiliary, "objective") == set(OBJECTIVES)


def _allowed(section: type[keys.Section], key: str) -> set[Any]:
    return set(get_args(section.model_fields[key].annotation))


def test_training_has_the_defaults_of_the_loop():
    assert keys.Training().model_dump() == asdict(TrainSettings())


def test_a_section_says_once_what_is_missing():
    with pytest.raises(UserError) as caught:
        read({"own_models": {"mine": {}}})
    assert str(caught.value) == "own_models.mine: missing code, weights, blocks, pooling, pretraining"


def test_a_key_that_is_no_text_is_named():
    with pytest.raises(UserError) as caught:
        read({5: 1, "own_datasets": {7: {"path": "a.csv", "labels": ["y"], "task": "regression"}}})
    assert str(caught.value).splitlines() == [
        "own_datasets: 7 is not of type 'string'",
        "5: 5 is not a key: keys are text",
    ]
