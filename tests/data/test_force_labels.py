"""Force labels: GFN2-xTB's or a user's numbers, of no downstream molecule, none computed twice, no silent failure."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from rdkit import Chem
from rdkit.Chem import rdDistGeom

from molecule_tables import molecule_table
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.data import corpora, force_labels
from roftmol.data.force_labels import ForceSettings, gfn2, label
from roftmol.registry.catalog import Corpus
from roftmol.tables import schemas

#: Atomic numbers, positions in A; energy in eV and forces in eV/A as tblite 0.8.0 gives them. Both are distorted.
WATER = (
    [8, 1, 1],
    [[0, 0, 0.12], [0, 0.80, -0.47], [0.05, -0.75, -0.50]],
    -137.942784,
    [[0.041903, 0.623101, -1.442691], [-0.008170, -0.998365, 0.927994], [-0.033733, 0.375264, 0.514697]],
)
METHANE = (
    [6, 1, 1, 1, 1],
    [[0, 0, 0], [0.65, 0.62, 0.63], [-0.63, -0.63, 0.64], [-0.60, 0.63, -0.66], [0.63, -0.61, -0.60]],
    -113.590084,
    [
        [-0.222731, 0.479590, 0.600581],
        [-0.406085, -0.139844, -0.209656],
        [0.201298, 0.359917, -0.355291],
        [0.077778, -0.175206, 0.368526],
        [0.349740, -0.524457, -0.404160],
    ],
)
#: Ten molecules that are quickly labelled, and one whose stereocentres no conformer can have.
SMALL = ["C", "O", "N", "CO", "CC", "CN", "C=O", "C#N", "CF", "CCO"]
IMPOSSIBLE = "C1C[C@H]2CC[C@H]1C2"
SETTINGS = ForceSettings(molecules=4, conformers=2)


def corpus_of(smiles: Sequence[str]) -> pd.DataFrame:
    """Table "corpora" without labels; its rows are 10, 11, ..."""
    table = molecule_table(smiles, np.zeros(len(smiles)))
    return pd.DataFrame(
        {
            "corpus": "made",
            "row": np.arange(10, 10 + len(smiles)),
            "smiles": table["smiles"],
            "canonical": table["canonical"],
            "labels": [[] for _ in smiles],
        }
    )


def data_of(smiles: Sequence[str]) -> pd.DataFrame:
    return molecule_table(smiles, np.zeros(len(smiles)))


def chosen(corpus: Sequence[str], data: Sequence[str] = (), **settings: object) -> set[int]:
    """Which of the corpus' molecules are labelled, by their positions."""
    known = [data_of([text]) for text in data]
    found = force_labels.choose(corpus_of(corpus), known, ForceSettings(**settings))  # type: ignore[arg-type]
    return {row - 10 for row in found["row"]}


