"""One array a dataset as a file, a row a molecule, with what says how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from roftmol.core.errors import UserError
from roftmol.core.files import atomic


def save(name: str, values: NDArray[np.float32], made: Mapping[str, str], path: Path) -> None:
    """Write n x d values under a name, with what they are `made` by."""
    with atomic(path) as temporary:
        save_file({name: values}, temporary, metadata=dict(made))


def load(name: str, made: Mapping[str, str], path: Path) -> NDArray[np.float32]:
    """Return the values that :func:`save` wrote, n x d.

    Raises `UserError` if the file has no array of this name, or one that was made otherwise.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
            values = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: no file of {name} ({error}). Delete it and run the workflow again.") from error
    if metadata != made:
        raise UserError(f"{path}: no {name} of this version of the program. Delete it and run the workflow again.")
    return np.asarray(values, np.float32)
