"""Molecules of evaluated sets stay out of what an encoder is pretrained on, in any form."""

import json

import pandas as pd
import pytest
from rdkit import Chem

from roftmol.cli.main import main
from roftmol.data.kept_apart import apart, skeleton
from roftmol.tables import schemas


def table(*smiles: str) -> pd.DataFrame:
    return pd.DataFrame({"canonical": [Chem.CanonSmiles(text) for text in smiles]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CC(=O)O", "[Na+].CC(=O)[O-]"),  # a salt
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),  # the mirror image
        ("CC(=O)CC", "CC(O)=CC"),  # a tautomer
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("F/C=C/F", "F/C=C\\F"),
    ],
)
def test_forms_of_one_molecule_have_one_skeleton(one, other):
    assert skeleton(Chem.MolFromSmiles(one)) == skeleton(Chem.MolFromSmiles(other))
    assert apart({"corpus": table(other, "CCCCN")}, [one], {}) == ["CCCCN"]


def test_other_elements_and_other_connections_are_other_molecules():
    texts = ["CCCO", "CCOC", "CCCN", "CC(C)O"]
    assert len({skeleton(Chem.MolFromSmiles(text)) for text in texts}) == 4
    assert set(apart({"corpus": table(*texts[1:])}, texts[:1], {})) == set(table(*texts[1:])["canonical"])


def test_the_first_molecules_are_those_of_a_smaller_sample():
    corpora = {"one": table("CCO", "CCCO", "CCCCO", "CCCCCO"), "two": table("CCN", "CCO")}
    whole, some = (apart(corpora, [], at_most) for at_most in ({}, {"one": 2}))
    assert sorted(whole) == ["CCCCCO", "CCCCO", "CCCO", "CCN", "CCO"]  # each once
    ones = [text for text in whole if text != "CCN"]
    assert set(some) == {*ones[:2], "CCN", "CCO"}  # "two" has CCO too
    assert some == [text for text in whole if text in some]


def test_what_has_no_bond_or_an_odd_one_or_is_huge_teaches_nothing():
    molecules = table("C", "[Na+].[Cl-]", "C" * 101, "CC", "C" * 100, "[NH3]->[Cu]")
    assert set(apart({"corpus": molecules}, [], {})) == {"CC", "C" * 100}


def test_a_recipes_molecules_are_kept_apart_from_the_sets_it_names(tmp_path):
    (tmp_path / "set.csv").write_text("Drug,Y\nOCC,1\n[Na+].CC(=O)[O-],0\n")
    source = {"kind": "path", "file": str(tmp_path / "set.csv")}
    sets = {"sets": [{"name": "made", "title": "", "molecules": None, "files": [[source]], "smiles": "Drug"}]}
    listed = tmp_path / "evaluated.smiles"
    main(["evaluated", "--settings", json.dumps(sets), "--archives", str(tmp_path), "--out", str(listed)])
    assert listed.read_text().split() == ["CC(=O)[O-].[Na+]", "CCO"]
    (tmp_path / "corpora").mkdir()
    smiles = ["CCO", "CC(=O)O", "CCCN"]
    corpus = pd.DataFrame({"corpus": "c", "row": range(3), "smiles": smiles, "canonical": smiles, "labels": [[]] * 3})
    schemas.write("corpora", corpus, tmp_path / "corpora/c.parquet")
    settings = json.dumps({"labels": {"c": []}, "computed": {}, "per_atom": []})
    out = tmp_path / "set.parquet"
    command = ["pretraining-set", "--settings", settings, "--corpora", str(tmp_path / "corpora"), "--out", str(out)]
    main([*command, "--evaluated", str(listed)])
    assert schemas.read("pretraining", out)["smiles"].tolist() == ["CCCN"]
    main(command)
    assert schemas.read("pretraining", out)["smiles"].tolist() == smiles
