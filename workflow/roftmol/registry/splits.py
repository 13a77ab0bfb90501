"""Which ways of dealing molecules into parts there are, and what is known of each; `data/splits.py` deals them.

Adding one is adding its record here, at its place in the order of axes and tables, and there the function that deals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roftmol.tasks import TASKS

if TYPE_CHECKING:
    from roftmol.registry.catalog import Dataset

#: How many parts a cross-validation has, and the test molecules for each training molecule.
PARTS = 5
TEST_SHARE = 1 / (PARTS - 1)


@dataclass(frozen=True)
class Need:
    """What a split asks of a dataset, and what is said where it is not so, before the names of these datasets."""

    met_by: Callable[[Dataset], bool]
    otherwise: str


@dataclass(frozen=True)
class Split:
    """A way of dealing molecules into training, validation and test parts."""

    name: str
    title: str
    reference: str = ""  #: of one out of distribution, the split of the same data within it
    #: Of a repeated cross-validation, the split that deals likewise once. Its seeds are the parts, so their training
    #: parts overlap.
    repeats: str = ""
    two_tests: bool = False  #: whether its test is out of distribution and a second one within, role "test_id"
    together: bool = False  #: whether the datasets of a panel are dealt as one
    in_random_order: bool = False  #: whether its training part is listed at random, as published
    #: Whether training and test parts are a public leaderboard's, and seed s its run s. A budget is then of the run's
    #: training part.
    official: bool = False
    need: Need | None = None


_RECORDS = (
    Split("random", "random split", in_random_order=True),
    Split("scaffold", "scaffold split", reference="random"),
    Split("size", "size split", reference="random"),
    Split("size_strict", "strict size split", reference="random"),
    Split(
        "column",
        "split by column",
        reference="random",
        need=Need(
            lambda dataset: dataset.split_column is not None, "needs a split_column, and these datasets have none"
        ),
    ),
    Split(
        "leaderboard",
        "leaderboard split",
        reference="random",
        official=True,
        need=Need(
            lambda dataset: bool(dataset.leaderboard_metric),
            "is for the sets of a public leaderboard, and these datasets are none",
        ),
    ),
    Split(
        "boom",
        "rare-label split",
        two_tests=True,
        need=Need(
            lambda dataset: not TASKS[dataset.task].classes and len(dataset.labels) == 1,
            "is for a regression of one label, and these are none",
        ),
    ),
    Split("joint", "joint scaffold split", reference="random", together=True),
    Split("cv", "cross-validation", repeats="random"),
    Split("scaffold_cv", "scaffold cross-validation", reference="cv", repeats="scaffold"),
    Split("joint_cv", "joint cross-validation", repeats="random", together=True),
    Split(
        "joint_scaffold_cv",
        "joint scaffold cross-validation",
        reference="joint_cv",
        repeats="scaffold",
        together=True,
    ),
)
#: Every split by name.
SPLITS: dict[str, Split] = {split.name: split for split in _RECORDS}
#: The seeds of a leaderboard's runs: TDC asks for five at least, and its own tools number them so.
RUNS = (1, 2, 3, 4, 5)
#: The repeated cross-validations of a dataset, and of a panel as one, by the split that deals likewise once.
CROSS_VALIDATION, JOINT_CROSS_VALIDATION = (
    {split.repeats: split.name for split in _RECORDS if split.repeats and split.together == joint}
    for joint in (False, True)
)


def split_title(name: str) -> str:
    """Return a split's title; one that this version of the code does not have goes by its own name."""
    return SPLITS[name].title if name in SPLITS else name
