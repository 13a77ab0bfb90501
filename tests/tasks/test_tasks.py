"""What a kind of label is stands in `tasks/` alone."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch

import roftmol
from roftmol.tasks import METRICS, PRIMARY, TASKS, metric_title
from roftmol.tasks.base import TaskType

PACKAGE = Path(roftmol.__file__).parent
ROWS = np.array([[0.0, 1.0], [1.0, np.nan], [np.nan, 0.0], [1.0, 1.0]])


def test_no_other_module_asks_for_a_task_type_by_name():
    files = [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE / "tasks"]
    assert len(files) > 200
    asked = {
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in TASKS
    }
    assert not asked


def test_a_task_type_has_the_name_of_its_file():
    files = {path.stem for path in (PACKAGE / "tasks").glob("*.py")} - {"__init__", "base"}
    assert TASKS.keys() == files


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_what_a_task_type_says_fits_together(task: TaskType):
    assert task.read("1") == task.read(1.0) == 1.0
    assert task.read("nan") is None
    assert task.read("inf") is None
    with pytest.raises(ValueError, match="x"):
        task.read("x")
    shift, scale = map(torch.from_numpy, task.scaling(ROWS) if task.scaling else (np.zeros(2), np.ones(2)))
    labels = torch.from_numpy(ROWS)
    standardised = task.standardised(labels, shift, scale)
    assert torch.equal(standardised.isnan(), labels.isnan())
    assert len(task.strata(ROWS).of) == len(ROWS)
    assert np.array_equal(task.values(ROWS), ROWS, equal_nan=True)
    y = labels[~labels.isnan()]
    predicted = task.predictions(torch.zeros(len(y), dtype=torch.double), torch.zeros(()), torch.ones(()))
    loss = task.training_loss(torch.zeros(len(y), dtype=torch.double), y, False).item()
    assert loss == pytest.approx(task.loss(y.numpy(), predicted.numpy()))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_lies_within_its_range(name: str):
    metric, y = METRICS[name], np.array([0.0, 1.0, 1.0, 0.0])
    right, wrong = metric.score(y, y + np.array([0.0, 0.0, 0.01, 0.01])), metric.score(y, 1 - y)
    low, high = metric.range
    assert low <= min(right, wrong) < max(right, wrong) <= high
    assert metric.sign * right > metric.sign * wrong
    if metric.constant is not None:
        assert metric.score(y, np.full(4, 0.3)) == metric.constant
    assert metric_title(name) == metric.title


@pytest.mark.parametrize("name", PRIMARY)
def test_a_metric_with_equal_weights_is_itself(name: str):
    metric, rng = PRIMARY[name], np.random.default_rng(0)
    y, p = rng.integers(0, 2, 30).astype(float), rng.normal(size=30)
    assert metric.weighted(y, p, np.ones((2, 30))) == pytest.approx(metric.score(y, p))
    assert metric.counted(y[:, None]) <= 30


def test_an_unknown_metric_goes_by_its_name():
    assert metric_title("lift") == "lift"
