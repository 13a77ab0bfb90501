"""From a CSV or a file of structures to checked molecules: what is kept, what is not and why, and the tasks.

Nothing is dropped in silence: every record that is left out, and every repeated molecule, stands in the rejects table
with its position in the file and its reason.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDetermineBonds
from rdkit.Chem.Scaffolds import MurckoScaffold

from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.core.parallel import by_chunk
from roftmol.registry.catalog import Dataset
from roftmol.tables import schemas
from roftmol.tasks import TASKS

#: Why a record stands in the rejects table.
REASONS = (
    "empty_smiles",
    "too_large",
    "invalid_smiles",
    "invalid_structure",
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
#: The longest SMILES and the largest molecule that RDKit is asked about. What it computes of a molecule grows with the
#: square of its atoms, and takes the process' memory or its stack where these are very many.
CHARACTERS, ATOMS = 10_000, 2_000
BOND_ORDERS = 100_000  # tries at a structure's, each of some ten microseconds, before it is given up


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
        """Return the stripped cells of a column; a name that is not in the header once raises `UserError`."""
        if self.header.count(name) != 1:
            fault = "no column" if name not in self.header else "more than one column"
            folded = {head.casefold(): head for head in self.header}
            near = get_close_matches(name.casefold(), folded, n=1)
            hint = f" Did you mean {folded[near[0]]!r}?" if near and name not in self.header else ""
            some = ", ".join(map(repr, self.header[:20])) + (", ..." if len(self.header) > 20 else "")
            raise UserError(f"{self.path}: {fault} {name!r}.{hint} The columns are {some}.")
        position = self.header.index(name)
        return [record[position].strip() for record in self.records]


@dataclass(frozen=True)
class Structure:
    """A record of a structure file: atomic numbers (n), positions (n x 3, in A; none if flat), and its properties.

    `smiles` is what the file says; where it says nothing, bonds follow from the positions and the total `charge`. With
    a `fault`, RDKit makes nothing of the record.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    properties: Mapping[str, str]
    smiles: str = ""
    charge: int = 0
    fault: str = ""


