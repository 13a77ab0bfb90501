"""Energies and forces of molecules that are in no dataset: what a force-field objective is kept alive by.

Fine-tuning on a property together with forces (arXiv 2601.08486) takes the forces from molecules that are not
downstream molecules. These come from a pretraining corpus, without those of the datasets, and are labelled by GFN2-xTB
(Bannwarth et al., J. Chem. Theory Comput. 15, 1652 (2019)), never by a force field such as MMFF.

What is left out of the corpus is found by the first block of the InChIKey, in whatever way a molecule is written: with
a dataset's molecule go its stereoisomers, isotopologues and protonation states, those tautomers that InChI calls
equal (a hydrogen that moves between heteroatoms; a ketone and its enol are two molecules to InChI), and each fragment
of a salt by itself.

A user's own labels, by the method of the pretraining say, are held to the same: a structure whose molecule, or a
fragment of it, is in a dataset is counted and never learnt from.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers
from tqdm import tqdm

from roftmol.core import source_code
from roftmol.core.errors import UserError
from roftmol.core.files import digest
from roftmol.core.parallel import by_chunk, each
from roftmol.core.seeds import generator, seed_of
from roftmol.data.molecules import Structure, bonded, frames_of, read_text
from roftmol.features.gfn2 import BOHR, HARTREE, SinglePointError, one_thread, single_point
from roftmol.tables import schemas

Array = npt.NDArray[np.float64]
Item = TypeVar("Item")
Made = TypeVar("Made")

BLOCK = 14  # letters of an InChIKey that say formula and connections, without stereo, isotopes and protons
CHUNK = 500  # SMILES or structures handed to a worker at a time
HEAVIEST = 86  # the last element that GFN2-xTB has parameters for
MAX_FAILED = 0.1
#: The source of a user's own labels.
NATIVE = "native"
#: The largest share of their structures that may not be learnt from.
MAX_NATIVE_FAILED = 0.5


class LabelError(Exception):
    """Why a conformer has no label: recorded, not raised to the user."""


def gfn2(numbers: npt.NDArray[np.int64], positions: Array, charge: int = 0, uhf: int = 0) -> tuple[float, Array]:
    """Return energy (eV) and forces (n x 3, eV/A) by GFN2-xTB of atoms at `positions` (n x 3, A).

    `uhf` is the number of unpaired electrons. Raises `LabelError` if the charges do not converge or atoms are too
    close.
    """
    try:
        result = single_point(numbers, positions, charge, uhf)
    except SinglePointError as error:
        raise LabelError(str(error)) from error
    return result.energy * HARTREE, -result.gradient * (HARTREE / BOHR)


#: Where labels come from, by the name that every row bears: (atomic numbers, positions) -> energy, forces.
SOURCES: dict[str, Callable[[npt.NDArray[np.int64], Array], tuple[float, Array]]] = {"gfn2": gfn2}


@dataclass(frozen=True)
class ForceSettings:
    """How many molecules and conformers of each, what molecules may be like, and where their labels come from."""

    source: str = "gfn2"
    molecules: int = 500
    conformers: int = 4
    displacement: float = 0.05  #: A, the standard deviation of each coordinate; half of it for conformer 0
    heavy_atoms: int = 12  #: at most
    elements: tuple[str, ...] = ("H", "C", "N", "O", "F")
    seed: int = 0

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise UserError(f"source: {self.source!r} is unknown; choose one of {', '.join(SOURCES)}.")
        for name in ("molecules", "conformers", "heavy_atoms"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise UserError(f"{name}: {value!r} is no positive whole number; give one.")
        if not 0 < self.displacement < np.inf:
            raise UserError(f"displacement: {self.displacement!r} must be a number of A above 0.")
        table = Chem.GetPeriodicTable()
        symbols = {table.GetElementSymbol(number) for number in range(1, HEAVIEST + 1)}
        if unknown := [symbol for symbol in self.elements if symbol not in symbols]:
            raise UserError(f"elements: {unknown} are no symbols of elements up to {HEAVIEST}; write them as in H, Cl.")


@dataclass(frozen=True)
class StageSettings(ForceSettings):
    """The same, with the datasets whose molecules are not to be labelled."""

    datasets: tuple[str, ...] = field(kw_only=True)


class Job(NamedTuple):
    """A molecule to label, and the file that its labels go to."""

    smiles: str
    inchikey: str
    path: Path
    settings: ForceSettings


def label(
    corpus: pd.DataFrame, exclude: Sequence[pd.DataFrame], settings: ForceSettings, parts: Path, processes: int
) -> pd.DataFrame:
    """Return table "force_labels" of molecules of a table "corpora" that are in no table "molecules" of `exclude`.

    Each molecule is saved under `parts` when it is done, and found there by the next run. Raises `UserError` if no
    molecule of the corpus fits, or if more than a tenth of the conformers have no label.
    """
    with one_thread():
        chosen = choose(corpus, exclude, settings, processes)
        jobs = [
            Job(smiles, inchikey, parts / f"{part_name(smiles, inchikey, settings)}.parquet", settings)
            for smiles, inchikey in zip(chosen["smiles"], chosen["inchikey"], strict=True)
        ]
        missing = [job for job in jobs if _finished(job.path) is None]
        with tqdm(
            total=len(jobs), initial=len(jobs) - len(missing), desc="labelled", unit=" molecules", mininterval=10
        ) as bar:
            for _ in each(_finish, missing, processes):
                bar.update()
    tables = [
        schemas.read("force_labels", job.path).assign(row=row) for row, job in zip(chosen["row"], jobs, strict=True)
    ]
    labels = pd.concat(tables, ignore_index=True)
    _check_failures(labels)
    return labels


def choose(
    corpus: pd.DataFrame, exclude: Sequence[pd.DataFrame], settings: ForceSettings, processes: int = 1
) -> pd.DataFrame:
    """Return the molecules to label: `row` in the corpus, canonical `smiles`, `inchikey`.

    They are ordered by a hash of the InChIKey, so that a larger number keeps all earlier ones. Raises `UserError` if
    there are none, or if RDKit cannot read a dataset's molecule.
    """
    downstream = _downstream(exclude, settings.heavy_atoms, processes)
    keys = _chunked(partial(_fitting, settings=settings), corpus["canonical"].tolist(), processes)
    # Of a molecule that stands there twice, the first row counts.
    table = pd.DataFrame({"row": corpus["row"].to_numpy(), "smiles": corpus["canonical"].to_numpy(), "inchikey": keys})
    fitting = table[table["inchikey"] != ""].drop_duplicates("inchikey")
    left = fitting[~fitting["inchikey"].str[:BLOCK].isin(downstream)]
    print(
        f"{len(fitting):,} of the corpus' {len(table):,} molecules fit; {len(fitting) - len(left):,} of these are in a "
        f"dataset and left out; {min(len(left), settings.molecules):,} are labelled",
        file=sys.stderr,
    )
    if left.empty:
        raise UserError(
            f"no molecule of the corpus can be labelled: {len(fitting)} have at most {settings.heavy_atoms} heavy "
            f"atoms, {', '.join(settings.elements)} alone, no charge and one fragment, and none of them is outside the "
            "datasets. Raise `heavy_atoms`, name more `elements` or another corpus."
        )
    order = left["inchikey"].map(lambda key: seed_of("force molecules", settings.seed, key)).sort_values().index
    return left.loc[order[: settings.molecules]].reset_index(drop=True)


def native(path: Path, exclude: Sequence[pd.DataFrame], processes: int = 1) -> pd.DataFrame:
    """Read table "force_labels" from a user's own extended XYZ: a row a structure, with energy (eV) and forces (eV/A).

    What has a fragment in one of the tables "molecules" `exclude`, or cannot be compared with them, is "failed". Raises
    `UserError`, which names the structure, for what has no labels or is nothing that the models read, and if more than
    half have failed.
    """
    # Here, for it comes with torch, which no other part of this stage needs.
    from roftmol.features.featurizers.geometry import ELEMENTS

    text = read_text(path, "an XYZ text in UTF-8", "Give an extended XYZ, as ASE writes it.")
    read = partial(_native_structure, path=path, elements=ELEMENTS)
    structures = _chunked(read, list(enumerate(frames_of(path, text))), processes)
    heavy_atoms = max(int((item.numbers > 1).sum()) for item in structures)
    downstream = _downstream(exclude, heavy_atoms, processes)
    labels = pd.DataFrame([_native_row(item, downstream) for item in structures])
    labels["row"] = np.arange(len(labels))
    labels["conformer"] = labels.groupby("inchikey").cumcount()
    _check_native_failures(path, labels)
    return labels


def molecule_labels(smiles: str, inchikey: str, settings: ForceSettings) -> pd.DataFrame:
    """Return table "force_labels" of one molecule without `row`: a row a conformer, a failed one with its reason."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.int64)
    rows = []
    for conformer in range(settings.conformers):
        positions = np.empty((0, 3), np.float32)
        forces = np.empty((0, 3))
        energy = np.nan
        reason = ""
        try:
            positions = _displaced(molecule, inchikey, conformer, settings)
            energy, forces = _finite(*SOURCES[settings.source](numbers, positions.astype(np.float64)))
        except LabelError as error:
            reason = str(error)
        rows.append(
            {
                "smiles": smiles,
                "inchikey": inchikey,
                "conformer": conformer,
                "source": settings.source,
                "status": "failed" if reason else "ok",
                "reason": reason,
                "numbers": numbers.astype(np.int8),
                "positions": positions.ravel(),
                "energy": energy,
                "forces": forces.astype(np.float32).ravel(),
            }
        )
    return pd.DataFrame(rows)


