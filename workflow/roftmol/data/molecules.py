"""From a CSV or a file of structures to checked molecules: what is kept, what is not and why, and the tasks.

Nothing is dropped in silence: every record that is left out, and every repeated molecule, stands in the rejects table
with its position in the file and its reason.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from roftmol.data import label_texts as label
from roftmol.data import written_numbers
from roftmol.data.columns import is_unnamed
from roftmol.data.delimited import AGAIN, CUT, GZIP, Reading, Table, load
from roftmol.data.label_texts import Values
from roftmol.data.parents import Parent, parent_of
from roftmol.data.smiles import fault_around
from roftmol.registry.catalog import ONE_SIDED, TABLES, Dataset
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
    "censored",
    "duplicate",
    "contradicting_duplicate",
)
#: Those that say nothing against a file: many records of a molecule, or records to be predicted.
NOT_COUNTED = frozenset({"missing_labels", "duplicate", "contradicting_duplicate"})
BONDS = frozenset(Chem.BondType.names[name] for name in ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"))
#: What became of a limit, by `censored`.
BECAME = {
    "": "left out",
    "drop": "left out",
    "limit": "the limit taken for the value",
    ONE_SIDED: "learnt as a limit",
}
#: Labels are in single precision, and computed with.
LARGEST = 1e37
CHUNK = 512  # molecules handed to a worker at a time
EXAMPLES = 3
#: The longest SMILES and the largest molecule that RDKit is asked about. What it computes of a molecule grows with the
#: square of its atoms, and takes the process' memory or its stack where these are very many.
CHARACTERS, ATOMS = 10_000, 2_000
DIGITS = 9  # of a number of atoms
END_OF_SDF = "\n$$$$"
BOND_ORDERS = 100_000  # tries at a structure's, each of some ten microseconds, before it is given up


class Molecule(NamedTuple):
    """What RDKit makes of a SMILES."""

    canonical: str
    scaffold: str
    atoms: int
    parent: Parent


class Reject(NamedTuple):
    """Why a record is left out, or worth a word."""

    reason: str
    detail: str
    action: str = "dropped"


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
    number (for classification: not 0 or 1); for a column of relations or of several units beside the labels that
    nothing is said of; and if more than the share `max_rejected` of its records is dropped.
    """
    records = [] if dataset.format in TABLES else structures(source, dataset)
    origin = dataset.source_of(sha256(source))
    named = origin.columns if origin else {}
    values = {**dataset.values, **(origin.values if origin else {})}
    if records:
        table = property_table(source, records)
        smiles, faults = _smiles_of(records, processes)
    else:
        column = named.get(dataset.smiles, dataset.smiles)
        table = load(source, reading(dataset, column))
        smiles, faults = table.column(column), {}
    names = label_names(table, dataset)
    columns = [named.get(name, name) for name in names]
    labels, sides, censored = labels_of(table, columns, dataset, values, known=origin is not None)
    split = dataset.split_column
    groups = table.column(named.get(split, split)) if split else [""] * len(smiles)

    parsed = list(chain.from_iterable(by_chunk(parse_all, smiles, CHUNK, processes)))
    rejects: dict[int, Reject] = {row: item for row, item in enumerate(parsed) if isinstance(item, Reject)}
    rejects |= faults
    for row in np.flatnonzero(np.isnan(labels).all(axis=1)).tolist():
        nothing = Reject("missing_labels", f"no label in {len(names)} column(s)")
        rejects.setdefault(row, censored[row]._replace(action="dropped") if row in censored else nothing)
    usable = {row: item for row, item in enumerate(parsed) if isinstance(item, Molecule) and row not in rejects}
    rejects |= _settle_duplicates(usable, labels, sides, dataset, table)
    if limits := TASKS[dataset.task].limits:
        labels = limits.encoded(labels, sides)
    for row in usable:
        if row in censored:
            rejects.setdefault(row, censored[row])
    dropped = {row for row, reject in rejects.items() if reject.action == "dropped"}
    kept = [row for row in usable if row not in dropped]
    _check_share(table, smiles, rejects, dropped, max_rejected, dataset)

    molecules = pd.DataFrame(
        {
            "dataset": dataset.name,
            "molecule": np.arange(len(kept), dtype=np.int32),
            "row": np.array(kept, dtype=np.int64),
            "smiles": [smiles[row] for row in kept],
            "canonical": [usable[row].canonical for row in kept],
            "scaffold": [usable[row].scaffold for row in kept],
            "atoms": np.array([usable[row].atoms for row in kept], dtype=np.int32),
            "parent": _parents([usable[row].parent for row in kept]),
            "group": [groups[row] for row in kept],
            "labels": list(labels[kept].astype(np.float32)),
        }
    )
    listed = [
        (dataset.name, row, smiles[row], *rejects[row], table.position(row), groups[row]) for row in sorted(rejects)
    ]
    return (
        molecules,
        pd.DataFrame(listed, columns=schemas.schema("rejects").names).astype(schemas.empty("rejects").dtypes),
        _tasks(names, labels[kept], dataset),
    )


