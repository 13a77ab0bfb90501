"""Geometries: what was written comes back for the right molecule, and what cannot be one is named with its row."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.data import molecules
from roftmol.data.conformers import read
from roftmol.experiment.config import experiment
from roftmol.registry import catalog
from roftmol.tables import schemas
from stage_settings import settings_for

SMILES = ("CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "CCO", "FC(F)(F)Cl", "C[NH3+]")
ROOT = Path(__file__).parents[2]


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    return mol


def elements(mol: Chem.Mol) -> list[str]:
    return [atom.GetSymbol() for atom in mol.GetAtoms()]


def positions(mol: Chem.Mol) -> np.ndarray:
    return np.array(mol.GetConformer().GetPositions())


def as_csv(records: list[tuple[str, object, object]]) -> str:
    """SMILES with elements and positions, as Python writes these."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["smiles", "elements", "positions", "y"])
    writer.writerows([*record, row] for row, record in enumerate(records))
    return stream.getvalue()


def given(smiles: str) -> tuple[str, object, object]:
    mol = embedded(smiles)
    return smiles, elements(mol), positions(mol).tolist()


def dataset(**more: object) -> catalog.Dataset:
    plain = {"name": "mine", "path": "mine.csv", "smiles": "smiles", "labels": ["y"], "task": "regression"}
    return catalog.Dataset.from_dict(plain | {"geometry": ["elements", "positions"]} | more)