def read(
    source: Path, dataset: Dataset, *, max_rejected: float, processes: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Read a dataset's file into the tables `molecules`, `rejects` and `tasks`.

    Raises `UserError` for a file that is empty, not of its format, without a named column or with a label that is no
    number (for classification: not 0 or 1), and if more than the share `max_rejected` of its records is dropped.
    """
    records = [] if dataset.format == "csv" else structures(source, dataset)
    table = _property_table(source, records) if records else load(source)
    origin = dataset.source_of(sha256(source))
    named = origin.columns if origin else {}
    values = {**dataset.values, **(origin.values if origin else {})}
    if records:
        smiles, faults = _smiles_of(records, processes)
    else:
        smiles = table.column(named.get(dataset.smiles, dataset.smiles))
        faults = {}
    names = _label_names(table, dataset)
    labels = _labels(table, [named.get(name, name) for name in names], dataset.task, values)
    split = dataset.split_column
    groups = table.column(named.get(split, split)) if split else [""] * len(smiles)

    parsed = list(chain.from_iterable(by_chunk(parse_all, smiles, CHUNK, processes)))
    rejects: dict[int, Reject] = {row: item for row, item in enumerate(parsed) if isinstance(item, Reject)}
    rejects |= faults
    for row in np.flatnonzero(np.isnan(labels).all(axis=1)).tolist():
        rejects.setdefault(row, Reject("missing_labels", f"no label in {len(names)} column(s)"))
    usable = {row: item for row, item in enumerate(parsed) if isinstance(item, Molecule) and row not in rejects}
    rejects |= _settle_duplicates(usable, labels, dataset)
    dropped = {row for row, reject in rejects.items() if reject.action == "dropped"}
    kept = [row for row in usable if row not in dropped]
    _check_share(table, rejects, dropped, max_rejected)

    molecules = pd.DataFrame(
        {
            "dataset": dataset.name,
            "molecule": np.arange(len(kept), dtype=np.int32),
            "row": np.array(kept, dtype=np.int64),
            "smiles": [smiles[row] for row in kept],
            "canonical": [usable[row].canonical for row in kept],
            "scaffold": [usable[row].scaffold for row in kept],
            "atoms": np.array([usable[row].atoms for row in kept], dtype=np.int32),
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
    text = read_text(path, "a CSV text in UTF-8", "Save the table as CSV, UTF-8.")
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


def structures(path: Path, dataset: Dataset) -> list[Structure]:
    """Read the records of an XYZ or SDF file, packed by gzip or not, in their order.

    Raises `UserError` for a file that is empty or not of that format, and for an XYZ record that cannot be read; an SDF
    record that cannot has a `fault`.
    """
    kind = dataset.format.upper()
    text = read_text(path, f"an {kind} text in UTF-8", "Give the file as its program writes it.")
    records = list(_of_xyz(path, text, dataset.smiles) if dataset.format == "xyz" else _of_sdf(text, dataset.smiles))
    if not any(len(item.numbers) for item in records):
        raise UserError(f"{path}: RDKit reads none of its {len(records)} records; is it an {kind} file?")
    return records


def read_text(path: Path, what: str, mend: str) -> str:
    """Return the text of a file, packed by gzip or not.

    Raises `UserError` if it is empty or no text; `what` it should be and how to `mend` it stand in the message.
    """
    content = path.read_bytes()
    try:
        text = (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise UserError(f"{path}: not {what} ({error}). {mend}") from error
    if not text.strip():
        raise UserError(f"{path}: the file is empty.")
    return text


def _of_xyz(path: Path, text: str, smiles: str) -> Iterator[Structure]:
    """Yield the records of an extended XYZ; `smiles` is the key under which a record may have its SMILES."""
    from ase.io import iread

    for row, frame in enumerate(frames_of(path, text)):
        try:
            (atoms,) = iread(io.StringIO(frame), format="extxyz")
            # ASE takes some keys, such as `energy`, for results of a calculation.
            values = {**atoms.info, **getattr(atoms.calc, "results", {})}
            properties = {key: _cell(value) for key, value in values.items()}
            charge = round(float(properties.get("charge", "0")))
        except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: record {row} is no (extended) XYZ: {type(error).__name__} {error}. Give it a line of "
                "key=value pairs, `charge` a number if any, and for each atom a line with its symbol and position."
            ) from error
        yield Structure(atoms.numbers, atoms.positions, properties, properties.get(smiles, ""), charge)


def frames_of(path: Path, text: str) -> Iterator[str]:
    """Yield the text of each record of an XYZ: a number of atoms, a comment, and a line an atom.

    Raises `UserError` where no record begins, or if the file ends within one.
    """
    lines = text.splitlines(keepends=True)
    start = row = 0
    while start < len(lines):
        if not lines[start].strip():
            start += 1
            continue
        count = lines[start].strip()
        if not count.isdecimal():
            raise UserError(
                f"{path}: line {start + 1}, where record {row} begins, is {count[:40]!r} and not a number of atoms. "
                "Correct the number of atoms of the record before, or give an XYZ file."
            )
        end = start + 2 + int(count)
        if end > len(lines):
            raise UserError(f"{path}: the file ends within record {row}. Complete or remove it.")
        yield "".join(lines[start:end])
        start = end
        row += 1


def _cell(value: object) -> str:
    """Return a value of an XYZ's comment line as a label is written."""
    return str(int(value)) if isinstance(value, bool | np.bool_) else str(value)


def _of_sdf(text: str, smiles: str) -> Iterator[Structure]:
    """Yield the records of an SDF; `smiles` is the property in which a record may have its SMILES."""
    # Blank lines behind the last record would be taken for one more.
    stream = io.BytesIO(text.rstrip().encode() + b"\n")
    with rdBase.BlockLogs():
        for mol in Chem.ForwardSDMolSupplier(stream, removeHs=False):
            if mol is None:
                nowhere = np.zeros((0, 3))
                yield Structure(np.zeros(0, np.int64), nowhere, {}, fault="RDKit cannot read the record")
                continue
            properties = {name: mol.GetProp(name).strip() for name in mol.GetPropNames()}
            shape = mol.GetConformer()
            yield Structure(
                np.array([atom.GetAtomicNum() for atom in mol.GetAtoms()], np.int64),
                shape.GetPositions() if shape.Is3D() else np.zeros((0, 3)),
                properties,
                properties.get(smiles) or Chem.MolToSmiles(Chem.RemoveHs(mol)),
            )


def _property_table(path: Path, structures: Sequence[Structure]) -> Table:
    """Return the properties of structures as a table, "" where one lacks what another has."""
    header = list(dict.fromkeys(chain.from_iterable(item.properties for item in structures)))
    records = [[item.properties.get(name, "") for name in header] for item in structures]
    return Table(path, header, records, list(range(len(structures))))


def _smiles_of(structures: Sequence[Structure], processes: int) -> tuple[list[str], dict[int, Reject]]:
    """Return the SMILES of each structure, and by row, why one has none.

    Where the file gives no SMILES, it follows from the bonds.
    """
    smiles = [item.smiles for item in structures]
    faults = {row: Reject("invalid_structure", item.fault) for row, item in enumerate(structures) if item.fault}
    rows = [row for row, item in enumerate(structures) if not item.smiles and not item.fault]
    made = by_chunk(_bond_chunk, [structures[row] for row in rows], CHUNK, processes)
    for row, text in zip(rows, chain.from_iterable(made), strict=True):
        if isinstance(text, Reject):
            faults[row] = text
        else:
            smiles[row] = text
    return smiles, faults


def _bond_chunk(structures: Sequence[Structure]) -> list[str | Reject]:
    with rdBase.BlockLogs():
        return [bonded(item) for item in structures]


def bonded(item: Structure) -> str | Reject:
    """Return the SMILES of a structure by its atoms' distances, or why there is none.

    Its stereochemistry is that of the positions.
    """
    if not np.isfinite(item.positions).all():
        return Reject("invalid_structure", "a position is not finite")
    mol = Chem.RWMol()
    shape = Chem.Conformer(len(item.numbers))
    for number, position in zip(item.numbers.tolist(), item.positions.tolist(), strict=True):
        shape.SetAtomPosition(mol.AddAtom(Chem.Atom(number)), position)
    mol.AddConformer(shape)
    try:
        rdDetermineBonds.DetermineBonds(mol, charge=item.charge, maxIterations=BOND_ORDERS)
        return str(Chem.MolToSmiles(Chem.RemoveHs(mol)))
    except (RuntimeError, ValueError) as error:
        return Reject("invalid_structure", f"its bonds cannot be determined: {error}".strip())


def _label_names(table: Table, dataset: Dataset) -> list[str]:
    """Return the label columns; "*" is every column but the SMILES, the split column and those to ignore."""
    if dataset.labels != ("*",):
        return list(dataset.labels)
    other = {dataset.smiles, dataset.split_column, *dataset.ignore, *dataset.geometry}
    names = [name for name in table.header if name not in other]
    if not names:
        raise UserError(f"{table.path}: there is no label column beside {', '.join(map(repr, table.header))}.")
    return names


def _labels(table: Table, names: Sequence[str], task: str, values: Mapping[str, float]) -> np.ndarray:
    """Return the labels, molecules x tasks, NaN where missing."""
    columns = []
    for name in names:
        texts = table.column(name)
        numbers = {text: _number(text, task, values) for text in set(texts)}
        wrong = next((row for row, text in enumerate(texts) if numbers[text] is None), None)
        if wrong is not None:
            raise UserError(
                f"{table.path}: column {name!r}, record {wrong}: the label {texts[wrong]!r} is not "
                f"{TASKS[task].labels_are}. Correct or empty it, name another column, "
                "or translate labels by `values`."
            )
        columns.append([numbers[text] for text in texts])
    return np.array(columns, dtype=np.float64).T


def _number(text: str, task: str, values: Mapping[str, float]) -> float | None:
    """Return a label's number, NaN if it is missing, None if it cannot be a label of the task."""
    if text.casefold() in MISSING:
        return np.nan
    try:
        return TASKS[task].read(values.get(text, text))
    except ValueError:
        return None


def parse_all(smiles: Sequence[str]) -> list[Molecule | Reject]:
    """Return what `parse` makes of each SMILES, without RDKit's warnings."""
    with rdBase.BlockLogs():
        return [parse(text) for text in smiles]


def parse(smiles: str) -> Molecule | Reject:
    """Return what RDKit makes of one SMILES, or why it makes nothing of it.

    That is the canonical form, the Bemis-Murcko scaffold with chirality, and the number of atoms.
    """
    if not smiles:
        return Reject("empty_smiles", "")
    if len(smiles) > CHARACTERS:
        return Reject("too_large", f"{len(smiles):,} characters, more than {CHARACTERS:,}")
    mol = Chem.MolFromSmiles(smiles)
    if mol is None:
        return Reject("invalid_smiles", _fault(smiles))
    if not mol.GetNumAtoms():
        return Reject("empty_smiles", "a molecule without atoms")
    if mol.GetNumAtoms() > ATOMS:
        return Reject("too_large", f"{mol.GetNumAtoms():,} atoms, more than {ATOMS:,}")
    for atom in mol.GetAtoms():
        if not 1 <= atom.GetAtomicNum() <= 118:
            return Reject("unsupported_atom", f"atom {atom.GetIdx()} is {atom.GetSymbol()!r}")
    for bond in mol.GetBonds():
        if bond.GetBondType() not in BONDS:
            return Reject("unsupported_bond", f"bond {bond.GetIdx()} is {bond.GetBondType().name}")
    scaffold = MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=True)
    return Molecule(Chem.MolToSmiles(mol), scaffold, mol.GetNumAtoms())