def reading(dataset: Dataset, smiles: str) -> Reading:
    """Return how a dataset's table is read, in which `smiles` is the column of SMILES."""
    return Reading(smiles, dataset.sheet, dataset.format == "smi")


def structures(path: Path, dataset: Dataset) -> list[Structure]:
    """Read the records of an XYZ or SDF file, packed by gzip or not, in their order.

    Raises `UserError` for a file that is empty or not of that format, and for an XYZ record that cannot be read; an SDF
    record that cannot has a `fault`.
    """
    return _structures_of(path, _structure_text(path, dataset), dataset)


def first_structures(path: Path, dataset: Dataset, most: int) -> tuple[list[Structure], bool]:
    """Read the records in the first `most` bytes, unpacked, of an XYZ or SDF file, and say whether these are all.

    Raises `UserError` as :func:`structures` does.
    """
    with open(path, "rb") as stream:
        packed = stream.read(2) == GZIP
    try:
        with gzip.open(path) if packed else open(path, "rb") as stream:
            start = stream.read(most + 1)
    except (OSError, EOFError, zlib.error):
        start = b""  # what is wrong with the file is said where it is read as a whole
    if len(start) <= most:
        return structures(path, dataset), True
    cut = start[:most].decode("utf-8-sig", errors="replace")
    text = cut[: _whole_records(cut, dataset.format)]
    return (_structures_of(path, text, dataset), False) if text else (structures(path, dataset), True)


def _whole_records(text: str, form: str) -> int:
    """Return where the last record ends that is whole in the beginning of a file; 0 if none is.

    What is no record stays, so that whoever reads it says so.
    """
    if form == "sdf":
        return text.rfind(END_OF_SDF) + len(END_OF_SDF) if END_OF_SDF in text else 0
    lines = text.splitlines(keepends=True)[:-1]
    start = 0
    while start < len(lines):
        count = lines[start].strip()
        if count and not (count.isdecimal() and len(count) <= DIGITS):
            return sum(map(len, lines))
        end = start + (2 + int(count) if count else 1)
        if end > len(lines):
            break
        start = end
    return sum(map(len, lines[:start]))


def _structure_text(path: Path, dataset: Dataset) -> str:
    kind = dataset.format.upper()
    return read_text(path, f"an {kind} text in UTF-8", "Give the file as its program writes it.")


def _structures_of(path: Path, text: str, dataset: Dataset) -> list[Structure]:
    kind = dataset.format.upper()
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
        text = (gzip.decompress(content) if content[:2] == GZIP else content).decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: {CUT} ({error}). {AGAIN}") from error
    except (OSError, UnicodeDecodeError) as error:
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
        if not count.isdecimal() or len(count) > DIGITS:
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


def property_table(path: Path, structures: Sequence[Structure]) -> Table:
    """Return the properties of structures as a table, "" where one lacks what another has."""
    header = list(dict.fromkeys(chain.from_iterable(item.properties for item in structures)))
    records = [[item.properties.get(name, "") for name in header] for item in structures]
    return Table(path, header, records, [])


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


