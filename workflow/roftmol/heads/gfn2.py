"""Descriptors beside a molecule's vector, some of them missing: standardised, 0 where missing, and marked so.

    x -> (x - mean) / deviation of the training molecules that have x, within +-CLIP;  0 where x is missing
    one more column for each x that some training molecules have and others lack:  1 where it is there, 0 elsewhere

A column that is constant in training tells nothing, so a mark of what all of them have is left out, as in
`Standardiser`. As published (QW-MTL, arXiv 2509.04601) the four of `QW4` stand there as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from roftmol.core.errors import UserError
from roftmol.features.inputs import GFN2_FIELDS, Inputs, Rows
from roftmol.heads.standardiser import Array, Standardiser

#: What QW-MTL joins to RDKit's descriptors: D, eV, a number, Eh. Each has a mark of whether it is there.
QW4 = ("dipole", "gap", "electrons", "energy")
#: What a network's head may read beside its vector.
CHOICES = ("none", "rdkit", "gfn2", "both", "qw4")


@dataclass(frozen=True, eq=False)
class MaskedStandardiser:
    """The standardiser of numbers of which some are NaN, with marks of which are there."""

    standardiser: Standardiser
    marked: NDArray[np.integer]  #: columns that some training molecules have and others lack

    @classmethod
    def of(cls, X: NDArray[np.floating]) -> MaskedStandardiser:
        """Return that of n training molecules, n x f with NaN for what is missing."""
        there = np.isfinite(X).sum(0)
        return cls(Standardiser.of(X), np.flatnonzero((there > 0) & (there < len(X))))

    def __call__(self, X: NDArray[np.floating]) -> Array:
        """Return standardised columns and marks side by side."""
        return np.hstack([self.standardiser(X), np.isfinite(X[:, self.marked])])


def with_nan(X: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the values of n x 14 of GFN2-xTB's, NaN where there is none: n x 7."""
    fields = len(GFN2_FIELDS)
    return np.where(X[:, fields:] > 0, X[:, :fields], np.nan)


def qw4(X: NDArray[np.floating]) -> Array:
    """Return QW-MTL's four of n x 14 of GFN2-xTB's, not scaled, 0 where missing, then their marks: n x 8."""
    columns = [GFN2_FIELDS.index(name) for name in QW4]
    return X[:, columns + [len(GFN2_FIELDS) + column for column in columns]].astype(np.float64)


def beside_vector(choice: str, molecules: Inputs, train: Rows) -> NDArray[np.float32]:
    """Return what a network's head reads of n molecules beside their vectors, n x w, by one of `CHOICES`.

    Columns are standardised on the rows `train`. "none" is n x 0; "qw4" are RDKit's, then QW-MTL's four with their
    marks, as published. Raises `UserError` for another choice, and if what it names is not among the inputs.
    """
    if choice not in CHOICES:
        raise UserError(f"descriptors: {choice!r} is unknown; choose one of {', '.join(CHOICES)}.")
    parts: list[Array] = [np.empty((len(molecules), 0))]
    if choice in ("rdkit", "both", "qw4"):
        rdkit = _given("descriptors", molecules.descriptors, choice)
        parts.append(MaskedStandardiser.of(rdkit[train])(rdkit))
    if choice in ("gfn2", "both"):
        gfn2 = with_nan(_given("gfn2", molecules.gfn2, choice))
        parts.append(MaskedStandardiser.of(gfn2[train])(gfn2))
    if choice == "qw4":
        parts.append(qw4(_given("gfn2", molecules.gfn2, choice)))
    return np.hstack(parts).astype(np.float32)


def _given(name: str, values: NDArray[np.floating] | None, choice: str) -> NDArray[np.floating]:
    if values is None:
        raise UserError(f"descriptors: {choice} reads a file of {name}, and none is given. Give one by --{name}.")
    return values
