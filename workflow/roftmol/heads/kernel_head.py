"""The kernel head: values by a Gaussian process, probabilities by kernel logistic regression with its weights.

The process' weights are the most probable given the labels; of classes, given 0 and 1 as numbers. A process is as sure
as its variance says, for each molecule by itself. A limit is learnt by what is expected behind it. Each label column
has a head of its own, fitted on the molecules that have its label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from roftmol.core.seeds import generator
from roftmol.features.inputs import Inputs, Rows
from roftmol.heads import gaussian_process, kernel_logistic
from roftmol.heads.base import Arrays, HeadKind, Predicted, column_of, constant_note, fitted, predicted
from roftmol.heads.gaussian_process import Process
from roftmol.heads.kernel_logistic import Classifier
from roftmol.heads.kernels import Kernels
from roftmol.heads.limits import Limits
from roftmol.heads.standardiser import Array
from roftmol.tasks import TaskType

#: Of more training molecules than this, so many teach: time grows with their third power, memory with the second.
MOST = 4000
#: Molecules whose kernels are held at a time.
AT_ONCE = 1000


@dataclass(frozen=True, eq=False)
class Column:
    """The head of one label column."""

    rows: Rows  #: which of the training molecules taught it
    labels: Array  #: of these; what is expected behind those that are limits
    process: Process
    classifier: Classifier | None
    variances: Array | None = None  #: of what is expected, 0 of values; None without limits

    @property
    def parameters(self) -> int:
        """The numbers that were fitted: one a molecule, one a kernel, noise or penalty, mean or intercept."""
        return len(self.rows) + len(self.process.weights) + 2


@dataclass(frozen=True, eq=False)
class KernelHead:
    """A head for every label column that had two different labels, and what the others are predicted by."""

    train: Inputs  #: of the molecules that teach
    kernels: Kernels
    columns: tuple[Column | float, ...]
    left_out: int = 0  #: training molecules beyond those that teach

    @property
    def parameters(self) -> int:
        """The numbers that were fitted."""
        return sum(column.parameters for column in self.columns if isinstance(column, Column))

    @property
    def note(self) -> str:
        """What to say of the fit; "" if nothing is."""
        drawn = f"{MOST:,} of {MOST + self.left_out:,} training molecules teach, drawn" if self.left_out else ""
        return "; ".join(filter(None, [constant_note(self.columns), drawn]))

    def predict(self, molecules: Inputs) -> Predicted:
        """Return predictions of m molecules."""
        starts = range(0, len(molecules), AT_ONCE)
        parts = [self._predict(molecules[np.arange(start, min(start + AT_ONCE, len(molecules)))]) for start in starts]
        nothing = np.empty((0, len(self.columns)))
        return Predicted(
            np.concatenate([nothing, *(part.mean for part in parts)]),
            np.concatenate([nothing, *(part.deviation for part in parts)]),
        )

    def _predict(self, molecules: Inputs) -> Predicted:
        between, diagonal = self.kernels.between(molecules), self.kernels.diagonal(molecules)

        def one(column: Column) -> tuple[Array, Array]:
            K = between[:, :, column.rows]
            mean, deviation = column.process.predict(K, diagonal)
            return (column.classifier.predict(K) if column.classifier else mean), deviation

        return predicted(self.columns, len(molecules), one)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what a head of one label column is computed from: its training molecules' inputs, labels and weights.

        Raises `ValueError` for a head of several.
        """
        column = column_of(self.columns)
        if not isinstance(column, Column):
            return {"constant": np.array([column])}
        train = self.train
        arrays: dict[str, NDArray[Any]] = {
            "molecules": np.array([len(train)]),
            "rows": column.rows,
            "labels": column.labels,
            "weights": column.process.weights,
            "noise": np.array([column.process.noise]),
        }
        if (counts := train.counts) is not None:
            arrays |= {"counts.data": counts.data, "counts.indices": counts.indices, "counts.indptr": counts.indptr}
            arrays["counts.bits"] = np.array([counts.shape[1]])
        numbers = {"descriptors": train.descriptors, "vectors": train.vectors, "gfn2": train.gfn2}
        arrays |= {name: values for name, values in numbers.items() if values is not None}
        if column.variances is not None:
            arrays["variances"] = column.variances
        if column.classifier:
            arrays |= {"a": column.classifier.a, "b": np.array([column.classifier.b, column.classifier.penalty])}
        return arrays


def fit(train: Inputs, Y: NDArray[np.floating], task: TaskType, seed: int) -> KernelHead:
    """Return the head of n molecules with labels n x t, NaN where one is missing."""
    left_out = max(0, len(train) - MOST)
    if left_out:
        chosen = np.sort(generator("kernel head", seed).choice(len(train), MOST, replace=False))
        train, Y = train[chosen], Y[chosen]
    kernels = Kernels.of(train)
    square = kernels.between()

    def one(number: int, rows: Rows, y: Array) -> Column:
        rng = generator("kernel head's column", seed, number)
        K = square[:, rows[:, None], rows]
        if limits := Limits.of(y, task):
            process, expected, variances = gaussian_process.fit_limits(K, limits, rng)
            return Column(rows, expected, process, None, variances)
        y = task.values(y)
        process = gaussian_process.fit(K, y, rng)
        if not task.classes:
            return Column(rows, y, process, None)
        classifier, _ = kernel_logistic.fit(K, process.weights, y, kernel_logistic.dealt(y, rng))
        return Column(rows, y, process, classifier)

    return KernelHead(train, kernels, fitted(Y, task, one), left_out)


def read(arrays: Arrays) -> KernelHead:
    """Return the head that :meth:`KernelHead.arrays` took apart: the same to the last bits."""
    if "constant" in arrays:
        nothing = Inputs(0)
        return KernelHead(nothing, Kernels(0, (), None), (float(arrays["constant"][0]),))
    molecules, rows, labels = int(arrays["molecules"][0]), arrays["rows"], arrays["labels"]
    counts = None
    if "counts.data" in arrays:
        parts = (arrays["counts.data"], arrays["counts.indices"], arrays["counts.indptr"])
        counts = csr_matrix(parts, shape=(molecules, int(arrays["counts.bits"][0])))
    train = Inputs(molecules, counts, arrays.get("descriptors"), arrays.get("vectors"), arrays.get("gfn2"))
    kernels = Kernels.of(train)
    K = kernels.between()[:, rows[:, None], rows]
    variances = arrays.get("variances")
    process = gaussian_process.given(K, labels, arrays["weights"], float(arrays["noise"][0]), variances)
    classifier = None
    if "a" in arrays:
        intercept, penalty = arrays["b"].tolist()
        classifier = Classifier(arrays["weights"], arrays["a"], intercept, penalty)
    return KernelHead(train, kernels, (Column(rows, labels, process, classifier, variances),))


KIND = HeadKind(fit, read)
