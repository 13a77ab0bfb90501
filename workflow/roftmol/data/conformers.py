"""Where the atoms of each molecule are, as the dataset's file says: in columns of a CSV, or as a structure.

Nothing is embedded or relaxed here: what a model reads is what was published. So whatever is missing or damaged ends
the stage and is named with its row, as is a geometry that cannot be of the row's molecule.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem, rdBase

from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.data.delimited import Reading, Table, load
from roftmol.data.molecules import structures
from roftmol.registry.catalog import Dataset

#: Nearer atoms than any two of a molecule, in A.
TOO_CLOSE = 0.3
SYMBOLS = {Chem.GetPeriodicTable().GetElementSymbol(number): number for number in range(1, 119)}
NAMES = {number: symbol for symbol, number in SYMBOLS.items()}

Numbers = NDArray[np.int64]
Positions = NDArray[np.float64]


class _DamagedError(ValueError):
    """What is wrong with one geometry, and what mends it."""


def read(source: Path, molecules: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Read table "conformers" from a dataset's file: a row for each row of table "molecules", found by its `row`.

    Raises `UserError`, which names file, row and mend, where a geometry is missing or damaged, has two atoms closer
    than 0.3 A, or is of another molecule than the SMILES.
    """
    if not dataset.has_geometry:
        raise UserError(
            f"dataset {dataset.name}: nothing says where the atoms are; name the two columns in `geometry`, or give an "
            "XYZ or SDF file."
        )
    rows = molecules["row"].tolist()
    position: Callable[[int], str] = "record {}".format
    if dataset.format == "csv":
        origin = dataset.source_of(sha256(source))
        named = origin.columns if origin else {}
        table = load(source, Reading(named.get(dataset.smiles, dataset.smiles), dataset.sheet))
        geometries = _of_table(table, rows, [named.get(name, name) for name in dataset.geometry])
        position = table.position
    else:
        geometries = _of_structures(source, rows, dataset)
    numbers = []
    positions = []
    with rdBase.BlockLogs():
        for row, smiles, (elements, coordinates) in zip(rows, molecules["smiles"], geometries, strict=True):
            try:
                check(elements, coordinates, smiles)
            except _DamagedError as error:
                raise UserError(f"{source}: {position(row)}, {smiles!r}: {error}") from error
            numbers.append(elements.astype(np.int8))
            positions.append(coordinates.astype(np.float32).ravel())
    molecule = molecules["molecule"].to_numpy()
    return pd.DataFrame({"dataset": dataset.name, "molecule": molecule, "numbers": numbers, "positions": positions})


def check(numbers: Numbers, positions: Positions, smiles: str) -> None:
    """Raise `_DamagedError` if atoms (n) at positions (n x 3, in A) cannot be a geometry of the molecule."""
    if not len(positions):
        raise _DamagedError("it has no geometry in space. Give one, or remove the record.")
    if len(numbers) != len(positions):
        raise _DamagedError(f"{len(numbers)} atoms have {len(positions)} positions. Give each atom one.")
    unknown = numbers[(numbers < 1) | (numbers > 118)]
    if len(unknown):
        raise _DamagedError(f"an atom of element number {unknown[0]} is none. Name its element.")
    if not np.isfinite(positions).all():
        raise _DamagedError("a position is not finite. Give numbers.")
    first, second = np.triu_indices(len(numbers), 1)
    apart = np.linalg.norm(positions[first] - positions[second], axis=1)
    if len(apart) and apart.min() < TOO_CLOSE:
        pair = apart.argmin()
        raise _DamagedError(
            f"atoms {first[pair]} and {second[pair]} are {apart[pair]:.3g} apart, less than {TOO_CLOSE} A. Give "
            "positions in A, and each atom once."
        )
    mol = Chem.MolFromSmiles(smiles)
    expected = Counter(atom.GetAtomicNum() for atom in mol.GetAtoms())
    expected[1] += sum(atom.GetTotalNumHs() for atom in mol.GetAtoms())
    given = Counter(numbers.tolist())
    if _heavy(given) != _heavy(expected):
        raise _DamagedError(
            f"the geometry is of another molecule, with {_formula(given)} where the SMILES has {_formula(expected)}, "
            "hydrogens not counted. Give the molecule's own."
        )
    if expected[1] and not given[1]:
        raise _DamagedError("the geometry lacks the hydrogens. Give one with all atoms.")


def _heavy(counts: Counter[int]) -> dict[int, int]:
    heavy = sorted(number for number in counts if number > 1)
    return {number: counts[number] for number in heavy if counts[number]}


def _formula(counts: Counter[int]) -> str:
    return " ".join(f"{NAMES[number]}{count}" for number, count in _heavy(counts).items()) or "no atom"


def _of_structures(source: Path, rows: Sequence[int], dataset: Dataset) -> Iterator[tuple[Numbers, Positions]]:
    records = structures(source, dataset)
    return ((records[row].numbers, records[row].positions) for row in rows)


def _of_table(table: Table, rows: Sequence[int], columns: Sequence[str]) -> Iterator[tuple[Numbers, Positions]]:
    texts = [table.column(name) for name in columns]
    for row in rows:
        try:
            yield _numbers(texts[0][row]), _positions(texts[1][row])
        except _DamagedError as error:
            which = " and ".join(map(repr, columns))
            raise UserError(f"{table.path}: {table.position(row)}, columns {which}: {error}") from error


def _numbers(text: str) -> Numbers:
    """Return the atomic numbers (n) of a list of symbols."""
    symbols = _list(text, "elements", "a list of symbols, such as ['C','H']")
    numbers = [SYMBOLS.get(str(symbol).strip().capitalize(), 0) for symbol in symbols]
    if 0 in numbers:
        raise _DamagedError(f"{symbols[numbers.index(0)]!r} is no element. Write its symbol.")
    return np.array(numbers, np.int64)


def _positions(text: str) -> Positions:
    """Return the positions (n x 3) of a list of lists of numbers."""
    form = "a list of [x, y, z]"
    entries = _list(text, "positions", form)
    try:
        positions = np.array(entries, np.float64)
    except (TypeError, ValueError):
        positions = np.zeros(0)
    if entries and positions.shape != (len(entries), 3):
        raise _DamagedError(f"the positions are not {form}: {text[:40]!r}. Write three numbers for each atom.")
    return positions.reshape(-1, 3)


def _list(text: str, what: str, form: str) -> list[object]:
    """Return a list that is written as JSON or as Python; an empty one where there is no text.

    JSON is tried first: Python knows more numbers, but is slow to read.
    """
    try:
        entries = json.loads(text.replace("'", '"')) if text else []
    except ValueError:
        entries = _literal(text)
    if not isinstance(entries, list):
        raise _DamagedError(f"the {what} are not {form}: {text[:40]!r}. Write them so.")
    return entries


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return None