def same(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether two tables are equal to the bit."""
    return schemas.table("force_labels", a).equals(schemas.table("force_labels", b))


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The atomic numbers of each conformer that is labelled, in turn."""
    calls: list[list[int]] = []

    def counted(numbers, positions):
        calls.append(numbers.tolist())
        return gfn2(numbers, positions)

    monkeypatch.setitem(force_labels.SOURCES, "gfn2", counted)
    return calls


@pytest.mark.parametrize(("numbers", "positions", "energy", "expected"), [WATER, METHANE], ids=["water", "methane"])
def test_energy_and_forces_are_those_of_gfn2(numbers, positions, energy, expected):
    found, acting = gfn2(np.array(numbers), np.array(positions, float))
    assert found == pytest.approx(energy, abs=1e-4)
    assert acting == pytest.approx(np.array(expected), abs=1e-3)


@pytest.mark.parametrize(("numbers", "positions"), [WATER[:2], METHANE[:2]], ids=["water", "methane"])
def test_forces_are_minus_the_gradient_of_the_energy(numbers, positions):
    numbers, positions, step = np.array(numbers), np.array(positions, float), 1e-3
    slope = np.zeros_like(positions)
    for place in np.ndindex(positions.shape):
        moved = np.zeros_like(positions)
        moved[place] = step
        ahead, behind = gfn2(numbers, positions + moved)[0], gfn2(numbers, positions - moved)[0]
        slope[place] = (ahead - behind) / (2 * step)
    assert gfn2(numbers, positions)[1] == pytest.approx(-slope, abs=3e-4)


@pytest.mark.parametrize(
    ("known", "twin"),
    [
        ("OCC", "C(C)O"),
        ("OC(=O)[C@H](C)N", "C[C@H](N)C(=O)O"),
        ("OC(=O)[C@@H](C)N", "C[C@H](N)C(=O)O"),  # one of these two is the mirror image
        ("F/C=C/F", "F/C=C\\F"),
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("Cc1c[nH]cn1", "Cc1cnc[nH]1"),
        ("[2H]C([2H])([2H])O", "CO"),
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("C[C@H]([NH3+])C(=O)[O-]", "CC(N)C(=O)O"),
    ],
)
def test_a_molecule_of_a_data_set_is_not_labelled_in_any_form(known, twin):
    assert chosen([twin, "CCC"]) == {0, 1}
    assert chosen([twin, "CCC"], [known]) == {1}


def test_other_molecules_of_the_same_formula_stay():
    assert chosen(["COC", "C=C(C)O"], ["CCO", "CC(C)=O"]) == {0, 1}


def test_the_text_of_a_data_set_does_not_count():
    """A table that another release of RDKit wrote may have other canonical SMILES."""
    found = force_labels.choose(corpus_of(["CCO", "CCC"]), [data_of(["N"]).assign(canonical="OCC")], ForceSettings())
    assert found["smiles"].tolist() == ["CCC"]


@pytest.mark.parametrize(
    ("smiles", "settings"),
    [
        ("CCCl", {}),
        ("CC", {"elements": ("C", "O")}),
        ("C[NH3+]", {}),
        ("[CH3]", {}),
        ("CC.O", {}),
        ("CCCCCCCCCCCCC", {}),
        ("CCC", {"heavy_atoms": 2}),
    ],
)
def test_what_does_not_fit_is_not_labelled(smiles, settings):
    assert chosen(["[C-]#[O+]", smiles], **settings) == {0}


@pytest.mark.parametrize(
    ("smiles", "settings"),
    [
        ("CCCl", {"elements": ("H", "C", "Cl")}),
        ("C[N+](=O)[O-]", {}),
        ("CCCCCCCCCCCC", {}),
        ("CCCCCCCCCCCCC", {"heavy_atoms": 13}),
        ("FC(F)(F)F", {"elements": ("C", "F")}),
    ],
)
def test_what_fits_is_labelled(smiles, settings):
    assert chosen([smiles], **settings) == {0}


def test_a_molecule_that_stands_twice_is_labelled_once():
    assert chosen(["CC(=O)O", "CCC", "OC(C)=O"]) == {0, 1}


def test_a_larger_number_keeps_the_earlier_rows(tmp_path):
    few = label(corpus_of(SMALL), [], SETTINGS, tmp_path / "few", 1)
    more = label(corpus_of(SMALL[::-1]), [], replace(SETTINGS, molecules=7), tmp_path / "more", 1)
    assert (len(few), len(more)) == (8, 14)
    assert same(few.drop(columns="row").assign(row=0), more[:8].drop(columns="row").assign(row=0))
    for table, smiles in ((few, SMALL), (more, SMALL[::-1])):
        assert table["smiles"].tolist() == corpus_of(smiles).set_index("row")["canonical"][table["row"]].tolist()
        assert table["conformer"].tolist() == [0, 1] * (len(table) // 2)


def test_a_run_that_was_killed_computes_the_rest(tmp_path, labelled):
    first = label(corpus_of(SMALL), [], SETTINGS, tmp_path, 1)
    assert len(labelled) == 8
    gone, damaged, *_ = sorted(tmp_path.glob("*.parquet"))
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:100])
    labelled.clear()
    assert same(label(corpus_of(SMALL), [], SETTINGS, tmp_path, 1), first)
    assert len(labelled) == 4


