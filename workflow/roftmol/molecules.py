"""From a CSV to checked molecules: what is kept, what is not and why, and the tasks.

Nothing is dropped in silence: every record that is left out, and every repeated molecule, stands in the rejects table
with its position in the file and its reason.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem.Scaffolds import MurckoScaffold

from roftmol import schemas
from roftmol.errors import UserError
from roftmol.files import sha256
from roftmol.registry import Dataset

#: Why a record stands in the rejects table.
REASONS = (
    "empty_smiles",
    "invalid_smiles",
    "unsupported_atom",
    "unsupported_bond",
    "missing_labels",
    "duplicate",
    "contradicting_duplicate",
)
BONDS = frozenset(Chem.BondType.names[name] for name in ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"))
MISSING = frozenset({"", "na", "n/a", "nan", "none", "null"})
SEPARATORS = ",\t;"
CHUNK = 512  # molecules handed to a worker at a time
EXAMPLES = 3


class Molecule(NamedTuple):
    """What RDKit makes of a SMILES."""

    canonical: str
    scaffold: str
    atoms: int


class Reject(NamedTuple):
    """Why a record is left out, or worth a word."""

    reason: str
    detail: str
    action: str = "dropped"


@dataclass(frozen=True)
class Table:
    """A file's header and its records, blank lines left out."""

    path: Path
    header: list[str]
    records: list[list[str]]
    lines: list[int]  #: where each record ends in the file, counted from 1

    def column(self, name: str) -> list[str]:
        """The stripped cells of a column; a name that is not in the header once raises `UserError`."""
        if self.header.count(name) != 1:
            fault = "no column" if name not in self.header else "more than one column"
            folded = {head.casefold(): head for head in self.header}
            near = get_close_matches(name.casefold(), folded, n=1)
            hint = f" Did you mean {folded[near[0]]!r}?" if near and name not in self.header else ""
            some = ", ".join(map(repr, self.header[:20])) + (", ..." if len(self.header) > 20 else "")
            raise UserError(f"{self.path}: {fault} {name!r}.{hint} The columns are {some}.")
        place = self.header.index(name)
        return [record[place].strip() for record in self.records]