def _fault(smiles: str) -> str:
    """Return RDKit's own words on why a SMILES is no molecule."""
    mol = Chem.MolFromSmiles(smiles, sanitize=False)
    if mol is None:
        return "not SMILES"
    try:
        Chem.SanitizeMol(mol)
    except ValueError as error:
        return str(error)
    return "not a molecule"


def _settle_duplicates(molecules: dict[int, Molecule], labels: np.ndarray, dataset: Dataset) -> dict[int, Reject]:
    """Judge records with the same canonical SMILES by `dataset.duplicates`; "average" writes means into `labels`."""
    rejects = {}
    for rows in _repeated(molecules):
        block = labels[rows]
        given = ~np.isnan(block)
        low = np.where(given, block, np.inf).min(axis=0)
        high = np.where(given, block, -np.inf).max(axis=0)
        contradicting = bool((low < high).any())
        averaged = dataset.duplicates == "average" and not (contradicting and TASKS[dataset.task].classes)
        if averaged:
            counts = np.where(given.any(axis=0), given.sum(axis=0), np.nan)
            labels[rows[0]] = np.where(given, block, 0).sum(axis=0) / counts
        for row in rows if contradicting else rows[1:]:
            stays = dataset.duplicates == "keep" or (averaged and row == rows[0])
            others = ", ".join(str(other) for other in rows if other != row)
            rejects[row] = Reject(
                "contradicting_duplicate" if contradicting else "duplicate",
                f"same molecule as record {others}" + ("; labels averaged into the first" if averaged else ""),
                "kept" if stays else "dropped",
            )
    return rejects


def _repeated(molecules: dict[int, Molecule]) -> Iterator[list[int]]:
    """Return the groups of records that hold one molecule, each in the order of the file."""
    rows: dict[str, list[int]] = {}
    for row, molecule in molecules.items():
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
    """Return table "tasks": a row a label column, with its numbers of labels and of positives, mean and deviation.

    The standard deviation is the population's.
    """
    task = TASKS[dataset.task]
    present = [column[~np.isnan(column)] for column in labels.T]
    values = [column[~np.isnan(column)] for column in task.values(labels).T]
    return pd.DataFrame(
        {
            "dataset": dataset.name,
            "task": np.arange(len(names), dtype=np.int32),
            "name": names,
            "kind": dataset.task,
            "labelled": [len(column) for column in present],
            "positives": pd.array(
                [int(column.sum()) if task.classes else None for column in present], dtype=pd.Int64Dtype()
            ),
            "mean": [float(column.mean()) if len(column) else np.nan for column in values],
            "std": [float(column.std()) if len(column) else np.nan for column in values],
        }
    )
