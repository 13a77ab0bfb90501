"""Force labels: GFN2-xTB's numbers, no downstream molecule among them, nothing computed twice, no silent failure."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from molecule_tables import molecule_table
from roftmol import corpora, forces, schemas
from roftmol.cli import main
from roftmol.errors import UserError
from roftmol.forces import ForceSettings, gfn2, label
from roftmol.registry import Corpus

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
    found = forces.choose(corpus_of(corpus), known, ForceSettings(**settings))  # type: ignore[arg-type]
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

    monkeypatch.setitem(forces.SOURCES, "gfn2", counted)
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
    found = forces.choose(corpus_of(["CCO", "CCC"]), [data_of(["N"]).assign(canonical="OCC")], ForceSettings())
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

    monkeypatch.setitem(forces.SOURCES, "gfn2", sometimes)
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

    monkeypatch.setitem(forces.SOURCES, "gfn2", told)
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
    assert "4 of the corpus' 5 molecules fit; 1 of these are in a data set and left out; 3 are labelled" in said.err
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
