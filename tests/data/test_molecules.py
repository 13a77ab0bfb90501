"""Reading molecules: what is kept, what is rejected and why, and errors that can be mended."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from roftmol import stages
from roftmol.core.errors import UserError
from roftmol.data import molecules
from roftmol.data.download import fetch
from roftmol.registry.catalog import Dataset, Source, datasets
from roftmol.tables import schemas

needs_mirror = pytest.mark.skipif("ROFTMOL_MIRROR" not in os.environ, reason="ROFTMOL_MIRROR is not set")
ASPIRIN, CAFFEINE = "CC(=O)Oc1ccccc1C(=O)O", "Cn1cnc2c1c(=O)n(C)c(=O)n2C"


def own(**settings: object) -> Dataset:
    """A user's dataset with the columns smiles and y."""
    plain = {"name": "mine", "path": "mine.csv", "smiles": "smiles", "labels": ["y"], "task": "regression"}
    return Dataset.from_dict({**plain, **settings})


def read(
    folder: Path, text: str | bytes, dataset: Dataset, max_rejected: float = 0.99
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    path = folder / "source"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return molecules.read(path, dataset, max_rejected=max_rejected)


def reasons(rejects: pd.DataFrame) -> list[tuple[int, str, str]]:
    return list(zip(rejects["row"], rejects["reason"], rejects["action"], strict=True))


def test_a_clean_file_gives_its_molecules(tmp_path: Path) -> None:
    kept, rejects, tasks = read(tmp_path, f"id,smiles,y\na,{ASPIRIN},1.5\nb,{CAFFEINE},-2\nc,O,\n", own(labels="y"))
    assert kept["row"].tolist() == kept["molecule"].tolist() == [0, 1]
    assert kept["atoms"].tolist() == [13, 14]
    assert kept["scaffold"].tolist() == ["c1ccccc1", "O=c1[nH]c(=O)c2[nH]cnc2[nH]1"]
    assert np.concatenate(kept["labels"]).tolist() == [1.5, -2.0]
    assert reasons(rejects) == [(2, "missing_labels", "dropped")]
    assert tasks[["name", "kind", "labelled", "mean", "std"]].to_numpy().tolist() == [
        ["y", "regression", 2, -0.25, 1.75]
    ]
    assert tasks["positives"].isna().all()


def test_the_tables_keep_to_their_schemas(tmp_path: Path) -> None:
    text = f"smiles,y\n{ASPIRIN},1\n{CAFFEINE},0\nxx,1\n"
    for rows in (text, f"smiles,y\n{ASPIRIN},1\n"):
        tables = read(tmp_path, rows, own(task="classification"))
        for name, frame in zip(("molecules", "rejects", "tasks"), tables, strict=True):
            schemas.write(name, frame, tmp_path / name)
            assert len(schemas.read(name, tmp_path / name)) == len(frame)


def test_every_reason_is_found_with_its_row(tmp_path: Path) -> None:
    text = "\n".join(
        [
            "smiles,a,b",
            f"{ASPIRIN},1,",  # 0: one label of two is enough
            ",1,0",  # 1
            "c1ccc,1,0",  # 2: an open ring
            "C[N](C)(C)(C)C,0,0",  # 3: five bonds at a neutral nitrogen
            "*CC,1,1",  # 4
            "[NH3]->[Cu],1,1",  # 5
            f"{CAFFEINE},,NA",  # 6
            "OC(=O)c1ccccc1OC(C)=O,1,0",  # 7: aspirin again
            "OCC,1,0",  # 8
            "C(O)C,0,0",  # 9: ethanol again, otherwise
            f"{'C' * 20_000},1,0",  # 10
        ]
    )
    kept, rejects, _ = read(tmp_path, text, own(labels=["a", "b"], task="classification"))
    assert reasons(rejects) == [
        (1, "empty_smiles", "dropped"),
        (2, "invalid_smiles", "dropped"),
        (3, "invalid_smiles", "dropped"),
        (4, "unsupported_atom", "dropped"),
        (5, "unsupported_bond", "dropped"),
        (6, "missing_labels", "dropped"),
        (7, "duplicate", "dropped"),
        (8, "contradicting_duplicate", "dropped"),
        (9, "contradicting_duplicate", "dropped"),
        (10, "too_large", "dropped"),
    ]
    assert set(rejects["reason"]) == set(molecules.REASONS) - {"invalid_structure", "censored"}
    detail = dict(zip(rejects["row"], rejects["detail"], strict=True))
    assert "valence" in detail[3]
    assert detail[4] == "atom 0 is '*'"
    assert "DATIVE" in detail[5]
    assert detail[7] == "same molecule as line 2"
    assert kept["row"].tolist() == [0]
    assert np.isnan(kept["labels"][0][1])


REPEATS = "smiles,y\nCCO,1\nOCC,3\nCCN,5\nNCC,5\nCCC,0\n"


@pytest.mark.parametrize(
    ("policy", "rows", "labels", "listed"),
    [
        ("keep", [0, 1, 2, 3, 4], [1, 3, 5, 5, 0], [(0, "kept"), (1, "kept"), (3, "kept")]),
        ("drop", [2, 4], [5, 0], [(0, "dropped"), (1, "dropped"), (3, "dropped")]),
        ("average", [0, 2, 4], [2, 5, 0], [(0, "kept"), (1, "dropped"), (3, "dropped")]),
    ],
)
def test_policies_for_repeated_molecules(
    tmp_path: Path, policy: str, rows: list[int], labels: list[float], listed: list[tuple[int, str]]
) -> None:
    kept, rejects, tasks = read(tmp_path, REPEATS, own(duplicates=policy))
    assert kept["row"].tolist() == rows
    assert np.concatenate(kept["labels"]).tolist() == labels
    assert list(zip(rejects["row"], rejects["action"], strict=True)) == listed
    assert rejects["reason"].tolist() == ["contradicting_duplicate"] * 2 + ["duplicate"]
    assert tasks["labelled"].tolist() == [len(rows)]


def test_averaging_leaves_missing_labels_out(tmp_path: Path) -> None:
    text = "smiles,a,b,c\nCCO,1,,2\nOCC,3,7,\n"
    kept, _, _ = read(tmp_path, text, own(labels=["a", "b", "c"], duplicates="average"))
    assert kept["labels"][0].tolist() == [2, 7, 2]


def test_contradicting_classes_are_not_averaged(tmp_path: Path) -> None:
    text = "smiles,y\nCCO,1\nOCC,0\nCCN,1\nNCC,1\n"
    kept, _, _ = read(tmp_path, text, own(task="classification", duplicates="average"))
    assert kept["row"].tolist() == [2]


def test_stereoisomers_are_no_duplicates_and_differ_in_scaffold(tmp_path: Path) -> None:
    text = "smiles,y\nC[C@H]1CC[C@@H](c2ccccc2)O1,1\nC[C@H]1CC[C@H](c2ccccc2)O1,2\n"
    kept, rejects, _ = read(tmp_path, text, own())
    assert len(kept) == 2
    assert rejects.empty
    assert kept["scaffold"].nunique() == 2
    assert all("@" in scaffold for scaffold in kept["scaffold"])


def test_molecules_without_bonds_are_kept(tmp_path: Path) -> None:
    kept, rejects, _ = read(tmp_path, "smiles,y\nC,1\n[Na+].[Cl-],2\n", own())
    assert kept["scaffold"].tolist() == ["", ""]
    assert kept["atoms"].tolist() == [1, 2]
    assert rejects.empty


@pytest.mark.parametrize(
    "text",
    [
        "smiles,y\r\n\r\nCCO,1\r\n\r\nCCN,2\r\n",
        "smiles\ty\nCCO\t1\nCCN\t2\n",
        "smiles;y\nCCO;1\nCCN;2",
        '\ufeffsmiles,y\n"CCO",1\n CCN , 2 \n',
        gzip.compress(b"smiles,y\nCCO,1\nCCN,2\n", mtime=0),
    ],
    ids=["crlf and blank lines", "tabs", "semicolons", "byte order mark, quotes, spaces", "gzip"],
)
def test_ways_to_write_a_table(tmp_path: Path, text: str | bytes) -> None:
    kept, _, _ = read(tmp_path, text, own())
    assert kept["smiles"].tolist() == ["CCO", "CCN"]
    assert kept["row"].tolist() == [0, 1]
    assert np.concatenate(kept["labels"]).tolist() == [1, 2]


def test_all_columns_but_some_can_be_labels(tmp_path: Path) -> None:
    text = "id,smiles,half,a,b\n7,CCO,train,1,0\n8,CCN,test,0,1\n"
    dataset = own(labels=["*"], ignore=["id"], split_column="half", task="classification")
    kept, _, tasks = read(tmp_path, text, dataset)
    assert tasks["name"].tolist() == ["a", "b"]
    assert tasks["positives"].tolist() == [1, 1]
    assert kept["group"].tolist() == ["train", "test"]


def test_labels_can_be_words(tmp_path: Path) -> None:
    text = "smiles,y\nCCO,active\nCCN,inactive\n"
    kept, _, _ = read(tmp_path, text, own(task="classification", values={"active": 1, "inactive": 0}))
    assert np.concatenate(kept["labels"]).tolist() == [1, 0]


def test_labels_are_translated_whatever_their_letters_and_digits(tmp_path: Path) -> None:
    text = "smiles,y\nCCO,Active\nCCN,INACTIVE\nCCC,-1.0\nCCCC,\n"
    values = {"active": 1, "inactive": 0, "-1": "missing"}
    kept, rejects, _ = read(tmp_path, text, own(task="classification", values=values))
    assert np.concatenate(kept["labels"]).tolist() == [1, 0]
    assert rejects["reason"].tolist() == ["missing_labels"] * 2


def test_all_columns_are_those_with_a_name(tmp_path: Path) -> None:
    text = ",smiles,a,Unnamed: 3\n0,CCO,1,2\n1,CCN,3,4\n"
    kept, _, tasks = read(tmp_path, text, own(labels=["*"]))
    assert tasks["name"].tolist() == ["a"]
    assert np.concatenate(kept["labels"]).tolist() == [1, 3]


def test_records_that_are_merged_or_have_no_label_are_not_rejected(tmp_path: Path) -> None:
    text = "smiles,y\nC,1\nC,2\nC,3\nCC,\nCCC,\nCCCC,4\n"
    kept, rejects, _ = read(tmp_path, text, own(duplicates="average"), max_rejected=0)
    assert np.concatenate(kept["labels"]).tolist() == [2, 4]
    assert len(rejects) == 5
    with pytest.raises(UserError, match=r"1 of 7 records would be dropped \(1 invalid_smiles\)"):
        read(tmp_path, text + "xx,5\n", own(duplicates="average"), max_rejected=0)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("Smiles,y\nC,1\n", {}, "no column 'smiles'. Did you mean 'Smiles'"),
        ("smiles,activity\nC,1\n", {}, "no column 'y'. The columns are 'smiles', 'activity'"),
        ("smiles,y,y\nC,1,1\n", {}, "column 'y' is there twice"),
        ("smiles,y\nC,1\n", {"split_column": "half"}, "no column 'half'"),
        ("smiles\nC\n", {"labels": ["*"]}, "no label column"),
        ("", {}, "the file is empty"),
        ("\n \n", {}, "the file is empty"),
        ("smiles,y\n", {}, "no record"),
        ("smiles,y\nC,1\nCC,high\n", {}, "column 'y', line 3: the label 'high' is not a number"),
        ("smiles,y\nC,1\nCC,inf\n", {}, "column 'y', line 3: the label 'inf' is not a number"),
        ("smiles,y\nC,1\nCC,2\n", {"task": "classification"}, "line 3: the label '2' is not 0 or 1"),
        ("smiles,y\nC,1\nCC,1,4\n", {}, "line 3 has 3 cells, but the header has 2"),
        ('smiles,y\n"C"C,1\n', {}, "not a CSV, line 2"),
        (b"PAR1\x80\xff\x00", {}, "not a CSV text, but a Parquet file"),
        (b"\x1f\x8b\x08cut", {}, "the gzip file is cut off or damaged"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(
    tmp_path: Path, text: str | bytes, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text, own(**settings))
    assert message in str(error.value)
    assert str(tmp_path / "source") in str(error.value)


def test_the_limit_of_dropped_records(tmp_path: Path) -> None:
    text = "smiles,y\nC,1\nCC,2\nCCC,3\nxx,4\n"
    assert len(read(tmp_path, text, own(), max_rejected=0.25)[0]) == 3
    with pytest.raises(UserError, match=r"1 of 4 records .*1 invalid_smiles.*line 5, 'xx': invalid"):
        read(tmp_path, text, own(), max_rejected=0.2)
    with pytest.raises(UserError, match="2 of 2 records"):
        read(tmp_path, "smiles,y\nxx,1\nC,\n", own(), max_rejected=1.0)


def embedded(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    return mol


def xyz(smiles: str, comment: str) -> str:
    """A molecule embedded in space as a record of extended XYZ."""
    head, _, *atoms = Chem.MolToXYZBlock(embedded(smiles)).splitlines()
    return "\n".join([head, comment, *atoms]) + "\n"


def sdf(mol: Chem.Mol, **labels: object) -> str:
    told = "".join(f">  <{name}>\n{value}\n\n" for name, value in labels.items())
    return f"{Chem.MolToMolBlock(mol)}{told}$$$$\n"


#: Rings, charges, stereochemistry, a nitro group, a nitrile.
SHAPES = {
    ASPIRIN: 0,
    CAFFEINE: 0,
    "C[C@H](N)C(=O)O": 0,
    "C[C@@H](N)C(=O)O": 0,
    "F/C=C\\F": 0,
    "C[NH3+]": 1,
    "CC(=O)[O-]": -1,
    "O=[N+]([O-])c1ccccc1C#N": 0,
}


def test_bonds_follow_from_where_the_atoms_are(tmp_path: Path) -> None:
    text = "".join(xyz(smiles, f"y={row} charge={charge}") for row, (smiles, charge) in enumerate(SHAPES.items()))
    kept, rejects, tasks = read(tmp_path, text, own(path="mine.xyz", smiles=""), max_rejected=0)
    assert kept["canonical"].tolist() == [Chem.CanonSmiles(smiles) for smiles in SHAPES]
    assert kept["row"].tolist() == np.concatenate(kept["labels"]).tolist() == list(range(len(SHAPES)))
    assert rejects.empty
    assert tasks["name"].tolist() == ["y"]
    alkanes = [xyz("C" * (1 + n), "y=NUMBER") for n in range(5)]
    many = "".join(alkanes[n % 5].replace("NUMBER", str(n)) for n in range(600))
    (tmp_path / "source").write_text(many)
    for processes in (1, 2):
        dataset = own(path="mine.xyz", smiles="", duplicates="keep")
        kept, _, _ = molecules.read(tmp_path / "source", dataset, max_rejected=0, processes=processes)
        assert kept["canonical"].tolist() == ["C" * (1 + n % 5) for n in range(600)]


def test_an_sdf_holds_bonds_and_labels(tmp_path: Path) -> None:
    text = "".join(sdf(embedded(smiles), y=row, half="train") for row, smiles in enumerate(SHAPES))
    dataset = own(path="mine.sdf", smiles="", split_column="half")
    for packed in (text, text + "\n\n", gzip.compress(text.encode())):
        kept, rejects, _ = read(tmp_path, packed, dataset, max_rejected=0)
        assert kept["canonical"].tolist() == [Chem.CanonSmiles(smiles) for smiles in SHAPES]
        assert np.concatenate(kept["labels"]).tolist() == list(range(len(SHAPES)))
        assert set(kept["group"]) == {"train"}
        assert rejects.empty


def test_structures_are_checked_as_a_table_is(tmp_path: Path) -> None:
    """A SMILES that the record has is taken; keys that ASE takes for results, and words for truth, are labels too."""
    text = "".join(
        [
            xyz("CCO", 'smiles=OCC energy=1.5 active=T name="a b"'),
            xyz("CCN", "energy=2 active=F"),
            xyz("[CH3]", "energy=3 active=T"),  # a radical, and the charge says otherwise
            xyz("CCC", "active=F"),
            xyz("CCO", "energy=4 active=F"),
            xyz("O", "smiles=xx energy=4 active=F"),
        ]
    )
    dataset = own(path="mine.xyz", labels=["energy", "active"])
    kept, rejects, tasks = read(tmp_path, text, dataset)
    assert reasons(rejects) == [
        (0, "contradicting_duplicate", "dropped"),
        (2, "invalid_structure", "dropped"),
        (4, "contradicting_duplicate", "dropped"),
        (5, "invalid_smiles", "dropped"),
    ]
    assert "its bonds cannot be determined" in rejects["detail"][1]
    assert kept["smiles"].tolist() == ["CCN", "CCC"]
    assert np.nan_to_num(np.stack(kept["labels"]), nan=-1).tolist() == [[2, 0], [-1, 0]]
    assert tasks["labelled"].tolist() == [1, 2]
    for name, table in (("molecules", kept), ("rejects", rejects)):
        schemas.write(name, table, tmp_path / name)


def test_an_sdf_record_that_cannot_be_read_is_rejected(tmp_path: Path) -> None:
    methane, water = embedded("C"), embedded("O")
    five_bonds = sdf(methane, y=2).replace("  1  2  1  0", "  1  2  2  0")
    kept, rejects, _ = read(tmp_path, sdf(methane, y=1) + five_bonds + sdf(water, y=3), own(path="x.sdf", smiles=""))
    assert kept["smiles"].tolist() == ["C", "O"]
    assert reasons(rejects) == [(1, "invalid_structure", "dropped")]


WATER = "3\ny=1\nO 0 0 0\nH 0.96 0 0\nH -0.24 0.93 0\n"


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("mine.xyz", "", "the file is empty"),
        ("mine.xyz", WATER + "smiles,y\nC,1\n", "line 6, where record 1 begins, is 'smiles,y' and not a number"),
        ("mine.xyz", WATER + WATER[:14], "the file ends within record 1"),
        ("mine.xyz", WATER + WATER.replace("0.96", "wet"), "record 1 is no (extended) XYZ: ValueError"),
        ("mine.xyz", WATER + WATER.replace("O", "Q"), "record 1 is no (extended) XYZ: KeyError 'Q'"),
        ("mine.xyz", WATER.replace("y=1", "y=1 charge=none"), "record 0 is no (extended) XYZ"),
        ("mine.xyz", WATER.replace("y=1", "z=1"), "no column 'y'. The columns are 'z'"),
        ("mine.xyz", WATER + WATER.replace("y=1", "y=wet"), "column 'y', record 1: the label 'wet' is not a number"),
        ("mine.xyz", WATER + WATER.replace("y=1", 'y="1 2"'), "column 'y', record 1: the label '[1 2]' is not"),
        ("mine.sdf", "smiles,y\nC,1\n", "reads none of its 1 records; is it an SDF file"),
        ("mine.sdf", b"\x89PNG\xff", "not an SDF text"),
    ],
)
def test_a_structure_file_that_cannot_be_read_says_why(
    tmp_path: Path, path: str, text: str | bytes, message: str
) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text, own(path=path))
    assert message in str(error.value)
    assert str(tmp_path / "source") in str(error.value)


