"""GFN2-xTB's descriptors of molecules: what their electrons are like at one geometry, and how large they are.

Of a molecule's largest fragment, with its charge: one ETKDGv3 conformer, relaxed by MMFF94, or by UFF where MMFF94 has
no parameters, and one single point. An odd electron stays unpaired. A dipole is about the centre of mass, which matters
for ions alone. One conformer says the dipole to about 0.7 D and the gap to 0.05 eV.

Equal fragments are computed once, whatever they are written like and whichever datasets they are in: each has a file
under `parts`, named by a digest of all that its values depend on, and found there by the next run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers, rdMolDescriptors
from tqdm import tqdm

from roftmol.core import source_code
from roftmol.core.files import atomic, canonical_json, digest
from roftmol.core.parallel import each
from roftmol.features.gfn2 import DEBYE, HARTREE, SinglePointError, check_installed, one_thread, single_point
from roftmol.features.inputs import GFN2_FIELDS, GFN2_NAMES

#: The seed of every conformer.
SEED = 0
#: What no value depends on: where files lie, who computes them, and what their columns are called.
LEAVES = (
    "roftmol.core",
    *(f"roftmol.core.{name}" for name in ("errors", "files", "parallel", "source_code")),
    "roftmol.features.inputs",
)


class Described(NamedTuple):
    """Values of `GFN2_FIELDS`, None where there is none, and why."""

    values: tuple[float | None, ...]
    reason: str = ""


class Job(NamedTuple):
    """A fragment to describe, as canonical SMILES, and the file that its values go to."""

    smiles: str
    path: Path


def descriptors(smiles: Sequence[str], parts: Path, processes: int = 1) -> tuple[NDArray[np.float32], list[str]]:
    """Return n molecules' descriptors, n x 14 in the order of `GFN2_NAMES`, and why some are missing, "" if none is.

    Each fragment is saved under `parts` when it is done. Raises `UserError` if tblite is not installed.
    """
    check_installed()
    fragments = list(map(largest_fragment, smiles))
    jobs = [Job(text, parts / part_name(text)) for text in dict.fromkeys(fragments)]
    described = {job.smiles: _finished(job) for job in jobs}
    missing = [job for job in jobs if described[job.smiles] is None]
    done = len(jobs) - len(missing)
    with one_thread(), tqdm(total=len(jobs), initial=done, desc="GFN2", unit=" molecules", mininterval=10) as bar:
        for job, result in zip(missing, each(_finish, missing, processes), strict=True):
            described[job.smiles] = result
            bar.update()
    rows = [described[fragment] or _nothing("") for fragment in fragments]
    exists = np.array([[value is not None for value in row.values] for row in rows], np.float32)
    values = np.array([[value or 0.0 for value in row.values] for row in rows], np.float32)
    shape = (len(smiles), len(GFN2_FIELDS))
    matrix = np.hstack([values.reshape(shape), exists.reshape(shape)])
    assert matrix.shape[1] == len(GFN2_NAMES)
    return matrix, [row.reason for row in rows]


def largest_fragment(smiles: str) -> str:
    """Return the canonical SMILES of the fragment with the most heavy atoms; of equals the heaviest, then the first.

    What RDKit does not read is returned as it is.
    """
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None:
            return smiles
        fragments = {Chem.MolToSmiles(part): part for part in Chem.GetMolFrags(molecule, asMols=True)}
    if not fragments:
        return ""
    return min(fragments, key=lambda text: (*_size(fragments[text]), text))


def _size(fragment: Chem.Mol) -> tuple[int, float]:
    """Return what is least for the largest fragment."""
    return -fragment.GetNumHeavyAtoms(), -round(rdMolDescriptors.CalcExactMolWt(fragment), 6)


def describe(smiles: str) -> Described:
    """Return the descriptors of one fragment."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
        if molecule is None or not molecule.GetNumAtoms():
            return _nothing("RDKit does not read it")
        molecule = Chem.AddHs(molecule)
        try:
            placed = _placed(molecule)
        except (ValueError, RuntimeError) as error:  # one odd molecule ends no run
            return _nothing(f"RDKit: {str(error).strip().splitlines()[0]}")
        if not placed:
            return _nothing("RDKit finds no conformer")
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()], np.int64)
    masses = np.array([atom.GetMass() for atom in molecule.GetAtoms()])
    positions = molecule.GetConformer().GetPositions()
    charge = Chem.GetFormalCharge(molecule)
    electrons = int(numbers.sum()) - charge
    try:
        result = single_point(numbers, positions - np.average(positions, 0, masses), charge, electrons % 2)
    except SinglePointError as error:
        return _nothing(str(error))
    levels = result.orbitals * HARTREE
    # The valence electrons; the core's have no orbitals.
    occupied = (round(result.occupations.sum()) + 1) // 2
    homo = levels[occupied - 1] if occupied else np.nan
    lumo = levels[occupied] if occupied < len(levels) else np.nan
    values = {
        "dipole": np.linalg.norm(result.dipole) * DEBYE,
        "homo": homo,
        "lumo": lumo,
        "gap": lumo - homo,
        "energy": result.energy,
        "electrons": electrons,
        "energy_per_atom": result.energy / len(numbers),
    }
    existing = tuple(float(values[name]) if np.isfinite(values[name]) else None for name in GFN2_FIELDS)
    lacking = [name for name, value in zip(GFN2_FIELDS, existing, strict=True) if value is None]
    return Described(existing, f"GFN2-xTB gives no {', '.join(lacking)}" if lacking else "")