def test_what_only_says_which_molecules_there_are_repeats_none(tmp_path, labelled):
    first = label(corpus_of(SMALL), [], SETTINGS, tmp_path, 1)
    labelled.clear()
    wider = replace(SETTINGS, molecules=6, heavy_atoms=3, elements=("H", "C", "N", "O"))
    without = first["smiles"].iloc[0]
    second = label(corpus_of([*SMALL, "CCC"]), [data_of([without])], wider, tmp_path, 1)
    assert without not in set(second["smiles"])
    assert len(labelled) == 2 * len(set(second["smiles"]) - set(first["smiles"]))


@pytest.mark.parametrize("change", [{"seed": 1}, {"conformers": 3}, {"displacement": 0.1}])
def test_what_labels_depend_on_is_computed_anew(tmp_path, labelled, change):
    label(corpus_of(["CCO"]), [], SETTINGS, tmp_path, 1)
    before = len(labelled)
    label(corpus_of(["CCO"]), [], replace(SETTINGS, **change), tmp_path, 1)
    assert len(labelled) == before + change.get("conformers", 2)


def test_two_runs_are_equal_to_the_bit_however_many_processes(tmp_path):
    one = label(corpus_of(SMALL), [], SETTINGS, tmp_path / "one", 1)
    two = label(corpus_of(SMALL), [], SETTINGS, tmp_path / "two", 2)
    assert same(one, two)
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.parquet")} for name in ("one", "two")
    ]
    assert contents[0] == contents[1]
    assert len(contents[0]) == 4


def test_labels_belong_to_the_positions_that_are_stored(tmp_path):
    table = label(corpus_of(["CC(=O)NC"]), [], SETTINGS, tmp_path, 1)
    for row in table.to_dict("records"):
        assert row["numbers"].tolist() == [6, 7, 6, 6, 8, *[1] * 7]  # CNC(C)=O, then the hydrogens
        energy, acting = gfn2(row["numbers"].astype(int), row["positions"].reshape(-1, 3).astype(float))
        assert row["energy"] == energy
        assert row["forces"].tolist() == acting.astype(np.float32).ravel().tolist()
        assert (row["source"], row["status"], row["reason"]) == ("gfn2", "ok", "")


def test_the_first_conformer_is_displaced_by_half(tmp_path):
    smiles = ["CCCCCCCCCC", "CCCCOCCCC"]
    tables = [
        label(corpus_of(smiles), [], ForceSettings(conformers=2, displacement=size), tmp_path, 1)
        for size in (1e-9, 0.05)
    ]
    moved = tables[1]["positions"] - tables[0]["positions"]
    sizes = {
        number: np.concatenate(moved[tables[0]["conformer"] == number].tolist()).std() for number in (0, 1)
    }  # of 177 numbers each: a standard error of 5%
    assert sizes[0] == pytest.approx(0.025, rel=0.15)
    assert sizes[1] == pytest.approx(0.05, rel=0.15)


def test_a_molecule_without_a_conformer_is_a_row_with_its_reason(tmp_path, labelled, capsys):
    settings = replace(SETTINGS, molecules=11)
    table = label(corpus_of([*SMALL, IMPOSSIBLE]), [], settings, tmp_path, 1)
    failed = table[table["smiles"] == corpus_of([IMPOSSIBLE])["canonical"][0]]
    assert failed[["conformer", "status", "reason"]].to_numpy().tolist() == [
        [number, "failed", "RDKit finds no conformer"] for number in (0, 1)
    ]
    assert failed["energy"].isna().all()
    assert [len(failed[name].iloc[0]) for name in ("numbers", "positions", "forces")] == [19, 0, 0]
    assert (table["status"] == "ok").sum() == 20
    assert "2 of 22 conformers have no label (2 'RDKit finds no conformer')" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (lambda numbers, positions: gfn2(numbers, 0 * positions), "GFN2-xTB: Too close interatomic distances found"),
        (lambda numbers, positions: (np.nan, positions), "energy or forces are no finite numbers"),
        (lambda numbers, positions: (0.0, positions * np.inf), "energy or forces are no finite numbers"),
    ],
    ids=["tblite", "energy", "forces"],
)
def test_a_calculation_that_fails_is_a_row_with_its_reason(tmp_path, monkeypatch, fault, reason):
    def sometimes(numbers, positions):
        return (fault if 9 in numbers else gfn2)(numbers, positions)

    monkeypatch.setitem(force_labels.SOURCES, "gfn2", sometimes)
    table = label(corpus_of(SMALL), [], replace(SETTINGS, molecules=10), tmp_path, 1)
    failed = table[table["status"] == "failed"]
    assert set(failed["smiles"]) == {"CF"}
    assert set(failed["reason"]) == {reason}
    assert failed["energy"].isna().all()
    assert [len(failed[name].iloc[0]) for name in ("positions", "forces")] == [15, 0]