def part_name(smiles: str, inchikey: str, settings: ForceSettings) -> str:
    """Return the name of a molecule's file: a digest of all that its labels depend on."""
    return digest({"smiles": smiles, "inchikey": inchikey, **_label_settings(settings), **_versions(settings.source)})


def _label_settings(settings: ForceSettings) -> dict[str, Any]:
    """Return the settings that a molecule's labels depend on; the others say which molecules there are."""
    return {name: getattr(settings, name) for name in ("source", "conformers", "displacement", "seed")}


@cache
def _versions(source: str) -> dict[str, str]:
    """Return the software that a molecule's labels depend on: the digest of our code, and the versions of packages.

    Code that only reads and writes tables does not count.
    """
    packages = ("numpy", "rdkit", *(("tblite",) if source == "gfn2" else ()))
    # What reads a user's own file labels nothing, and tables are only read and written.
    leaves = ["roftmol.tables.schemas", "roftmol.data.molecules", "roftmol.features.featurizers.geometry"]
    ours = source_code.code_digest(source_code.sources(["roftmol.data.force_labels"], leaves))
    return {"code": ours, **{name: metadata.version(name) for name in packages}}


def _finish(job: Job) -> None:
    """Label a molecule and save it, whatever its row in a corpus."""
    labels = molecule_labels(job.smiles, job.inchikey, job.settings).assign(row=-1)
    schemas.write("force_labels", labels, job.path, _label_settings(job.settings))