def label_names(table: Table, dataset: Dataset) -> list[str]:
    """Return the label columns; "*" is every column but the SMILES, the split column and those to ignore."""
    if dataset.labels != ("*",):
        return list(dataset.labels)
    other = {dataset.smiles, dataset.split_column, dataset.relations, *dataset.ignore, *dataset.geometry}
    names = [name for name in table.header if name not in other and not is_unnamed(name)]
    if not names:
        raise UserError(f"{table.path}: there is no label column beside {', '.join(map(repr, table.header))}.")
    return names


def labels_of(
    table: Table, names: Sequence[str], dataset: Dataset, values: Values, known: bool = False
) -> tuple[np.ndarray, NDArray[np.int64], dict[int, Reject]]:
    """Return the labels, records x tasks, NaN where missing, and by row what was censored and what became of it.

    Between them stands on which side of each number its value lies, -1 or 1; 0 where it is the value, or taken for it.
    Of a file that the registry knows, columns beside the labels were judged when it was registered. Raises `UserError`
    as :func:`read` does.
    """
    task = TASKS[dataset.task]
    signs = [""] * len(table.records)
    factors = np.ones(len(table.records))
    if not task.classes and not (known and not dataset.relations):
        beside = [name for name in dict.fromkeys(table.header) if _may_tell(name, table, names, dataset)]
        texts = _label_texts(table, names[0], values)
        signs = _relations(table, beside, names[0], texts, dataset)
        factors = _factors(table, beside, texts, dataset)
    columns, sides = [], []
    censored: dict[int, Reject] = {}
    for name in names:
        written = table.column(name)
        texts = _label_texts(table, name, values)
        limit_of = {text: label.limit(text) for text in set(texts)}
        bounds = [
            None if task.classes else limit_of.get(text) or _bound(sign, text)
            for sign, text in zip(signs, texts, strict=True)
        ]
        plain = [bound.number if bound else text for bound, text in zip(bounds, texts, strict=True)]
        numbers = {text: _number(text, dataset.task) for text in set(plain)}
        wrong = next((row for row, text in enumerate(plain) if numbers[text] is None), None)
        if wrong is not None:
            raise UserError(
                f"{table.path}: column {name!r}, {table.position(wrong)}: the label {written[wrong]!r} is not "
                f"{task.labels_are}. {written_numbers.mend(plain[wrong]) or 'Correct or empty it'}, name another "
                "column, or translate labels by `values`."
            )
        column = [numbers[text] for text in plain]
        side = [0] * len(column)
        for row, bound in enumerate(bounds):
            if bound:
                told = f"{name!r} is {bound.sign} {bound.number}: {BECAME[dataset.censored]}"
                before = f"{censored[row].detail}; " if row in censored else ""
                censored[row] = Reject("censored", before + told, "kept")
                if task.limits:
                    side[row] = -1 if bound.sign in label.BELOW else 1
                elif dataset.censored != "limit":
                    column[row] = np.nan
        columns.append(column)
        sides.append(side)
    labels = np.array(columns, dtype=np.float64).T * factors[:, None]
    for row, number in np.argwhere(np.abs(labels) > LARGEST).tolist():
        raise UserError(
            f"{table.path}: column {names[number]!r}, {table.position(row)}: the label {labels[row, number]:g} is "
            f"larger than {LARGEST:.0e}, the most that can be learnt. Give labels in another unit, or their logarithms."
        )
    # What is multiplied by a negative number lies on the other side of it.
    return labels, np.array(sides, dtype=np.int64).T * np.sign(factors[:, None]).astype(np.int64), censored