def _placed(molecule: Chem.Mol) -> bool:
    """Give a molecule with hydrogens its conformer; return whether there is one."""
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = SEED  # type: ignore[assignment]  # RDKit's stubs say otherwise
    if rdDistGeom.EmbedMolecule(molecule, parameters) < 0:
        return False
    # What neither knows stays as embedded.
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.MMFFOptimizeMolecule(molecule)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.UFFOptimizeMolecule(molecule)
    return True


def _nothing(reason: str) -> Described:
    return Described((None,) * len(GFN2_FIELDS), reason)


def told(reasons: Sequence[str]) -> str:
    """Say how many molecules have all descriptors, and why the others do not."""
    failed = Counter(filter(None, reasons))
    said = f"{len(reasons) - failed.total():,} of {len(reasons):,} molecules have all descriptors by GFN2-xTB"
    if not failed:
        return said
    return f"{said}; {failed.total():,} do not ({', '.join(f'{n} {why!r}' for why, n in failed.most_common(3))})"


def part_name(smiles: str) -> str:
    """Return the name of a fragment's file, in one of 256 folders: a digest of all that its values depend on."""
    name = digest({"smiles": smiles, **_versions()})
    return f"{name[:2]}/{name[2:]}.json"


@cache
def _versions() -> dict[str, str]:
    """Return the software that the values depend on: the digest of our code, and the versions of packages."""
    code = source_code.code_digest(source_code.sources(["roftmol.features.gfn2_descriptors"], LEAVES))
    return {"code": code, **{name: metadata.version(name) for name in ("numpy", "rdkit", "tblite")}}


def _finish(job: Job) -> Described:
    """Describe a fragment and save that."""
    described = describe(job.smiles)
    with atomic(job.path) as temporary:
        temporary.write_text(canonical_json(_content(job.smiles, described)), encoding="utf-8")
    return described


def _finished(job: Job) -> Described | None:
    """Return what is saved of a fragment; None if there is no file, or one that is not as it was written."""
    try:
        saved = json.loads(job.path.read_text(encoding="utf-8"))
        described = Described(tuple(saved["values"][name] for name in GFN2_FIELDS), saved["reason"])
        return described if saved == _content(job.smiles, described) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _content(smiles: str, described: Described) -> dict[str, object]:
    """Return what a file says, with a digest, so that a changed digit is seen."""
    said = {
        "smiles": smiles,
        "values": dict(zip(GFN2_FIELDS, described.values, strict=True)),
        "reason": described.reason,
    }
    return {**said, "digest": digest(said)}