def _finished(path: Path) -> pd.DataFrame | None:
    """Return the labels of a molecule that is done, or None if there is no such file or it cannot be read."""
    try:
        return schemas.read("force_labels", path)
    except UserError:
        return None


def _displaced(molecule: Chem.Mol, inchikey: str, conformer: int, settings: ForceSettings) -> npt.NDArray[np.float32]:
    """Return the positions (n x 3, A) of a conformer of its own seed, relaxed by MMFF where it can be, then displaced.

    They are in single precision before they are labelled, so that labels belong to the positions that are stored.
    Raises `LabelError` if RDKit finds no conformer.
    """
    placed = Chem.Mol(molecule)
    parameters = rdDistGeom.ETKDGv3()
    seed = seed_of("conformer", settings.seed, inchikey, conformer) % 2**31
    parameters.randomSeed = seed  # type: ignore[assignment]  # RDKit's stubs say otherwise
    with rdBase.BlockLogs():
        if rdDistGeom.EmbedMolecule(placed, parameters) < 0:
            raise LabelError("RDKit finds no conformer")
        # A start near a minimum, no more: without MMFF's parameters it stays as embedded, and no label is MMFF's.
        rdForceFieldHelpers.MMFFOptimizeMolecule(placed)
    scale = settings.displacement * (0.5 if conformer == 0 else 1)
    noise = generator("displacement", settings.seed, inchikey, conformer).normal(0, scale, (placed.GetNumAtoms(), 3))
    return (placed.GetConformer().GetPositions() + noise).astype(np.float32)