def _may_tell(name: str, table: Table, names: Sequence[str], dataset: Dataset) -> bool:
    """Return whether a column may say what the labels mean: it is there once, is nothing else, and begins like that."""
    used = {dataset.smiles, dataset.split_column, dataset.cliff_column, *dataset.ignore, *dataset.geometry, *names}
    if name in used or table.header.count(name) > 1:
        return False
    position = table.header.index(name)
    first = next((cell for record in table.records if (cell := record[position].strip())), "")
    return label.is_relation(first) or label.unit(first) in {*label.UNITS, *map(label.unit, dataset.units)}


def _bound(sign: str, text: str) -> label.Limit | None:
    """Return a label as a limit, where the column of relations says so."""
    return label.Limit(sign, text) if sign in label.BEYOND and not label.is_missing(text) else None


def _relations(table: Table, beside: Sequence[str], name: str, texts: Sequence[str], dataset: Dataset) -> list[str]:
    """Return the relation of each record, "" where there is none; raise `UserError` where it must be asked for."""
    if dataset.relations:
        cells = table.column(dataset.relations)
        odd = next((row for row, cell in enumerate(cells) if cell and not label.is_relation(cell)), None)
        if odd is not None:
            raise UserError(
                f"{table.path}: column {dataset.relations!r}, {table.position(odd)}: {cells[odd]!r} is no relation "
                "(=, <, >, <=, >=, ~). Correct it, or name another column by `relations`."
            )
        candidates = [dataset.relations]
    else:
        candidates = [name for name in beside if label.holds_relations(table.column(name))]
    if not candidates:
        return [""] * len(table.records)
    if len(candidates) > 1:
        raise UserError(
            f"{table.path}: {', '.join(map(repr, candidates))} are columns of relations; name that of the labels by "
            "`relations`."
        )
    signs = [label.relation(cell) for cell in table.column(candidates[0])]
    beyond = [row for row, sign in enumerate(signs) if _bound(sign, texts[row])]
    if beyond and not dataset.censored:
        first = beyond[0]
        raise UserError(
            f"{table.path}: column {candidates[0]!r} says of {len(beyond)} of {len(signs)} labels that the value lies "
            f"beyond the number, first in {table.position(first)}: {name!r} {signs[first]} {texts[first]}. Say "
            "what becomes of them: `censored: drop` leaves them out, `censored: limit` takes the number for the value, "
            "`censored: one_sided` learns that the value lies beyond it. On the "
            "command line: censored=drop."
        )
    return signs


def _factors(table: Table, beside: Sequence[str], texts: Sequence[str], dataset: Dataset) -> NDArray[np.float64]:
    """Return what each record's labels are multiplied by; raise `UserError` for units that nothing is said of."""
    ones = np.ones(len(table.records))
    rows = [row for row, text in enumerate(texts) if not label.is_missing(text)]
    of_rows = {name: [cells[row] for row in rows] for name in beside for cells in [table.column(name)]}
    if not dataset.units:
        for name, cells in of_rows.items():
            if label.holds_units(cells):
                second = next(n for n, cell in enumerate(cells) if label.unit(cell) != label.unit(cells[0]))
                each = ", ".join(f"{cell}: 1" for cell in dict.fromkeys(cells) if cell)
                raise UserError(
                    f"{table.path}: the labels have several units, by column {name!r}: {label.counted(cells)}; "
                    f"{table.position(rows[second])} is {texts[rows[second]]} {cells[second]}. Write one unit, or say "
                    f"what each label is multiplied by: `units: {{{each}}}` with the right numbers; on the "
                    f"command line, units='{{{each}}}'."
                )
        return ones
    told = [name for name, cells in of_rows.items() if any(label.factor(cell, dataset.units) for cell in cells)]
    if len(told) != 1:
        which = "no column holds" if not told else f"{', '.join(map(repr, told))} hold"
        raise UserError(f"{table.path}: {which} the units {', '.join(map(repr, dataset.units))} of `units`.")
    for row, cell in zip(rows, of_rows[told[0]], strict=True):
        worth = label.factor(cell, dataset.units)
        if worth is None:
            raise UserError(
                f"{table.path}: column {told[0]!r}, {table.position(row)}: the unit {cell!r} is not in `units`, "
                "which must say of each unit what its labels are multiplied by."
            )
        ones[row] = worth
    return ones


