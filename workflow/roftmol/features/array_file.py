"""One array a dataset as a file, a row a molecule, with what says how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from roftmol.core import tensor_file
from roftmol.core.errors import UserError

#: What helps where a file cannot be read.
ANEW = "Delete it and run the workflow again."


def save(name: str, values: NDArray[np.float32], made: Mapping[str, str], path: Path) -> None:
    """Write n x d values under a name, with what they are `made` by."""
    tensor_file.save(path, {name: values}, made)


def load(name: str, made: Mapping[str, str], path: Path) -> NDArray[np.float32]:
    """Return the values that :func:`save` wrote, n x d.

    Raises `UserError` if the file has no array of this name, or one that was made otherwise.
    """
    with tensor_file.opened(path, f"no file of {name}", ANEW) as file:
        metadata = file.metadata
        values = file.tensor(name)
    if metadata != made:
        raise UserError(f"{path}: no {name} of this version of the program. {ANEW}")
    return np.asarray(values, np.float32)