def test_all_columns_that_are_labels_are_none_of_the_geometry(tmp_path: Path) -> None:
    text = 'smiles,y,elements,positions\nO,1,"[\'O\']","[[0,0,0]]"\n'
    _, _, tasks = read(tmp_path, text, own(labels=["*"], geometry=["elements", "positions"]))
    assert tasks["name"].tolist() == ["y"]


def test_several_processes_read_the_same(tmp_path: Path) -> None:
    text = "smiles,y\n" + "".join(f"{'C' * (1 + n % 30)}{'O' if n % 2 else 'N'},{n}\n" for n in range(1200))
    one = read(tmp_path, text, own(duplicates="keep"))
    two = molecules.read(tmp_path / "source", own(duplicates="keep"), max_rejected=0.0, processes=2)
    for alone, together in zip(one, two, strict=True):
        pd.testing.assert_frame_equal(alone, together)


# What the data hold, from the data traps of the benchmark: records, dropped by reason, molecules without a bond.
KNOWN = {
    "bbbp": (2050, {"invalid_smiles": 11}, 0),
    "bace": (1513, {}, 0),
    "clintox": (1484, {"invalid_smiles": 4, "unsupported_atom": 1, "unsupported_bond": 2}, 1),
    "sider": (1427, {}, 31),
    "tox21": (7831, {"invalid_smiles": 8}, 19),
    "esol": (1128, {}, 1),
    "freesolv": (642, {}, 3),
    "lipo": (4200, {}, 0),
}


