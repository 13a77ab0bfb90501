"""A random forest on Morgan counts and descriptors, kept as plain arrays.

A descriptor that RDKit cannot compute is 0. How far a molecule's trees lie apart says how unsure the forest is of it.
Labels that are limits are left out, for leaves are means of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roftmol.core.seeds import seed_of
from roftmol.features.inputs import Inputs, Rows
from roftmol.heads.base import Arrays, HeadKind, Predicted, column_of, constant_note, fitted, predicted
from roftmol.heads.standardiser import Array
from roftmol.tasks import TaskType

TREES = 200
#: Trees where there are more than `MANY_TASKS` label columns, such as the 617 of ToxCast.
FEW_TREES = 20
MANY_TASKS = 30


@dataclass(frozen=True, eq=False)
class Trees:
    """A forest's trees, one after the other: a node's `left` and `right` are its children's numbers, -1 at leaves."""

    roots: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: Array
    value: Array  #: of two classes the share of class 1

    @classmethod
    def of(cls, forest: Any) -> Trees:
        """Take the arrays of a fitted forest of scikit-learn."""
        trees = [estimator.tree_ for estimator in forest.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])

        def shifted(children: str) -> NDArray[np.int32]:
            numbers = [getattr(tree, children) for tree in trees]
            parts = [np.where(child < 0, -1, child + start) for child, start in zip(numbers, starts[:-1], strict=True)]
            return np.concatenate(parts).astype(np.int32)

        return cls(
            starts[:-1].astype(np.int32),
            shifted("children_left"),
            shifted("children_right"),
            np.concatenate([tree.feature for tree in trees]).astype(np.int32),
            np.concatenate([tree.threshold for tree in trees]),
            np.concatenate([tree.value[:, 0, -1] for tree in trees]),
        )

    def predict(self, X: NDArray[np.float32]) -> Array:
        """Return every tree's values of m molecules, trees x m, from X, m x f."""
        rows = np.arange(len(X))
        values = np.empty((len(self.roots), len(X)))
        for number, root in enumerate(self.roots):
            node = np.full(len(X), root)
            while (inner := self.left[node] >= 0).any():
                goes_left = X[rows, np.maximum(self.feature[node], 0)] <= self.threshold[node]
                node = np.where(inner, np.where(goes_left, self.left[node], self.right[node]), node)
            values[number] = self.value[node]
        return values

    def check(self) -> None:
        """Raise `ValueError` unless every walk ends at a leaf: as in scikit-learn, children lie after their node."""
        nodes = np.arange(len(self.value))
        if any(len(array) != len(nodes) for array in (self.left, self.right, self.feature, self.threshold)):
            raise ValueError("a forest's arrays are of different lengths")
        inner = self.left >= 0
        for children in (self.left, self.right):
            if not ((children[inner] > nodes[inner]) & (children[inner] < len(nodes))).all():
                raise ValueError("a tree's nodes are not in order")
        if not len(self.roots) or not ((self.roots >= 0) & (self.roots < len(nodes))).all():
            raise ValueError("a tree has no root")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by their names."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class Column:
    """The forest of one label column."""

    trees: Trees
    rate: float | None  #: of two classes the share of class 1: one more tree, which knows nothing else

    def predict(self, X: NDArray[np.float32]) -> tuple[Array, Array]:
        """Return the trees' mean and standard deviation of m molecules, X m x f."""
        values = self.trees.predict(X)
        if self.rate is None:
            return values.mean(0), values.std(0)
        # So that no probability is 0 or 1, and the order is as it was.
        return (values.sum(0) + self.rate) / (len(values) + 1), values.std(0)


@dataclass(frozen=True, eq=False)
class Forest:
    """A forest for every label column that had two different labels, and what the others are predicted by."""

    columns: tuple[Column | float, ...]

    @property
    def parameters(self) -> int:
        """The nodes of all trees."""
        return sum(len(column.trees.value) for column in self.columns if isinstance(column, Column))

    @property
    def note(self) -> str:
        """What to say of the fit; "" if nothing is."""
        return constant_note(self.columns)

    def predict(self, molecules: Inputs) -> Predicted:
        """Return predictions of m molecules."""
        X = features(molecules)
        return predicted(self.columns, len(molecules), lambda column: column.predict(X))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all of a forest of one label column.

        Raises `ValueError` for several.
        """
        column = column_of(self.columns)
        if not isinstance(column, Column):
            return {"constant": np.array([column])}
        rate = {} if column.rate is None else {"rate": np.array([column.rate])}
        return {**column.trees.arrays(), **rate}


def features(inputs: Inputs) -> NDArray[np.float32]:
    """Return counts and whichever descriptors there are side by side, n x (2048 + f)."""
    assert inputs.counts is not None
    limit = np.finfo(np.float32).max
    described = [values for values in (inputs.descriptors, inputs.gfn2) if values is not None]
    numbers = [np.nan_to_num(np.clip(values, -limit, limit)) for values in described]
    return np.hstack([inputs.counts.toarray(), *numbers]).astype(np.float32)


def fit(train: Inputs, Y: NDArray[np.floating], task: TaskType, seed: int) -> Forest:
    """Return the forest of n molecules with labels n x t, NaN where one is missing."""
    X, Y = features(train), task.values(Y.astype(np.float64))
    trees = TREES if Y.shape[1] <= MANY_TASKS else FEW_TREES

    def one(number: int, rows: Rows, y: Array) -> Column:
        # Trees are drawn for each column by itself, whatever the other ones are.
        forest = grown(task.classes, trees, seed_of("forest", seed, number) % 2**32).fit(X[rows], y)
        return Column(Trees.of(forest), float(y.mean()) if task.classes else None)

    return Forest(fitted(Y, task, one))


def grown(classes: bool, trees: int, seed: int) -> Any:
    """Return the unfitted forest of scikit-learn, whose import takes a second that predictions need not wait for."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    if classes:
        return RandomForestClassifier(trees, random_state=seed, n_jobs=1)
    # A third of the features a split, Breiman's rule: as good as all of them on ESOL and Lipo, and far faster.
    return RandomForestRegressor(trees, max_features=1 / 3, random_state=seed, n_jobs=1)


def read(arrays: Arrays) -> Forest:
    """Return the forest that :meth:`Forest.arrays` took apart; raise `ValueError` if the arrays are no trees."""
    if "constant" in arrays:
        return Forest((float(arrays["constant"][0]),))
    names = ("roots", "left", "right", "feature", "threshold", "value")
    rate = float(arrays["rate"][0]) if "rate" in arrays else None
    trees = Trees(**{name: arrays[name] for name in names})
    trees.check()
    return Forest((Column(trees, rate),))


KIND = HeadKind(fit, read)