def read(
    source: Path, dataset: Dataset, *, max_rejected: float, processes: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read a data set's file into the tables `molecules`, `rejects` and `tasks`.

    Raises `UserError` for a file that is empty, no CSV, without a named column or with a label that is no number (for
    classification: not 0 or 1), and if more than the share `max_rejected` of its records is dropped.
    """
    table = load(source)
    origin = dataset.source_of(sha256(source))
    named = origin.columns if origin else {}
    values = {**dataset.values, **(origin.values if origin else {})}
    smiles = table.column(named.get(dataset.smiles, dataset.smiles))
    names = _label_names(table, dataset)
    labels = _labels(table, [named.get(name, name) for name in names], dataset.task, values)
    split = dataset.split_column
    groups = table.column(named.get(split, split)) if split else [""] * len(smiles)

    parsed = _parse(smiles, processes)
    rejects: dict[int, Reject] = {row: item for row, item in enumerate(parsed) if isinstance(item, Reject)}
    for row in np.flatnonzero(np.isnan(labels).all(axis=1)).tolist():
        rejects.setdefault(row, Reject("missing_labels", f"no label in {len(names)} column(s)"))
    found = {row: item for row, item in enumerate(parsed) if isinstance(item, Molecule) and row not in rejects}
    rejects |= _settle_duplicates(found, labels, dataset)
    dropped = {row for row, reject in rejects.items() if reject.action == "dropped"}
    kept = [row for row in found if row not in dropped]
    _check_share(table, rejects, dropped, max_rejected)

    molecules = pd.DataFrame(
        {
            "dataset": dataset.name,
            "molecule": np.arange(len(kept), dtype=np.int32),
            "row": np.array(kept, dtype=np.int64),
            "smiles": [smiles[row] for row in kept],
            "canonical": [found[row].canonical for row in kept],
            "scaffold": [found[row].scaffold for row in kept],
            "atoms": np.array([found[row].atoms for row in kept], dtype=np.int32),
            "group": [groups[row] for row in kept],
            "labels": list(labels[kept].astype(np.float32)),
        }
    )
    listed = [(dataset.name, row, smiles[row], *rejects[row]) for row in sorted(rejects)]
    return (
        molecules,
        pd.DataFrame(listed, columns=schemas.schema("rejects").names).astype(schemas.empty("rejects").dtypes),
        _tasks(names, labels[kept], dataset),
    )


def load(path: Path) -> Table:
    """Read a comma, tab or semicolon separated text, packed by gzip or not, into its header and records.

    Raises `UserError` for a file that is empty, no CSV, or has records of another length than its header.
    """
    content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a CSV text in UTF-8 ({error}). Save the table as CSV, UTF-8.") from error
    if not text.strip():
        raise UserError(f"{path}: the file is empty.")
    first = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count), strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if rows and len(cells) != len(rows[0]):
                raise UserError(
                    f"{path}: record {len(rows) - 1} (line {reader.line_num}) has {len(cells)} fields, but the header "
                    f"has {len(rows[0])}. Quote fields that contain the separator."
                )
            rows.append(cells)
            lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV, line {reader.line_num}: {error}.") from error
    header, *records = rows
    if not records:
        raise UserError(f"{path}: there is a header but no record.")
    return Table(path, [name.strip() for name in header], records, lines[1:])


def _label_names(table: Table, dataset: Dataset) -> list[str]:
    """The label columns; "*" is every column but the SMILES, the split column and those to ignore."""
    if dataset.labels != ("*",):
        return list(dataset.labels)
    other = {dataset.smiles, dataset.split_column, *dataset.ignore}
    names = [name for name in table.header if name not in other]
    if not names:
        raise UserError(f"{table.path}: there is no label column beside {', '.join(map(repr, table.header))}.")
    return names


def _labels(table: Table, names: Sequence[str], task: str, values: Mapping[str, float]) -> np.ndarray:
    """The labels, molecules x tasks, NaN where missing."""
    columns = []
    for name in names:
        texts = table.column(name)
        numbers = {text: _number(text, task, values) for text in set(texts)}
        wrong = next((row for row, text in enumerate(texts) if numbers[text] is None), None)
        if wrong is not None:
            raise UserError(
                f"{table.path}: column {name!r}, record {wrong}: the label {texts[wrong]!r} is not "
                f"{'0 or 1' if task == 'classification' else 'a number'}. Correct or empty it, name another column, "
                "or translate labels by `values`."
            )
        columns.append([numbers[text] for text in texts])
    return np.array(columns, dtype=np.float64).T


def _number(text: str, task: str, values: Mapping[str, float]) -> float | None:
    """A label's number, NaN if it is missing, None if it cannot be a label of the task."""
    if text.casefold() in MISSING:
        return np.nan
    try:
        number = float(values.get(text, text))
    except ValueError:
        return None
    return number if (number in (0, 1) if task == "classification" else np.isfinite(number)) else None


def _parse(smiles: Sequence[str], processes: int) -> list[Molecule | Reject]:
    chunks = [smiles[start : start + CHUNK] for start in range(0, len(smiles), CHUNK)]
    if processes == 1 or len(chunks) == 1:
        return _flat(map(_parse_chunk, chunks))
    with ProcessPoolExecutor(min(processes, len(chunks)), mp_context=get_context("spawn")) as pool:
        return _flat(pool.map(_parse_chunk, chunks))


def _flat(chunks: Iterable[list[Molecule | Reject]]) -> list[Molecule | Reject]:
    return [item for chunk in chunks for item in chunk]


def _parse_chunk(smiles: Sequence[str]) -> list[Molecule | Reject]:
    with rdBase.BlockLogs():
        return [parse(text) for text in smiles]


def parse(smiles: str) -> Molecule | Reject:
    """What RDKit makes of one SMILES: canonical form, Bemis-Murcko scaffold with chirality, atoms; or why not."""
    if not smiles:
        return Reject("empty_smiles", "")
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return Reject("invalid_smiles", _fault(smiles))
    if not mol.GetNumAtoms():
        return Reject("empty_smiles", "a molecule without atoms")
    for atom in mol.GetAtoms():
        if not 1 <= atom.GetAtomicNum() <= 118:
            return Reject("unsupported_atom", f"atom {atom.GetIdx()} is {atom.GetSymbol()!r}")
    for bond in mol.GetBonds():
        if bond.GetBondType() not in BONDS:
            return Reject("unsupported_bond", f"bond {bond.GetIdx()} is {bond.GetBondType().name}")
    scaffold = MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=True)
    return Molecule(Chem.MolToSmiles(mol), scaffold, mol.GetNumAtoms())