def fetched(name: str, kind: str, folder: Path) -> Path:
    dataset = datasets()[name]
    mirror = Path(os.environ["ROFTMOL_MIRROR"])
    sources = [source for source in dataset.sources if source.kind == kind]
    fetch(sources, folder / f"{name}-{kind}", mirror=mirror, name=name)
    return folder / f"{name}-{kind}"


@needs_mirror
@pytest.mark.parametrize("name", KNOWN)
def test_the_registered_sets_read_as_known(tmp_path: Path, name: str) -> None:
    kept, rejects, _ = molecules.read(fetched(name, "mirror", tmp_path), datasets()[name], max_rejected=0.01)
    records, dropped, bondless = KNOWN[name]
    assert rejects.query("action == 'dropped'")["reason"].value_counts().to_dict() == dropped
    assert len(kept) == records - sum(dropped.values())
    # In canonical SMILES single atoms, one or several, are all that has no bond.
    atoms = kept["canonical"].str.replace(r"\[[^\]]+\]", "A", regex=True).str.split(".")
    assert (
        sum(all(len(part.replace("Cl", "A").replace("Br", "A")) == 1 for part in parts) for parts in atoms) == bondless
    )


@needs_mirror
def test_clintox_begins_with_an_atom_that_is_none(tmp_path: Path) -> None:
    _, rejects, _ = molecules.read(fetched("clintox", "mirror", tmp_path), datasets()["clintox"], max_rejected=0.01)
    first = rejects.iloc[0]
    assert (first["row"], first["reason"], first["action"]) == (0, "unsupported_atom", "dropped")
    assert rejects.query("reason == 'invalid_smiles'")["row"].tolist() == [7, 302, 1219, 1220]