def test_many_failures_end_the_run(tmp_path):
    with pytest.raises(UserError, match=r"4 of 20 conformers have no label .* Lower `displacement`"):
        label(
            corpus_of([*SMALL[:8], IMPOSSIBLE, IMPOSSIBLE.replace("CC", "CO", 1)]),
            [],
            replace(SETTINGS, molecules=10),
            tmp_path,
            1,
        )
    assert len(list(tmp_path.glob("*.parquet"))) == 10


def test_a_corpus_without_other_molecules_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no molecule of the corpus can be labelled: 1 have at most 12 heavy atoms"):
        label(corpus_of(["CCO", "CCBr"]), [data_of(["OCC"])], SETTINGS, tmp_path, 1)


def test_a_molecule_that_cannot_be_compared_is_named(tmp_path):
    with pytest.raises(UserError, match=r"the first is 'C1CC'"):
        label(corpus_of(["CCO"]), [data_of(["CC"]).assign(canonical="C1CC")], SETTINGS, tmp_path, 1)


def test_tblite_has_one_thread_and_the_user_s_number_stays(tmp_path, monkeypatch):
    seen = []

    def told(numbers, positions):
        seen.append(os.environ["OMP_NUM_THREADS"])
        return gfn2(numbers, positions)

    monkeypatch.setitem(force_labels.SOURCES, "gfn2", told)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    label(corpus_of(["C"]), [], SETTINGS, tmp_path, 1)
    assert (seen, os.environ["OMP_NUM_THREADS"]) == (["1", "1"], "8")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "mmff"}, "source: 'mmff' is unknown; choose one of gfn2"),
        ({"molecules": 0}, "molecules: 0 is no positive whole number"),
        ({"conformers": 1.5}, "conformers: 1.5 is no"),
        ({"heavy_atoms": -1}, "heavy_atoms: -1 is no"),
        ({"displacement": 0}, "displacement: 0 must be"),
        ({"displacement": float("nan")}, "displacement: nan must be"),
        ({"elements": ("H", "CL")}, r"elements: \['CL'\]"),
        ({"elements": ("H", "Pu")}, r"elements: \['Pu'\]"),
    ],
)
def test_a_mistake_in_the_settings_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        ForceSettings(**settings)


def test_the_command_labels_what_is_in_no_data_set(tmp_path, capfd):
    (tmp_path / "list.smi").write_text("OCC\nCCF\nNCC=O\nC1CC\nCBr\nCNC\n")
    schemas.write("corpora", corpora.read([tmp_path / "list.smi"], Corpus("made", "", 6)), tmp_path / "made.parquet")
    for name, smiles in {"one": ["CCO", "c1ccccc1"], "two": ["CS(C)=O"]}.items():
        schemas.write("molecules", data_of(smiles), tmp_path / "data" / name / "molecules.parquet")
    settings = {"molecules": 10, "conformers": 3, "datasets": ["one", "two"]}
    command = run_of(tmp_path, settings)
    main(command)
    table = schemas.read("force_labels", tmp_path / "out.parquet")
    assert dict(zip(table["row"], table["smiles"], strict=True)) == {1: "CCF", 2: "NCC=O", 5: "CNC"}
    assert table["status"].tolist() == ["ok"] * 9
    assert np.isfinite(np.concatenate(table["forces"].tolist())).all()
    said = capfd.readouterr()
    assert said.out == ""
    assert "4 of the corpus' 5 molecules fit; 1 of these are in a dataset and left out; 3 are labelled" in said.err
    assert "3/3" in said.err
    written = (tmp_path / "out.parquet").read_bytes()
    main(command)
    assert (tmp_path / "out.parquet").read_bytes() == written


