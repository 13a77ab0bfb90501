"""SMILES and labels as they are given in Python: a list, a series, a column of a frame, an n x 1 array."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import rdBase

from roftmol.core.errors import UserError
from roftmol.data import smiles_cells
from roftmol.data.columns import is_smiles_name, listed, smiles_column
from roftmol.data.molecules import LARGEST, Reject, readable

#: SMILES as they may be given: a list, a series, an n x 1 array, a frame with one column of them.
Smiles = Sequence[str] | pd.Series | pd.DataFrame | npt.NDArray[Any]


def texts_of(smiles: Smiles, name: str = "X", *, gaps: bool = False) -> list[str]:
    """Return SMILES as a list of texts; with `gaps`, a missing one is "".

    `name` is the argument's. Of a frame's columns, the one of SMILES is found as in a file: by its name, or because it
    alone holds some, which a warning says. Raises `ValueError` for what is no column of texts, as one SMILES alone.
    """
    if isinstance(smiles, str | bytes):
        raise ValueError(f"{name}: {smiles!r} is one text; give a list of SMILES, one a molecule, such as [{smiles!r}]")
    if isinstance(smiles, pd.DataFrame) and smiles.shape[1] != 1:
        column = _smiles_of(smiles, name)
    else:
        column = one_column(smiles, name)
    if isinstance(column, Mapping | Set) or not isinstance(column, Iterable):
        raise ValueError(f"{name}: a {type(column).__name__} was given; give a list of SMILES, one a molecule")
    texts = [_text(text, row, name, gaps) for row, text in enumerate(column)]
    if not texts and not gaps:
        raise ValueError(f"{name}: give a list of SMILES, one a molecule; this one is empty")
    return texts


def demand_readable(texts: Sequence[str]) -> None:
    """Raise `ValueError` with the row of the first text that is no SMILES of a molecule."""
    with rdBase.BlockLogs():
        for row, text in enumerate(texts):
            if isinstance(fault := readable(text), Reject):
                raise ValueError(f"X: row {row}, {text!r}: {fault.reason} {fault.detail}".strip())


def one_column(values: Any, name: str) -> Any:
    """Return the one column of a frame or of an n x 1 array; anything else as it is.

    Raises `ValueError` for more than one column.
    """
    shape: tuple[int, ...] = getattr(values, "shape", ())
    if len(shape) != 2:
        return values
    if shape[1] != 1:
        raise ValueError(f"{name}: {shape[1]} columns were given; give one")
    return np.asarray(values)[:, 0]


def numbers_of(labels: Any) -> npt.NDArray[np.float32]:
    """Return labels as n numbers; raise `ValueError` with the row of the first that is none or missing."""
    column = one_column(labels, "y")
    if isinstance(column, str | bytes | Mapping | Set) or not isinstance(column, Iterable):
        raise ValueError("y: give a list of numbers, one a molecule")
    return np.array([_number(label, row) for row, label in enumerate(column)], np.float32)


def _number(label: Any, row: int) -> float:
    try:
        number = float(label)
    except (TypeError, ValueError):
        raise ValueError(f"y: row {row}, {label!r}, is no number; give one a molecule") from None
    if not abs(number) <= LARGEST:
        raise ValueError(f"y: row {row} is {number}; give a finite number a molecule, and leave out those without one")
    return number


def _text(text: Any, row: int, name: str, gaps: bool) -> str:
    if isinstance(text, str):
        return str(text)
    if gaps and pd.api.types.is_scalar(text) and pd.isna(text):
        return ""
    raise ValueError(f"{name}: row {row}, {text!r}, is no text; give a list of SMILES, one a molecule")


def _smiles_of(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return the column of SMILES of a frame with several columns; raise `ValueError` unless exactly one can be it."""
    names = list(map(str, frame.columns))
    try:
        chosen = smiles_column(names, name)
    except UserError as error:
        tried = {column: frame.iloc[: smiles_cells.TRIED, position].to_list() for position, column in enumerate(names)}
        texts = {column: cells for column, cells in tried.items() if all(isinstance(cell, str) for cell in cells)}
        holding = smiles_cells.columns_of(texts)
        if len(holding) != 1 or any(map(is_smiles_name, names)):
            raise ValueError(
                f"{name}: which of its {len(names)} columns holds SMILES? Give that one alone, such as "
                f"table[['smiles']]. The columns are {listed(names)}."
            ) from error
        chosen = holding[0]
        if (count := names.count(chosen)) > 1:
            raise ValueError(f"{name}: {count} columns are called {chosen!r}; give the one of SMILES alone") from error
        warnings.warn(f"{name}: SMILES are read from {chosen!r}{smiles_cells.WHY}.", stacklevel=5)
    return frame.iloc[:, names.index(chosen)]