def _finite(energy: float, forces: Array) -> tuple[float, Array]:
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise LabelError("energy or forces are no finite numbers")
    return energy, forces


class NativeStructure(NamedTuple):
    """A structure of a user's own file: atomic numbers (n), positions (n x 3, A), energy (eV), forces (n x 3, eV/A).

    `fragments` are the first blocks of the InChIKeys of its fragments. With a `reason`, it cannot be compared.
    """

    numbers: npt.NDArray[np.int64]
    positions: Array
    energy: float
    forces: Array
    smiles: str = ""
    inchikey: str = ""
    fragments: frozenset[str] = frozenset()
    reason: str = ""


def _native_structure(entry: tuple[int, str], path: Path, elements: Mapping[int, str]) -> NativeStructure:
    """Return the structure of an entry, which is its number in the file and its text; its atoms are of `elements`.

    Raises `UserError` for what cannot be read, has no labels, or is no molecule of these elements.
    """
    from ase.io import iread

    row, text = entry
    where = f"{path}: structure {row} (the first is 0)"
    try:
        (atoms,) = iread(io.StringIO(text), format="extxyz")
        charge = round(float(atoms.info.get("charge", 0)))
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        raise UserError(
            f"{where} is no extended XYZ: {type(error).__name__} {error}. Give it as ASE writes it: a line of "
            "key=value pairs, `charge` a number if any, and a line an atom with its symbol, position and forces."
        ) from error
    # Whatever is called so, ASE takes for results of a calculation.
    results = getattr(atoms.calc, "results", {})
    energy = _numbers(results.get("energy"))
    forces = _numbers(results.get("forces"))
    for name, values, shape in (("energy", energy, ()), ("forces", forces, atoms.positions.shape)):
        if values.shape != shape:
            raise UserError(
                f"{where} has no {name}. Give energy=... in eV in its line of key=value pairs and forces:R:3 in eV/A "
                "among its Properties, under these names; or remove the structure."
            )
    for name, values in (("energy", energy), ("forces", forces), ("positions", atoms.positions)):
        if not np.isfinite(values).all():
            value = values[~np.isfinite(values)][0]
            raise UserError(f"{where}: {value} in its {name} is no finite number. Mend it, or remove the structure.")
    if unsupported := sorted({atom.symbol for atom in atoms if atom.number not in elements}):
        raise UserError(
            f"{where} has {', '.join(unsupported)}, and the models know {', '.join(elements.values())}. "
            "Remove the structure."
        )
    if atoms.pbc.any():
        raise UserError(
            f'{where} is periodic, and the models read molecules. Write pbc="F F F" if it is one, or remove it.'
        )
    smiles = _smiles(atoms.info.get("smiles", ""))
    structure = Structure(atoms.numbers.astype(np.int64), atoms.positions, {}, smiles, charge)
    identity = _identified(structure, where)
    return NativeStructure(structure.numbers, structure.positions, float(energy), forces, *identity)


def _numbers(values: object) -> Array:
    """Return values as numbers; an empty array if they are missing or something else."""
    try:
        return np.zeros(0) if values is None else np.asarray(values, np.float64)
    except (TypeError, ValueError):
        return np.zeros(0)