def test_the_command_does_not_run_without_the_data_sets(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(run_of(tmp_path, {"molecules": 10}))
    assert "missing keys ['datasets']" in capsys.readouterr().err


def run_of(place: Path, settings: dict[str, object]) -> list[str]:
    paths = {"corpus": "made.parquet", "data": "data", "parts": "parts", "out": "out.parquet"}
    options = [text for name, path in paths.items() for text in (f"--{name}", str(place / path))]
    return ["force-labels", "--settings", json.dumps(settings), *options, "--processes", "1"]


def geometry(smiles: str) -> Atoms:
    """A molecule in space, with an energy and forces that no other has."""
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert rdDistGeom.EmbedMolecule(molecule, randomSeed=1) == 0
    found = Atoms([atom.GetAtomicNum() for atom in molecule.GetAtoms()], molecule.GetConformer().GetPositions())
    rng = np.random.default_rng(list(smiles.encode()))
    found.calc = SinglePointCalculator(found, energy=rng.normal(), forces=rng.normal(size=(len(found), 3)))
    return found


def own_file(folder: Path, *structures: str | Atoms) -> Path:
    """An extended XYZ as ASE writes it, of molecules in their order."""
    path = folder / "mine.extxyz"
    write(path, [geometry(item) if isinstance(item, str) else item for item in structures], format="extxyz")
    return path


def named(molecule: str, **info: object) -> Atoms:
    """A molecule that the file tells something of."""
    found = geometry(molecule)
    found.info.update(info)
    return found


def outcomes(path: Path, data: Sequence[str] = (), processes: int = 1) -> list[str]:
    """The reason of each structure, "" for those that are learnt from."""
    table = force_labels.native(path, [data_of([text]) for text in data], processes)
    assert ((table["status"] == "ok") == (table["reason"] == "")).all()
    return table["reason"].tolist()


def test_own_labels_come_back_as_they_were_written(tmp_path):
    """In the file's order, packed or not, with lines between the records or behind them."""
    structures = [geometry(smiles) for smiles in ("CCO", "c1ccccc1Cl", "OCC", "CSC", "F")]
    path = own_file(tmp_path, *structures)
    table = force_labels.native(path, [])
    schemas.write("force_labels", table, tmp_path / "out.parquet")
    assert (table["source"] == "native").all()
    assert table["row"].tolist() == [0, 1, 2, 3, 4]
    assert table["conformer"].tolist() == [0, 0, 1, 0, 0]
    assert table["smiles"].tolist() == ["CCO", "Clc1ccccc1", "CCO", "CSC", "F"]
    assert table["inchikey"].tolist() == [Chem.MolToInchiKey(Chem.MolFromSmiles(text)) for text in table["smiles"]]
    for row, atoms in zip(table.to_dict("records"), structures, strict=True):
        assert row["numbers"].tolist() == atoms.numbers.tolist()
        assert row["energy"] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(row["positions"].reshape(-1, 3), atoms.positions, atol=1e-6)
        np.testing.assert_allclose(row["forces"].reshape(-1, 3), atoms.get_forces(), atol=1e-6)
    text = path.read_text()
    half = text.index("\n12\n") + 1
    (tmp_path / "packed.gz").write_bytes(gzip.compress((text[:half] + "\n" + text[half:] + "\n\n").encode()))
    assert same(table, force_labels.native(tmp_path / "packed.gz", []))


def test_a_smiles_of_the_file_stands_for_bonds(tmp_path):
    """Also where ASE takes one for a truth value; a structure without has its bonds determined."""
    far = named("CCO", smiles="OCC")
    far.positions *= 1.5
    without = far.copy()
    without.calc = far.calc
    del without.info["smiles"]
    path = own_file(tmp_path, far, without, named("F", smiles="F"), named("[H][H]", smiles="[H][H]"))
    table = force_labels.native(path, [])
    assert table["smiles"].tolist() == ["CCO", "", "F", "[H][H]"]
    assert table["reason"].tolist() == ["", "its bonds cannot be determined", "", ""]
    assert outcomes(path, ["[H]F"]) == ["", "its bonds cannot be determined", "in a dataset", ""]


@pytest.mark.parametrize(
    ("known", "twin"),
    [
        ("OCC", "C(C)O"),
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),
        ("F/C=C/F", "F/C=C\\F"),
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("C[C@H]([NH3+])C(=O)[O-]", "CC(N)C(=O)O"),
        ("C[N+](=O)[O-]", "CN(=O)=O"),
        ("CC(=O)[O-].[Na+]", "CC(=O)O"),
        ("CS(C)(=O)=O", "CS(=O)(=O)C"),
        ("CS(C)=O", "C[S+](C)[O-]"),
    ],
)
def test_what_is_in_a_data_set_is_not_learnt_in_any_form(tmp_path, known, twin):
    assert outcomes(own_file(tmp_path, twin, "CCC"), [known]) == ["in a dataset", ""]
    assert outcomes(own_file(tmp_path, named(twin, smiles=twin), "CCC"), [known]) == ["in a dataset", ""]