def _fault(smiles: str) -> str:
    """RDKit's own words on why a SMILES is no molecule."""
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return "not SMILES"
    try:
        Chem.SanitizeMol(mol)
    except ValueError as error:
        return str(error)
    return "not a molecule"


def _settle_duplicates(found: dict[int, Molecule], labels: np.ndarray, dataset: Dataset) -> dict[int, Reject]:
    """Judge records with the same canonical SMILES by `dataset.duplicates`; "average" writes means into `labels`."""
    rejects = {}
    for rows in _repeated(found):
        block = labels[rows]
        given = ~np.isnan(block)
        low, high = np.where(given, block, np.inf).min(axis=0), np.where(given, block, -np.inf).max(axis=0)
        contradicting = bool((low < high).any())
        averaged = dataset.duplicates == "average" and not (contradicting and dataset.task == "classification")
        if averaged:
            labels[rows[0]] = np.where(given, block, 0).sum(axis=0) / np.where(
                given.any(axis=0), given.sum(axis=0), np.nan
            )
        for row in rows if contradicting else rows[1:]:
            stays = dataset.duplicates == "keep" or (averaged and row == rows[0])
            others = ", ".join(str(other) for other in rows if other != row)
            rejects[row] = Reject(
                "contradicting_duplicate" if contradicting else "duplicate",
                f"same molecule as record {others}" + ("; labels averaged into the first" if averaged else ""),
                "kept" if stays else "dropped",
            )
    return rejects


def _repeated(found: dict[int, Molecule]) -> Iterator[list[int]]:
    """The groups of records that hold one molecule, each in the order of the file."""
    rows: dict[str, list[int]] = {}
    for row, molecule in found.items():
        rows.setdefault(molecule.canonical, []).append(row)
    return (group for group in rows.values() if len(group) > 1)


def _check_share(table: Table, rejects: dict[int, Reject], dropped: set[int], max_rejected: float) -> None:
    total = len(table.records)
    if len(dropped) <= max_rejected * total and len(dropped) < total:
        return
    counts = Counter(rejects[row].reason for row in dropped)
    examples = [
        f"record {row}: {rejects[row].reason} {rejects[row].detail}".strip() for row in sorted(dropped)[:EXAMPLES]
    ]
    raise UserError(
        f"{table.path}: {len(dropped)} of {total} records would be dropped "
        f"({', '.join(f'{count} {reason}' for reason, count in counts.most_common())}), more than the limit "
        f"`max_rejected` of {max_rejected:g} allows. First: {'; '.join(examples)}. Mend the file or raise the limit."
    )


def _tasks(names: Sequence[str], labels: np.ndarray, dataset: Dataset) -> pd.DataFrame:
    """One row a label column: how many labels, how many positive, mean and (population) standard deviation."""
    classification = dataset.task == "classification"
    present = [column[~np.isnan(column)] for column in labels.T]
    return pd.DataFrame(
        {
            "dataset": dataset.name,
            "task": np.arange(len(names), dtype=np.int32),
            "name": names,
            "kind": dataset.task,
            "labelled": [len(column) for column in present],
            "positives": pd.array(
                [int(column.sum()) if classification else None for column in present], dtype=pd.Int64Dtype()
            ),
            "mean": [float(column.mean()) if len(column) else np.nan for column in present],
            "std": [float(column.std()) if len(column) else np.nan for column in present],
        }
    )