def _label_texts(table: Table, name: str, values: Values) -> list[str]:
    """Return the labels of a column as texts: translated by `values`, and numbers as Python writes them."""
    texts = table.column(name)
    meaning = {text: label.translated(text, values) for text in set(texts)}
    return written_numbers.plain([meaning[text] for text in texts]).texts


def _number(text: str, task: str) -> float | None:
    """Return a label's number, NaN if it is missing, None if it cannot be a label of the task."""
    if label.is_missing(text):
        return np.nan
    try:
        return TASKS[task].read(text)
    except ValueError:
        return None


def parse_all(smiles: Sequence[str]) -> list[Molecule | Reject]:
    """Return what `parse` makes of each SMILES, without RDKit's warnings."""
    with rdBase.BlockLogs():
        return [parse(text) for text in smiles]


def parse(smiles: str, *, scaffold: bool = True) -> Molecule | Reject:
    """Return what RDKit makes of one SMILES, or why it makes nothing of it.

    That is the canonical form, the Bemis-Murcko scaffold with chirality ("" without `scaffold`: a large molecule's
    takes seconds), the number of atoms, and the parent structure.
    """
    mol = readable(smiles)
    if isinstance(mol, Reject):
        return mol
    frame = _chiral_scaffold(mol) if scaffold else ""
    return Molecule(Chem.MolToSmiles(mol), frame, mol.GetNumAtoms(), parent_of(mol))


def chiral_scaffolds(smiles: Sequence[str]) -> list[str | None]:
    """Return the scaffold that `parse` finds for each SMILES, and nothing else of it; None where it makes nothing."""
    with rdBase.BlockLogs():
        read = (readable(text) for text in smiles)
        return [None if isinstance(mol, Reject) else _chiral_scaffold(mol) for mol in read]


def _chiral_scaffold(mol: Chem.Mol) -> str:
    return MurckoScaffold.MurckoScaffoldSmiles(mol=mol, includeChirality=True)


def flat_scaffolds(smiles: Sequence[str]) -> list[str]:
    """Return the Bemis-Murcko scaffold without chirality of each SMILES; raise `ValueError` where RDKit reads none."""
    with rdBase.BlockLogs():
        return [MurckoScaffold.MurckoScaffoldSmiles(text, includeChirality=False) for text in smiles]


def readable(smiles: str) -> Chem.Mol | Reject:
    """Return the molecule of a text that is one SMILES as a whole, or why it cannot be taken.

    Blanks around it count as nothing.
    """
    if not smiles.strip():
        return Reject("empty_smiles", "")
    if len(smiles) > CHARACTERS:
        return Reject("too_large", f"{len(smiles):,} characters, more than {CHARACTERS:,}")
    if fault := fault_around(smiles):
        return Reject("invalid_smiles", fault)
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
    return mol


def _parents(parents: Sequence[Parent]) -> list[str]:
    """Return the SMILES of each parent, of tautomers that of the first."""
    first: dict[str, str] = {}
    return [first.setdefault(parent.key, parent.smiles) for parent in parents]


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