def test_bonds_that_are_a_poor_guess_are_not_trusted(tmp_path):
    """RDKit finds a proton beside an anion in a stretched ethanol, and charges far apart in a thiazolone."""
    stretched = geometry("CCO")
    stretched.set_distance(3, 0, 1.6, fix=1)
    told = stretched.copy()
    told.calc, told.info["smiles"] = stretched.calc, "CCO"
    thiazolone = "Cc1csc(=O)n1C"
    path = own_file(tmp_path, stretched, told, thiazolone, named(thiazolone, smiles=thiazolone), "C[N+](=O)[O-]", "CCC")
    table = force_labels.native(path, [])
    assert table["smiles"].tolist() == ["", "CCO", "", "Cc1csc(=O)n1C", "C[N+](=O)[O-]", "CCC"]
    bonds = "its bonds cannot be determined"
    assert table["reason"].tolist() == [bonds, "", bonds, "", "", ""]


def test_no_part_of_what_is_learnt_is_in_a_data_set(tmp_path):
    path = own_file(tmp_path, named("CCO.O", smiles="CCO.O"), "C.O", "CCC", "COC")
    assert outcomes(path) == [""] * 4
    assert outcomes(path, ["OCC", "C"]) == ["in a dataset", "in a dataset", "", ""]
    table = force_labels.native(path, [data_of(["OCC"])])
    assert table["energy"].isna().tolist() == [True, False, False, False]
    assert table["forces"].str.len().tolist() == [0, 24, 33, 27]


def test_what_cannot_be_compared_is_counted_and_not_learnt(tmp_path, capsys):
    path = own_file(
        tmp_path, "C[NH3+]", "CC", named("C[NH3+]", smiles="C[NH3+]"), "[O]", "CCC", named("CN", charge=1), *SMALL
    )
    bonds, charge = "its bonds cannot be determined", "it has a charge"
    assert outcomes(path) == [bonds, "", charge, bonds, "", charge, *[""] * 10]
    told = capsys.readouterr().err
    assert f"12 of 16 structures, of 11 molecules, are labels; 4 are not (2 {bonds!r}, 2 {charge!r})" in told


def test_more_failures_than_labels_end_the_reading(tmp_path):
    assert outcomes(own_file(tmp_path, "CCO", "CCC"), ["CCO"]) == ["in a dataset", ""]
    with pytest.raises(UserError, match=r"mine.extxyz: 1 of 3 structures.* more than half; the first is structure 0"):
        outcomes(own_file(tmp_path, "CCO", "CCC", "OCC"), ["CCO"])


def test_own_labels_are_equal_however_many_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(force_labels, "CHUNK", 3)
    path = own_file(tmp_path, *SMALL)
    assert same(force_labels.native(path, [data_of(["CO"])], 1), force_labels.native(path, [data_of(["CO"])], 2))
    text = path.read_text()
    last = text.rindex("energy=")
    path.write_text(text[:last] + "e" + text[last:])
    with pytest.raises(UserError, match=r"structure 9 .* has no energy"):
        force_labels.native(path, [], 2)