def conformers(folder: Path, text: str, known: catalog.Dataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables "molecules" and "conformers" of a file."""
    (folder / "source").write_text(text)
    kept, _, _ = molecules.read(folder / "source", known, max_rejected=0.9)
    return kept, read(folder / "source", kept, known)


def assert_same(found: pd.DataFrame, mols: list[Chem.Mol], tolerance: float = 1e-6) -> None:
    assert found["molecule"].tolist() == list(range(len(mols)))
    for numbers, places, mol in zip(found["numbers"], found["positions"], mols, strict=True):
        assert numbers.tolist() == [atom.GetAtomicNum() for atom in mol.GetAtoms()]
        np.testing.assert_allclose(places.reshape(-1, 3), positions(mol), atol=tolerance)


def test_a_row_for_each_molecule_that_is_kept(tmp_path: Path) -> None:
    """A record that is dropped may lack a geometry, and moves none."""
    records = [given(smiles) for smiles in SMILES]
    records[2:2] = [("bad", "", ""), (SMILES[0], "also", "none")]
    kept, found = conformers(tmp_path, as_csv(records), dataset(duplicates="average"))
    assert kept["row"].tolist() == [0, 1, 4, 5, 6]
    assert_same(found, [embedded(smiles) for smiles in SMILES])
    schemas.write("conformers", found, tmp_path / "table")
    again = schemas.read("conformers", tmp_path / "table")
    assert_same(again, [embedded(smiles) for smiles in SMILES])
    assert set(again["dataset"]) == {"mine"}


def test_ways_to_write_a_list(tmp_path: Path) -> None:
    """JSON, Python with numbers that JSON does not know, and symbols in any case."""
    records = [
        ("O", '["O", "H", "H"]', "[[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]"),
        ("[Cl-]", "['CL']", "[(.5, 1., -2.e-1)]"),
    ]
    _, found = conformers(tmp_path, as_csv(records), dataset())
    assert [numbers.tolist() for numbers in found["numbers"]] == [[8, 1, 1], [17]]
    np.testing.assert_allclose(found["positions"][1], [0.5, 1, -0.2])


def test_a_structure_file_says_the_same_as_a_table(tmp_path: Path) -> None:
    mols = [embedded(smiles) for smiles in SMILES]
    sdf = "".join(f"{Chem.MolToMolBlock(mol)}>  <y>\n{row}\n\n$$$$\n" for row, mol in enumerate(mols))
    blocks = [Chem.MolToXYZBlock(mol).splitlines() for mol in mols]
    xyz = "".join(
        "\n".join([head, f"y={row} charge={Chem.GetFormalCharge(mol)}", *atoms]) + "\n"
        for row, ((head, _, *atoms), mol) in enumerate(zip(blocks, mols, strict=True))
    )
    for form, text, tolerance in (("sdf", sdf, 1e-4), ("xyz", xyz, 1e-5)):
        kept, found = conformers(tmp_path, text, dataset(path=f"mine.{form}", smiles="", geometry=()))
        assert kept["canonical"].tolist() == [Chem.CanonSmiles(smiles) for smiles in SMILES]
        assert_same(found, mols, tolerance)


FLUORINATED = given("FC(F)(F)Cl")
ETHANOL = given("CCO")


def changed(values: Any, place: int, value: object) -> Any:
    return [*values[:place], value, *values[place + 1 :]]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (("CCO", "", ""), "it has no geometry in space"),
        (("CCO", ETHANOL[1], ""), "it has no geometry in space"),
        (("CCO", ETHANOL[1][:-1], ETHANOL[2]), "8 atoms have 9 positions"),
        (("CCO", "CCOHHHHHH", ETHANOL[2]), "the elements are not a list of symbols"),
        (("CCO", changed(ETHANOL[1], 2, "Q"), ETHANOL[2]), "'Q' is no element"),
        (("CCO", ETHANOL[1], "[[0, 0, 0], [1, 1]]"), "the positions are not a list of [x, y, z]"),
        (("CCO", ETHANOL[1], "[1, 2, 3]"), "the positions are not a list of [x, y, z]"),
        (("CCO", ETHANOL[1], "__import__('os')"), "the positions are not a list of [x, y, z]"),
        (("CCO", ETHANOL[1], json.dumps(changed(ETHANOL[2], 3, [np.nan, 0, 0]))), "a position is not finite"),
        (("CCO", ETHANOL[1], changed(ETHANOL[2], 4, ETHANOL[2][1])), "atoms 1 and 4 are 0 apart, less than 0.3 A"),
        (("CCN", *ETHANOL[1:]), "of another molecule, with C2 O1 where the SMILES has C2 N1"),
        (("FC(F)(F)Br", *FLUORINATED[1:]), "with C1 F3 Cl1 where the SMILES has C1 F3 Br1"),
        (("CCO", ETHANOL[1][:3], ETHANOL[2][:3]), "lacks the hydrogens"),
    ],
)
def test_what_cannot_be_the_geometry_is_named(tmp_path: Path, record: tuple[str, object, object], message: str) -> None:
    with pytest.raises(UserError) as error:
        conformers(tmp_path, as_csv([FLUORINATED, record]), dataset(duplicates="keep"))
    assert message in str(error.value)
    assert str(tmp_path / "source") in str(error.value)
    assert "line 3, " in str(error.value)


def test_a_flat_drawing_is_no_geometry(tmp_path: Path) -> None:
    flat = Chem.AddHs(Chem.MolFromSmiles("CCO"))
    AllChem.Compute2DCoords(flat)
    text = f"{Chem.MolToMolBlock(flat)}>  <y>\n1\n\n$$$$\n"
    with pytest.raises(UserError, match=r"record 0, 'CCO': it has no geometry in space"):
        conformers(tmp_path, text, dataset(path="mine.sdf", smiles="", geometry=()))


def test_a_data_set_without_geometry_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name the two columns in `geometry`"):
        conformers(tmp_path, "smiles,y\nO,1\n", dataset(geometry=()))


def test_the_commands_read_what_a_configuration_names(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(as_csv([given(smiles) for smiles in SMILES]))
    entry = {
        "path": str(tmp_path / "mine.csv"),
        "smiles": "smiles",
        "labels": ["y"],
        "task": "regression",
        "geometry": ["elements", "positions"],
    }
    made = experiment({"datasets": ["mine"], "own_datasets": {"mine": entry}})
    source, out = ["--source", entry["path"]], tmp_path / "conformers.parquet"
    main(
        [
            "molecules",
            "--settings",
            json.dumps(settings_for("molecules", made, "mine")),
            *source,
            "--out",
            str(tmp_path),
        ]
    )
    kept = ["--molecules", str(tmp_path / "molecules.parquet")]
    main(
        [
            "conformers",
            "--settings",
            json.dumps(settings_for("conformers", made, "mine")),
            *source,
            *kept,
            "--out",
            str(out),
        ]
    )
    assert_same(schemas.read("conformers", out), [embedded(smiles) for smiles in SMILES])


def test_qm9_is_read_as_published(tmp_path: Path) -> None:
    """Its first thousand records; the first of all is methane."""
    known = catalog.datasets()["qm9-gap"]
    archive = known.sources[0].archive
    assert archive
    wheel = ROOT / "results" / "archives" / f"{archive.name}-{archive.version}-{archive.sha256[:16]}.whl"
    if not wheel.is_file():
        pytest.skip(f"not checked: there is no {wheel}")
    with zipfile.ZipFile(wheel) as content, content.open(known.sources[0].file) as member:
        text = b"".join(next(member) for _ in range(1001)).decode()
    kept, found = conformers(tmp_path, text, known)
    assert len(kept) == len(found) == 1000
    assert found["numbers"][0].tolist() == [6, 1, 1, 1, 1]
    distances = np.linalg.norm(np.diff(found["positions"][0].reshape(5, 3)[[0, 1, 0, 2, 0, 3, 0, 4]], axis=0), axis=1)
    np.testing.assert_allclose(distances, 1.092, atol=1e-3)
