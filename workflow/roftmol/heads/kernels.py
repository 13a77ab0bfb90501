"""Kernels between molecules, one or two a source; each is about 1 between a molecule and itself.

    vectors, descriptors, GFN2   linear  x . x' / d     RBF  exp(-|x - x'|^2 / 2d)     x standardised, d wide
    counts                       Tanimoto  sum_k min(c_k, c'_k) / sum_k max(c_k, c'_k)

Tanimoto's coefficient of counts is a kernel (Ralaivola et al. 2005, doi 10.1016/j.neunet.2005.07.009). Two standardised
molecules are 2d apart in the mean, so that an RBF of this width is e^-1 between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix as csr

from roftmol.features.inputs import Inputs
from roftmol.heads.gfn2 import MaskedStandardiser, with_nan
from roftmol.heads.standardiser import Array, Standardiser

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def tanimoto(counts: csr_matrix, others: csr_matrix) -> Array:
    """Return Tanimoto's coefficients of n and m molecules' counts: n x m."""
    A, B = unary(counts, levels := _levels(counts, others)), unary(others, levels)
    shared = np.asarray((A @ B.T).todense(), np.float64)
    either = np.asarray(A.sum(1)) + np.asarray(B.sum(1)).T - shared
    return np.divide(shared, either, out=np.ones_like(shared), where=either > 0)


def unary(counts: csr_matrix, levels: int) -> csr_matrix:
    """Return counts as 0 and 1, n x (bits levels): column (bit, k) says whether the count is above k.

    So the scalar product of two rows is the sum of the lesser counts, and a row's sum that of its counts.
    """
    heights = np.minimum(counts.data.astype(np.int64), levels)
    starts = np.cumsum(heights) - heights
    level = np.arange(heights.sum()) - np.repeat(starts, heights)
    columns = np.repeat(counts.indices.astype(np.int64), heights) * levels + level
    ends = np.concatenate([[0], np.cumsum(heights)])[counts.indptr]
    return csr((np.ones(len(columns)), columns, ends), shape=(counts.shape[0], counts.shape[1] * levels))


def _levels(*matrices: csr_matrix) -> int:
    return max([1, *(int(matrix.data.max()) for matrix in matrices if matrix.nnz)])


def linear(X: Array, others: Array) -> Array:
    """Return x . x' / d for n and m rows: n x m."""
    return X @ others.T / X.shape[1]


def rbf(X: Array, others: Array) -> Array:
    """Return exp(-|x - x'|^2 / 2d) for n and m rows: n x m."""
    squares = (X**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * X @ others.T
    return np.exp(-np.maximum(squares, 0.0) / (2 * X.shape[1]))


@dataclass(frozen=True, eq=False)
class Numbers:
    """One source of numbers that molecules are described by, standardised on n training molecules."""

    name: str  #: a field of `Inputs`
    standardiser: Standardiser | MaskedStandardiser
    train: Array  #: n x d

    @classmethod
    def of(cls, name: str, train: Inputs) -> Numbers | None:
        """Return the source; None where it tells the training molecules nothing apart."""
        values = _values(name, train)
        if values is None:
            return None
        standardiser = (MaskedStandardiser if name == "gfn2" else Standardiser).of(values)
        Z = standardiser(values)
        return cls(name, standardiser, Z) if Z.shape[1] else None

    def read(self, molecules: Inputs) -> Array:
        """Return molecules' standardised numbers, m x d."""
        values = _values(self.name, molecules)
        assert values is not None
        return self.standardiser(values)


def _values(name: str, molecules: Inputs) -> NDArray[np.floating] | None:
    """Return n molecules' numbers of a source, n x d with NaN for what is missing; None if nobody asked for it."""
    values: NDArray[np.floating] | None = getattr(molecules, name)
    return with_nan(values) if name == "gfn2" and values is not None else values


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels between any molecules and n training molecules."""

    molecules: int  #: n
    numbers: tuple[Numbers, ...]
    counts: csr_matrix | None

    @classmethod
    def of(cls, train: Inputs) -> Kernels:
        """Return the kernels to these training molecules, over all that is known of them."""
        sources = (Numbers.of(name, train) for name in ("vectors", "descriptors", "gfn2"))
        return cls(len(train), tuple(source for source in sources if source), train.counts)

    @property
    def names(self) -> tuple[str, ...]:
        """What each kernel is, in the order of :meth:`between`."""
        names = [f"{source.name}, {kind}" for source in self.numbers for kind in ("linear", "RBF")]
        return (*names, *(["counts, Tanimoto"] if self.counts is not None else []))

    def between(self, molecules: Inputs | None = None) -> Array:
        """Return the kernels of m molecules, or of the training molecules themselves: kernels x m x n."""
        parts: list[Array] = []
        for source in self.numbers:
            Z = source.read(molecules) if molecules is not None else source.train
            parts += [linear(Z, source.train), rbf(Z, source.train)]
        if self.counts is not None:
            counts = molecules.counts if molecules is not None else self.counts
            assert counts is not None
            parts.append(tanimoto(counts, self.counts))
        shape = (len(molecules) if molecules is not None else self.molecules, self.molecules)
        return np.array(parts).reshape(len(parts), *shape)

    def diagonal(self, molecules: Inputs) -> Array:
        """Return the kernels of m molecules with themselves: kernels x m."""
        parts: list[Array] = []
        ones = np.ones(len(molecules))
        for source in self.numbers:
            Z = source.read(molecules)
            parts += [(Z**2).sum(1) / Z.shape[1], ones]
        if self.counts is not None:
            parts.append(ones)
        return np.array(parts).reshape(len(parts), len(molecules))