def _settle_duplicates(
    molecules: dict[int, Molecule], labels: np.ndarray, sides: NDArray[np.int64], dataset: Dataset, table: Table
) -> dict[int, Reject]:
    """Judge records with the same canonical SMILES by `dataset.duplicates`; "average" writes means into `labels`.

    Records contradict each other if no value is what all of them say. Of a molecule's values and limits the values are
    averaged, for a mean with a limit is neither; of limits alone, the closest one says what all do, and is kept on its
    side in `sides`. "drop" merges limits in the same way. Limits that leave no value, or one between them, which one
    label cannot say, are never merged.
    """
    rejects = {}
    for rows in _repeated(molecules):
        block, side = labels[rows], sides[rows]
        given = ~np.isnan(block)
        least = np.where(given & (side >= 0), block, -np.inf).max(axis=0)
        most = np.where(given & (side <= 0), block, np.inf).min(axis=0)
        measured = given & (side == 0)
        between = ~measured.any(axis=0) & (given & (side < 0)).any(axis=0) & (given & (side > 0)).any(axis=0)
        contradicting = bool((least > most).any() or between.any())
        merges = not between.any() and not (contradicting and TASKS[dataset.task].classes)
        averaged = dataset.duplicates == "average" and merges
        if averaged or (dataset.duplicates == "drop" and side.any() and not contradicting):
            counts = np.where(measured.any(axis=0), measured.sum(axis=0), np.nan)
            mean = np.where(measured, block, 0).sum(axis=0) / counts
            above = np.isfinite(least)
            limit = np.where(above, least, np.where(np.isfinite(most), most, np.nan))
            labels[rows[0]] = np.where(measured.any(axis=0), mean, limit)
            sides[rows[0]] = np.where(measured.any(axis=0) | np.isnan(limit), 0, np.where(above, 1, -1))
        for row in rows if contradicting else rows[1:]:
            stays = dataset.duplicates == "keep" or (averaged and row == rows[0])
            others = table.position(*(other for other in rows if other != row))
            rejects[row] = Reject(
                "contradicting_duplicate" if contradicting else "duplicate",
                f"same molecule as {others}" + ("; labels averaged into the first" if averaged else ""),
                "kept" if stays else "dropped",
            )
    return rejects


def _repeated(molecules: dict[int, Molecule]) -> Iterator[list[int]]:
    """Return the groups of records that hold one molecule, each in the order of the file."""
    rows: dict[str, list[int]] = {}
    for row, molecule in molecules.items():
        rows.setdefault(molecule.canonical, []).append(row)
    return (group for group in rows.values() if len(group) > 1)


def _check_share(
    table: Table,
    smiles: Sequence[str],
    rejects: Mapping[int, Reject],
    dropped: set[int],
    max_rejected: float,
    dataset: Dataset,
) -> None:
    """Raise `UserError` if too many records cannot be used, or none is left.

    Records that are merged with others, have no label, or are censored where `dataset.censored` is said, are left out
    by the user's own wish, and do not count.
    """
    wished = NOT_COUNTED | ({"censored"} if dataset.censored else set())
    total = len(table.records)
    unusable = {row for row in dropped if rejects[row].reason not in wished}
    if len(unusable) <= max_rejected * total and len(dropped) < total:
        return
    which = unusable if len(unusable) > max_rejected * total else dropped
    counts = Counter(rejects[row].reason for row in which)
    mend = ""
    if counts["censored"]:
        mend = "`censored: drop`, `limit` or `one_sided` says what becomes of labels beyond a limit. "
    examples = [
        f"{table.position(row)}, {smiles[row]!r}: {rejects[row].reason} {rejects[row].detail}".strip()
        for row in sorted(which)[:EXAMPLES]
    ]
    limit = (
        f"more than the limit `max_rejected` of {max_rejected:g} allows" if which is unusable else "and none is left"
    )
    raise UserError(
        f"{table.path}: {len(which)} of {total} records would be dropped "
        f"({', '.join(f'{count} {reason}' for reason, count in counts.most_common())}), {limit}. First: "
        f"{'; '.join(examples)}. {mend}Mend the file or raise the limit."
    )


def _tasks(names: Sequence[str], labels: np.ndarray, dataset: Dataset) -> pd.DataFrame:
    """Return table "tasks": a row a label column: its numbers of labels, positives and limits, mean and deviation.

    The standard deviation is the population's.
    """
    task = TASKS[dataset.task]
    present = [column[~np.isnan(column)] for column in labels.T]
    values = [column[~np.isnan(column)] for column in task.values(labels).T]
    sides = task.limits.sides(labels) if task.limits else np.zeros(labels.shape, np.int64)
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
            "lower_limits": (sides > 0).sum(axis=0),
            "upper_limits": (sides < 0).sum(axis=0),
        }
    )
