"""The kinds of labels, one file each, with their metrics. Adding one is adding its file, and here its line."""
# ruff: noqa: F401

# The order of the lines is that of what is said of each kind.
# isort: off
from roftmol.tasks.classification import TASK as _CLASSIFICATION
from roftmol.tasks.regression import TASK as _REGRESSION
from roftmol.tasks.censored_regression import TASK as _CENSORED_REGRESSION
# isort: on

from roftmol.tasks.base import Metric, Primary, TaskType

#: Every task type by name, which is that of its file.
TASKS: dict[str, TaskType] = {line.name: line for line in tuple(globals().values()) if isinstance(line, TaskType)}
#: Every metric by name; no two task types have one of the same name.
METRICS: dict[str, Metric] = {metric.name: metric for task in TASKS.values() for metric in task.metrics}
#: Those of them that select and rank, and the task type that each does it for.
PRIMARY: dict[str, Primary] = {task.primary.name: task.primary for task in TASKS.values()}
TASK_OF: dict[str, TaskType] = {task.primary.name: task for task in TASKS.values()}

__all__ = ["METRICS", "PRIMARY", "TASKS", "TASK_OF", "Metric", "Primary", "TaskType", "metric_title"]


def metric_title(name: str) -> str:
    """Return a metric's title; one that this version of the code does not have goes by its own name."""
    return METRICS[name].title if name in METRICS else name