def _smiles(value: object) -> str:
    """Return the SMILES of a structure's line: ASE takes hydrogen fluoride's for False, and "" for an empty array."""
    if value is False:
        return "F"
    return "" if isinstance(value, np.ndarray) and not value.size else str(value)


def _identified(structure: Structure, where: str) -> tuple[str, str, frozenset[str], str]:
    """Return a structure's canonical SMILES, InChIKey and the first blocks of its fragments' InChIKeys, and a reason.

    The reason says why the others are empty, and is "" where they are not. Bonds follow from the positions unless the
    structure has a SMILES. Raises `UserError` if that is none, or not of its atoms.
    """
    written = structure.smiles
    text = written or bonded(structure)
    molecule = Chem.MolFromSmiles(text) if isinstance(text, str) else None
    if written and molecule is None:
        raise UserError(
            f"{where}: RDKit does not read its SMILES {written!r}. Correct it, put it in double quotes, or leave it "
            "out: bonds are then determined from the positions."
        )
    whole = molecule is not None and _elements(molecule) == Counter(structure.numbers.tolist())
    if written and not whole:
        raise UserError(
            f"{where} has other atoms than its SMILES {written!r}. Give all atoms, hydrogens too, and the structure's "
            "own SMILES in double quotes, or none."
        )
    if structure.charge or (written and Chem.GetFormalCharge(molecule)):
        return "", "", frozenset(), "it has a charge"
    if molecule is None or not whole or not (written or _plain(molecule)):
        return "", "", frozenset(), "its bonds cannot be determined"
    keys = [Chem.MolToInchiKey(part) for part in (molecule, *Chem.GetMolFrags(molecule, asMols=True))]
    if not all(keys):
        return "", "", frozenset(), "it has no InChIKey"
    return Chem.MolToSmiles(molecule), keys[0], frozenset(key[:BLOCK] for key in keys), ""


def _plain(molecule: Chem.Mol) -> bool:
    """Return whether there are no radicals, and each charge has its opposite beside it, as in a nitro group.

    Other bonds that are found, such as none to a proton where one is stretched, are too often another molecule's.
    """
    for atom in molecule.GetAtoms():
        if atom.GetNumRadicalElectrons():
            return False
        charge = atom.GetFormalCharge()
        opposite = any(charge * other.GetFormalCharge() < 0 for other in atom.GetNeighbors())
        if charge and not opposite:
            return False
    return True


def _elements(molecule: Chem.Mol) -> Counter[int]:
    """Return how many atoms of each atomic number a molecule has, hydrogens included."""
    return Counter(atom.GetAtomicNum() for atom in Chem.AddHs(molecule).GetAtoms())


def _native_row(item: NativeStructure, downstream: set[str]) -> dict[str, Any]:
    """Return a row of table "force_labels" without `row` and `conformer`; with labels only where it is learnt from."""
    reason = item.reason or ("in a dataset" if item.fragments & downstream else "")
    return {
        "smiles": item.smiles,
        "inchikey": item.inchikey,
        "source": NATIVE,
        "status": "failed" if reason else "ok",
        "reason": reason,
        "numbers": item.numbers.astype(np.int8),
        "positions": item.positions.astype(np.float32).ravel(),
        "energy": np.nan if reason else item.energy,
        "forces": (item.forces[:0] if reason else item.forces).astype(np.float32).ravel(),
    }


def _fitting(smiles: str, settings: ForceSettings) -> str:
    """Return the InChIKey of a molecule that may be labelled, "" for any other.

    It is one fragment of the elements and the size allowed, without a charge as a whole (nitro groups stay) and
    without radicals. What InChI has no key for could not be compared with the datasets.
    """
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None or not 0 < molecule.GetNumHeavyAtoms() <= settings.heavy_atoms:
        return ""
    atoms = list(molecule.GetAtoms())
    elements = {atom.GetSymbol() for atom in atoms}
    if any(atom.GetTotalNumHs() for atom in atoms):
        elements.add("H")
    if (
        not elements <= set(settings.elements)
        or Chem.GetFormalCharge(molecule)
        or any(atom.GetNumRadicalElectrons() for atom in atoms)
        or len(Chem.GetMolFrags(molecule)) > 1
    ):
        return ""
    return Chem.MolToInchiKey(molecule)