@needs_mirror
@pytest.mark.parametrize("name", ["bbbp", "bace", "esol", "lipo"])
def test_mirror_and_package_hold_the_same_molecules(tmp_path: Path, name: str) -> None:
    here = fetched(name, "mirror", tmp_path)
    try:
        there = fetched(name, "package", tmp_path)
    except UserError as error:
        pytest.skip(f"the package index is not reachable: {error}")
    tables = [molecules.read(path, datasets()[name], max_rejected=0.01) for path in (here, there)]
    (one, _, tasks), (two, _, same_tasks) = tables
    pd.testing.assert_frame_equal(tasks, same_tasks)
    for column in ("canonical", "scaffold"):
        assert one[column].tolist() == two[column].tolist()
    np.testing.assert_array_equal(np.stack(one["labels"]), np.stack(two["labels"]))


def test_a_molecule_that_is_too_large_costs_no_other_one(tmp_path: Path):
    """RDKit's memory and stack go with the largest; it is never asked about one that is beyond the bounds."""
    long, large = "[13CH2]" * 100_000, "CN" * 1_001
    _, rejects, _ = read(tmp_path, f"smiles,y\nCCO,1\n{long},2\n{large},3\nCCC,4\n", own())
    assert reasons(rejects) == [(1, "too_large", "dropped"), (2, "too_large", "dropped")]
    assert rejects["detail"].tolist() == ["700,000 characters, more than 10,000", "2,002 atoms, more than 2,000"]


