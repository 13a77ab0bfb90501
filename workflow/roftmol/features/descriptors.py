"""RDKit's descriptors of molecules: what a chemist computes first.

All of `rdkit.Chem.Descriptors` but four that take a third of the time and add nothing: qed, SPS, AvgIpc and Ipc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.core.parallel import by_chunk

SLOW = frozenset({"qed", "SPS", "AvgIpc", "Ipc"})
FUNCTIONS: tuple[tuple[str, Callable[[Chem.Mol], float]], ...] = tuple(
    (name, function) for name, function in Descriptors.descList if name not in SLOW
)
NAMES = tuple(name for name, _ in FUNCTIONS)
FORMAT = "roftmol-descriptors-1"
#: Molecules that a process is given at a time.
CHUNK = 64


def descriptors(smiles: Sequence[str], processes: int = 1) -> NDArray[np.float32]:
    """Return each molecule's descriptors, n x len(NAMES); NaN where RDKit gives no finite number."""
    rows = [row for chunk in by_chunk(_of, smiles, CHUNK, processes) for row in chunk]
    return np.array(rows, np.float32).reshape(len(smiles), len(NAMES))


def _of(smiles: Sequence[str]) -> NDArray[np.float32]:
    values = np.full((len(smiles), len(NAMES)), np.nan)
    with rdBase.BlockLogs():  # what is odd about a molecule is told where it is read
        for row, text in enumerate(smiles):
            molecule = Chem.MolFromSmiles(text)
            for column, (_, function) in enumerate(FUNCTIONS):
                try:
                    values[row, column] = function(molecule)
                except (ValueError, ZeroDivisionError, RuntimeError, ArithmeticError):
                    continue  # undefined for this molecule, such as a charge of an element without parameters
    values[~(np.abs(values) < np.finfo(np.float32).max)] = np.nan
    return values.astype(np.float32)


def save(values: NDArray[np.float32], path: Path) -> None:
    """Write the descriptors of a dataset's molecules, a row each, with their names."""
    with atomic(path) as temporary:
        save_file({"descriptors": values}, temporary, metadata={"format": FORMAT, "names": ",".join(NAMES)})


def load(path: Path) -> NDArray[np.float32]:
    """Return the descriptors that :func:`save` wrote, n x f.

    Raises `UserError` if the file holds others, such as those of another RDKit.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            values = file.get_tensor("descriptors")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: no file of descriptors ({error}). Delete it and run the workflow again.") from error
    if metadata.get("format") != FORMAT or metadata["names"] != ",".join(NAMES):
        raise UserError(
            f"{path}: not the descriptors that this version of the program computes. Delete it and run the workflow "
            "again."
        )
    return np.asarray(values, np.float32)
