"""GFN2-xTB's descriptors: golden numbers, ions and radicals, what fails, and that nothing is computed twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from molecule_tables import molecule_table
from roftmol.core.errors import UserError
from roftmol.features import array_file, gfn2, gfn2_descriptors
from roftmol.features.gfn2_descriptors import Described, describe, descriptors, largest_fragment
from roftmol.features.inputs import GFN2, GFN2_FIELDS
from roftmol.stages import STAGES
from roftmol.tables import schemas

CAFFEINE = "Cn1cnc2c1c(=O)n(C)c(=O)n2C"
#: A bicycle whose stereocentres no conformer can have.
IMPOSSIBLE = "C1C[C@H]2CC[C@H]1C2"


def named(described: Described) -> dict[str, float | None]:
    return dict(zip(GFN2_FIELDS, described.values, strict=True))


@pytest.mark.parametrize(
    ("smiles", "expected"),
    [
        ("O", {"energy": -5.0702, "dipole": 2.29, "gap": 14.16, "electrons": 10}),
        ("c1ccccc1", {"dipole": 0.0, "gap": 4.83, "electrons": 42}),
        ("CCO", {"gap": 12.53, "electrons": 26}),
        (CAFFEINE, {"dipole": 3.90, "gap": 3.36, "electrons": 102}),
    ],
)
def test_the_golden_numbers(smiles: str, expected: dict[str, float]):
    values = named(describe(smiles))
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=0.05)
    assert values["electrons"] == expected["electrons"]
    assert values["gap"] == pytest.approx(values["lumo"] - values["homo"])


def test_an_ion_has_its_charge_and_a_radical_its_unpaired_electron(monkeypatch: pytest.MonkeyPatch):
    """Numbers of tblite 0.8.0, which takes an odd electron for unpaired even where it is not told."""
    asked: list[tuple[int, int]] = []

    def noted(numbers: np.ndarray, positions: np.ndarray, charge: int, uhf: int) -> gfn2.SinglePoint:
        asked.append((charge, uhf))
        return gfn2.single_point(numbers, positions, charge, uhf)

    monkeypatch.setattr(gfn2_descriptors, "single_point", noted)
    anion, cation, radical = (named(describe(text)) for text in ("CC(=O)[O-]", "C[N+](C)(C)C", "[CH3]"))
    assert asked == [(-1, 0), (1, 0), (0, 1)]
    assert [values["electrons"] for values in (anion, cation, radical)] == [32, 42, 9]
    energies = [values["energy"] for values in (anion, cation, radical)]
    assert energies == pytest.approx([-14.1633, -17.1913, -3.5625], abs=1e-3)
    assert cation["dipole"] == pytest.approx(0, abs=0.01)  # about the centre of mass
    assert radical["homo"] == pytest.approx(-9.01, abs=0.05)  # the level of the single electron
    assert anion["energy_per_atom"] == pytest.approx(anion["energy"] / 7)


def test_a_salt_is_its_largest_fragment_however_it_is_written():
    assert largest_fragment("Br.OCC") == largest_fragment("CCO") == "CCO"
    assert largest_fragment("Cl.I") == "I"  # of as many atoms the heavier one
    assert largest_fragment("C1CC") == "C1CC"  # no molecule: told when it is described


def test_what_fails_is_a_mask_with_its_reason_and_never_nan(tmp_path: Path):
    smiles = ["CCO", IMPOSSIBLE, "[H-]", "C1CC", "[Pu]", "[Na+].OCC"]
    values, reasons = descriptors(smiles, tmp_path)
    assert values.shape == (6, 14)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    fields = len(GFN2_FIELDS)
    assert values[:, fields:].tolist() == [
        [1] * fields,
        [0] * fields,
        [1, 1, 0, 0, 1, 1, 1],  # one orbital, which is occupied
        [0] * fields,
        [0] * fields,
        [1] * fields,
    ]
    assert not values[[1, 3, 4], :fields].any()
    assert np.array_equal(values[0], values[5])
    assert reasons == [
        "",
        "RDKit finds no conformer",
        "GFN2-xTB gives no lumo, gap",
        "RDKit does not read it",
        "GFN2-xTB: No support for elements with Z >86.",
        "",
    ]
    assert gfn2_descriptors.told(reasons).startswith("2 of 6 molecules have all descriptors by GFN2-xTB; 4 do not (1 '")
    assert descriptors([], tmp_path)[0].shape == (0, 14)


def test_a_second_run_computes_nothing_and_a_damaged_part_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    computed: list[str] = []

    def counted(smiles: str) -> Described:
        computed.append(smiles)
        return describe(smiles)

    monkeypatch.setattr(gfn2_descriptors, "describe", counted)
    first, reasons = descriptors(["O", IMPOSSIBLE, "N", "O"], tmp_path)
    assert sorted(computed) == sorted(["O", largest_fragment(IMPOSSIBLE), "N"])
    computed.clear()
    again, also = descriptors(["N", "O", IMPOSSIBLE], tmp_path)
    assert computed == []
    assert (np.array_equal(again, first[[2, 0, 1]]), also) == (True, [reasons[2], reasons[0], reasons[1]])
    part = tmp_path / gfn2_descriptors.part_name("O")
    saved = json.loads(part.read_text())
    for damage in (json.dumps({**saved, "values": {**saved["values"], "gap": 1.0}}), "{", json.dumps(saved)[:-9]):
        part.write_text(damage)
        assert np.array_equal(descriptors(["O"], tmp_path)[0], first[:1])
    assert computed == ["O"] * 3


def test_without_tblite_a_sentence_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gfn2, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"tblite, which is not installed\. Install it by .*requirements-atomistic"):
        descriptors(["O"], tmp_path)


def test_the_stage_writes_a_file_like_the_descriptors_and_the_failures(tmp_path: Path, capsys):
    schemas.write("molecules", molecule_table(["CCO", IMPOSSIBLE], np.zeros(2)), tmp_path / "molecules.parquet")
    out, failures = tmp_path / "gfn2.safetensors", tmp_path / "gfn2_failures.parquet"
    STAGES["gfn2"].run(
        molecules=tmp_path / "molecules.parquet", parts=tmp_path / "parts", out=out, failures=failures, processes=2
    )
    values = array_file.load("gfn2", GFN2, out)
    assert np.array_equal(values, descriptors(["CCO", IMPOSSIBLE], tmp_path / "in one process")[0])
    assert values[:, GFN2_FIELDS.index("electrons")].tolist() == [26, 0]
    failed = schemas.read("gfn2_failures", failures)
    assert failed[["molecule", "reason"]].to_numpy().tolist() == [[1, "RDKit finds no conformer"]]
    assert "1 of 2 molecules have all descriptors by GFN2-xTB; 1 do not" in capsys.readouterr().err
