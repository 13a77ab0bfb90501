"""RDKit's descriptors of molecules: what a chemist computes first.

All of `rdkit.Chem.Descriptors` but four that take a third of the time and add nothing: qed, SPS, AvgIpc and Ipc.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors

from roftmol.core.parallel import by_chunk

SLOW = frozenset({"qed", "SPS", "AvgIpc", "Ipc"})
FUNCTIONS: tuple[tuple[str, Callable[[Chem.Mol], float]], ...] = tuple(
    (name, function) for name, function in Descriptors.descList if name not in SLOW
)
NAMES = tuple(name for name, _ in FUNCTIONS)
#: What a file of them says.
MADE = {"format": "roftmol-descriptors-1", "names": ",".join(NAMES)}
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
                except (ValueError, ArithmeticError, RuntimeError):
                    continue  # undefined for this molecule, such as a charge of an element without parameters
    values[~(np.abs(values) < np.finfo(np.float32).max)] = np.nan
    return values.astype(np.float32)
