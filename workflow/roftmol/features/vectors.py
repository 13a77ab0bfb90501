"""The file of a dataset's vectors under a frozen encoder: what heads in closed form read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from roftmol.core.errors import UserError
from roftmol.core.files import atomic

FORMAT = "roftmol-vectors-1"


def save(values: NDArray[np.float32], path: Path) -> None:
    """Write vectors, a row a molecule."""
    with atomic(path) as temporary:
        save_file({"vectors": values}, temporary, metadata={"format": FORMAT})


def load(path: Path) -> NDArray[np.float32]:
    """Return the vectors that :func:`save` wrote, n x d.

    Raises `UserError` if it is no such file.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            values = file.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: no file of vectors ({error}). Delete it and run the workflow again.") from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path}: no vectors of this version of the program. Delete it and run the workflow again.")
    return np.asarray(values, np.float32)