def _downstream(exclude: Sequence[pd.DataFrame], heavy_atoms: int, processes: int) -> set[str]:
    """Return the first blocks of the InChIKeys of all fragments in tables "molecules".

    Fragments of more than `heavy_atoms` are left out. Raises `UserError` if RDKit cannot read one.
    """
    texts = list(dict.fromkeys(text for table in exclude for text in table["canonical"]))
    blocks_of = _chunked(partial(_blocks, heavy_atoms=heavy_atoms), texts, processes)
    if unread := [text for text, blocks in zip(texts, blocks_of, strict=True) if blocks is None]:
        raise UserError(
            f"{len(unread)} molecules of the datasets cannot be compared with those that have forces, for RDKit does "
            f"not read them; the first is {unread[0]!r}. Run the stage `molecules` again."
        )
    return set(chain.from_iterable(filter(None, blocks_of)))


def _blocks(smiles: str, heavy_atoms: int) -> frozenset[str] | None:
    """Return the first blocks of the InChIKeys of a molecule's fragments; None for what RDKit does not read.

    Fragments of more heavy atoms are left out: the block says the formula, so they equal nothing that is labelled.
    """
    molecule = Chem.MolFromSmiles(smiles)
    if molecule is None:
        return None
    fragments = Chem.GetMolFrags(molecule, asMols=True)
    keys = [Chem.MolToInchiKey(part) for part in fragments if part.GetNumHeavyAtoms() <= heavy_atoms]
    return frozenset(key[:BLOCK] for key in keys if key)


def _check_failures(labels: pd.DataFrame) -> None:
    """Say on stderr how many conformers have no label, and raise `UserError` for more than a tenth."""
    failed = labels[labels["status"] == "failed"]
    if failed.empty:
        return
    said = f"{len(failed)} of {len(labels)} conformers have no label ({_reasons(failed)})"
    if len(failed) > MAX_FAILED * len(labels):
        first = failed.iloc[0]
        raise UserError(
            f"{said}, more than a tenth; the first is conformer {first['conformer']} of {first['smiles']}. Lower "
            "`displacement` or `heavy_atoms`, or name other `elements`."
        )
    print(said, file=sys.stderr)


def _check_native_failures(path: Path, labels: pd.DataFrame) -> None:
    """Say on stderr how many structures are learnt from, and raise `UserError` if more than half are not."""
    failed = labels[labels["status"] == "failed"]
    learnt = labels[labels["status"] == "ok"]
    said = f"{len(learnt):,} of {len(labels):,} structures, of {learnt['inchikey'].nunique():,} molecules, are labels"
    if len(failed):
        said += f"; {len(failed):,} are not ({_reasons(failed)})"
    if len(failed) > MAX_NATIVE_FAILED * len(labels):
        raise UserError(
            f"{path}: {said}, more than half; the first is structure {failed['row'].iloc[0]}. Give neutral molecules "
            "that are in no dataset, and a key `smiles` where bonds cannot be determined from positions."
        )
    print(said, file=sys.stderr)


def _reasons(failed: pd.DataFrame) -> str:
    """Return the commonest reasons and how often each is given."""
    return ", ".join(f"{count} {reason!r}" for reason, count in Counter(failed["reason"]).most_common(3))


def _chunked(function: Callable[[Item], Made], items: Sequence[Item], processes: int) -> list[Made]:
    """Return what `function` makes of each item, in order; RDKit's warnings are not shown."""
    made = by_chunk(partial(_silent, function), items, CHUNK, processes)
    return list(chain.from_iterable(made))


def _silent(function: Callable[[Item], Made], items: Sequence[Item]) -> list[Made]:
    with rdBase.BlockLogs():
        return list(map(function, items))