def water(line: str = "energy=-1.5", forces: str = "forces:R:3", first: str = "O 0 0 0.12 1 2 3") -> str:
    """A record of an extended XYZ."""
    rest = "H 0 0.8 -0.47 1 2 3\nH 0.05 -0.75 -0.5 1 2 3\n"
    return f"3\nProperties=species:S:1:pos:R:3:{forces} {line}\n{first}\n{rest}"


def test_the_record_is_sound(tmp_path):
    lines = ("energy=1", 'Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F" energy=2 smiles=""', "energy=3 smiles=O charge=0")
    (tmp_path / "mine.extxyz").write_text("".join(map(water, lines)))
    assert outcomes(tmp_path / "mine.extxyz", ["CO"]) == ["", "", ""]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (water(""), "has no energy. Give energy=... in eV"),
        (water("free_energy=1"), "has no energy"),
        (water("energy=low"), "has no energy"),
        (water('energy="1 2 3"'), "has no energy"),
        (water(forces="force:R:3"), "has no forces. .* forces:R:3 in eV/A"),
        (water("energy=nan"), "nan in its energy is no finite number"),
        (water(first="O 0 0 0.12 1 inf 3"), "inf in its forces is no finite number"),
        (water(first="O 0 0 nan 1 2 3"), "nan in its positions is no finite number"),
        (water(first="Se 0 0 0.12 1 2 3"), "has Se, and the models know H, C, N, O, F, P, S, Cl. Remove"),
        (water(first="Q 0 0 0.12 1 2 3"), "is no extended XYZ: KeyError 'Q'"),
        (water(first="O 0 0 0.12 1 2"), "is no extended XYZ: ValueError"),
        (water("energy=1 charge=none"), "is no extended XYZ: .*`charge` a number"),
        (water('energy=1 Lattice="9 0 0 0 9 0 0 0 9"'), "is periodic"),
        (water("energy=1 smiles=C1CC"), "RDKit does not read its SMILES 'C1CC'"),
        (water("energy=1 smiles=CO"), "has other atoms than its SMILES 'CO'"),
        (water("energy=1 smiles=[OH2]"), "RDKit does not read its SMILES 'OH2'. .* double quotes"),
    ],
)
def test_a_mistake_in_own_labels_is_named_with_its_structure(tmp_path, record, told):
    path = tmp_path / "mine.extxyz"
    path.write_text(water() + record + water())
    with pytest.raises(UserError, match=rf"mine.extxyz: structure 1 \(the first is 0\):? {told}"):
        force_labels.native(path, [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\xff\xfe", "not an XYZ text"),
        (b"one\n", "line 1"),
        (b"3\n\nO 0 0 0\n", "ends within"),
    ],
)
def test_what_is_no_xyz_is_named(tmp_path, content, told):
    (tmp_path / "mine.extxyz").write_bytes(content)
    with pytest.raises(UserError, match=f"mine.extxyz: .*{told}"):
        force_labels.native(tmp_path / "mine.extxyz", [])


def test_the_command_reads_own_labels(tmp_path, capfd):
    source = own_file(tmp_path, "CCO", "CC", "CN", "c1ccccc1", "CC")
    for name, smiles in {"one": ["OCC"], "two": ["c1ccccc1", "CS(C)=O"]}.items():
        schemas.write("molecules", data_of(smiles), tmp_path / "data" / name / "molecules.parquet")
    paths = ["--source", str(source), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out.parquet")]
    main(["native-labels", "--settings", json.dumps({"datasets": ["one", "two"]}), *paths, "--processes", "1"])
    table = schemas.read("force_labels", tmp_path / "out.parquet")
    assert table["smiles"].tolist() == ["CCO", "CC", "CN", "c1ccccc1", "CC"]
    assert table["reason"].tolist() == ["in a dataset", "", "", "in a dataset", ""]
    assert schemas.marks(tmp_path / "out.parquet")["roftmol.source"] == sha256(source)
    assert "3 of 5 structures, of 2 molecules, are labels; 2 are not (2 'in a dataset')" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        main(["native-labels", "--settings", "{}", *paths])
    assert "missing keys ['datasets']" in capfd.readouterr().err
