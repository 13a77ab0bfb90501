"""Pretraining corpora: read from what is published, labelled for a recipe."""

import csv
import json
import re

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.data import corpora, molecules
from roftmol.registry.catalog import Corpus
from roftmol.tables import schemas

ROWS = [
    {"SMILES": "OCC", "gap": "0.5", "coordinates": "[[0,1],[2,3]]"},
    {"SMILES": "C1CC(", "gap": "0.1", "coordinates": "[]"},
    {"SMILES": "c1ccccc1", "gap": "", "coordinates": "[[0,1]]"},
]
LABELLED = Corpus("made", "Made up", 2, smiles="SMILES", labels=("gap",))


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "part.csv"
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, list(ROWS[0]))
        writer.writeheader()
        writer.writerows(ROWS)
    return path


def test_a_table_with_labels_is_read_and_what_is_no_molecule_left_out(table, capsys):
    found = corpora.read([table, table], LABELLED)
    assert found["canonical"].tolist() == ["CCO", "c1ccccc1"] * 2
    assert found["row"].tolist() == [0, 2, 3, 5]
    assert np.stack(found["labels"].tolist())[:, 0] == pytest.approx([0.5, np.nan] * 2, nan_ok=True)
    assert "2 records left out" in capsys.readouterr().err
    schemas.table("corpora", found)


def test_a_list_has_no_labels_and_the_same_canonical_form_as_data_sets(tmp_path):
    texts = ["C(C)O", "N[C@@H](C)C(=O)O", "[Na+].[Cl-]"]
    (tmp_path / "list.smiles").write_text("\n".join(texts))
    found = corpora.read([tmp_path / "list.smiles"], Corpus("made", "Made up", 3))
    assert found["canonical"].tolist() == [molecules.parse(text).canonical for text in texts]
    assert not np.stack(found["labels"].tolist()).size


def test_a_file_that_is_no_list_of_smiles_is_refused(tmp_path):
    (tmp_path / "list.csv").write_text("smiles,id\nCCO,1\nCCN,2\n")
    with pytest.raises(UserError, match=r"reads 0 of 3 records; is it a list of SMILES"):
        corpora.read([tmp_path / "list.csv"], Corpus("made", "Made up", 2))


def test_a_column_that_is_not_there_is_named(table):
    with pytest.raises(UserError, match="columns SMILES, mass"):
        corpora.read([table], Corpus("made", "Made up", 2, smiles="SMILES", labels=("mass",)))


def test_corpora_of_different_labels_go_into_one_set(table):
    tables = {
        "made": corpora.read([table], LABELLED),
        "listed": pd.DataFrame({"smiles": ["CCO", "CC(=O)O"], "labels": [[], []]}),
    }
    smiles, labels, tasks = corpora.with_labels(
        tables, {"made": ["gap"], "listed": []}, {"listed": ["MolLogP", "TPSA"]}, ["TPSA"]
    )
    assert smiles == ["OCC", "c1ccccc1", "CCO", "CC(=O)O"]
    assert tasks == ["gap", "MolLogP", "TPSA"]
    ethanol, acid = (Chem.MolFromSmiles(text) for text in smiles[2:])
    expected = [
        [0.5, np.nan, np.nan],
        [np.nan, np.nan, np.nan],
        [np.nan, Descriptors.MolLogP(ethanol), Descriptors.TPSA(ethanol) / 3],
        [np.nan, Descriptors.MolLogP(acid), Descriptors.TPSA(acid) / 4],
    ]
    assert labels == pytest.approx(np.array(expected), rel=1e-6, nan_ok=True)


def test_a_property_that_rdkit_lacks_is_named():
    with pytest.raises(UserError, match="no 'MolLogD'"):
        corpora.with_labels({}, {}, {"made": ["MolLogD"]})


def test_the_stages_hand_a_set_to_pretraining(table, tmp_path):
    source = {"kind": "path", "file": str(table)}
    entry = {"name": "made", "title": "", "molecules": 3, "files": [[source]], "smiles": "SMILES", "labels": ["gap"]}
    archives = ["--archives", str(tmp_path / "archives")]
    main(["corpus", "--settings", json.dumps(entry), *archives, "--out", str(tmp_path / "made.parquet")])
    settings = {"labels": {"made": ["gap"]}, "computed": {"made": ["RingCount"]}, "per_atom": []}
    out = tmp_path / "set.parquet"
    main(["pretraining-set", "--settings", json.dumps(settings), "--corpora", str(tmp_path), "--out", str(out)])
    found = schemas.read("pretraining", out)
    assert found["smiles"].tolist() == ["OCC", "c1ccccc1"]
    assert np.stack(found["labels"].tolist()) == pytest.approx(np.array([[0.5, 0], [np.nan, 1]]), nan_ok=True)


def test_a_mistake_in_a_corpus_is_named():
    with pytest.raises(UserError, match=re.escape("corpus made: missing molecules")):
        Corpus.from_dict({"name": "made", "title": "Made up"})