def test_a_number_of_atoms_that_is_none_is_told(tmp_path: Path):
    """Python makes no number of very many digits."""
    (tmp_path / "a.xyz").write_text("9" * 5_000 + "\n\nH 0 0 0\n")
    with pytest.raises(UserError, match=r"line 1, where record 0 begins, is '9{40}' and not a number of atoms"):
        list(molecules.frames_of(tmp_path / "a.xyz", (tmp_path / "a.xyz").read_text()))


def test_a_packed_file_that_is_damaged_is_told(tmp_path: Path):
    whole = gzip.compress(b"smiles,y\n" + b"".join(b"C%s,%d\n" % (b"C" * (n % 7), n) for n in range(300)), mtime=0)
    refused = 0
    for at in range(10, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x5A
        with pytest.raises(UserError, match=r"the gzip file is cut off or damaged|not a CSV text in UTF-8"):
            read(tmp_path, bytes(damaged), own())
        refused += 1
    assert refused > 100


def test_a_source_that_was_cut_after_it_was_brought_is_told(tmp_path: Path):
    """A file whose last line breaks off inside a number reads as another number."""
    whole, source = "smiles,y\nCCO,1.25\nCCC,2.75\n", tmp_path / "data" / "source"
    (tmp_path / "mine.csv").write_text(whole)
    settings = {"name": "mine", "sources": [Source("path", str(tmp_path / "mine.csv")).__dict__ | {"parts": []}]}
    of_dataset = {"dataset": own().to_dict()}
    stages.fetch_data.run(settings, archives=tmp_path / "archives", out=source)
    stages.molecules.run(of_dataset | {"max_rejected": 0.1}, source=source, out=tmp_path / "data")
    source.write_text(whole[:-3])
    table, out = tmp_path / "data" / "molecules.parquet", tmp_path / "out"
    for read_again in (
        lambda: stages.molecules.run(of_dataset | {"max_rejected": 0.1}, source=source, out=out),
        lambda: stages.conformers.run(of_dataset, source=source, molecules=table, out=out),
        lambda: stages.cliffs.run(of_dataset, source=source, molecules=table, out=out),
    ):
        with pytest.raises(UserError, match=r"no longer the file that was brought for mine: 24 bytes .* Delete it"):
            read_again()
    assert not out.exists()
    stages.fetch_data.run(settings, archives=tmp_path / "archives", out=source)
    stages.molecules.run(of_dataset | {"max_rejected": 0.1}, source=source, out=tmp_path / "data")
