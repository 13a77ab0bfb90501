"""What pretraining has seen of test molecules: found by structure, judged by what was learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from roftmol.cli.main import main
from roftmol.data import corpora, molecules
from roftmol.evaluation import contamination
from roftmol.evaluation.contamination import KINDS, Audit, worst
from roftmol.methods import WITHOUT_PRETRAINING
from roftmol.methods.cells import Cells
from roftmol.registry.catalog import Corpus, Dataset
from roftmol.tables import schemas

#: Aspirin, alanine, its mirror image, ethanol, sodium acetate.
OWN = ["CC(=O)Oc1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", "CCO", "CC(=O)[O-].[Na+]"]
#: Aspirin in Kekule's form, alanine from its other end, methane, acetic acid.
PRETRAINED = ["OC(=O)C1=CC=CC=C1OC(C)=O", "OC(=O)[C@H](C)N", "C", "CC(=O)O"]


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Path]:
    source = tmp_path / "mine.csv"
    source.write_text("smiles,y\n" + "".join(f"{text},1.5\n" for text in OWN))
    entry = {"name": "mine", "path": str(source), "smiles": "smiles", "labels": ["y"], "task": "regression"}
    kept, _, _ = molecules.read(source, Dataset.from_dict(entry), max_rejected=0)
    schemas.write("molecules", kept, tmp_path / "molecules.parquet")
    for name, some in {"made": PRETRAINED, "other": PRETRAINED[2:]}.items():
        listed = tmp_path / f"{name}.smi"
        listed.write_text("".join(f"{text} molecule {number}\n" for number, text in enumerate(some)))
        schemas.write("corpora", corpora.read([listed], Corpus(name, "", 4)), tmp_path / f"{name}.parquet")
    return {name: tmp_path / f"{name}.parquet" for name in ("molecules", "made", "other")}


def find(tables: dict[str, Path], corpus: str, out: Path) -> pd.DataFrame:
    main(["overlap", "--molecules", str(tables["molecules"]), "--corpus", str(tables[corpus]), "--out", str(out)])
    return schemas.read("hits", out)


def test_a_molecule_is_found_however_it_is_written(tables, tmp_path, capsys):
    hits = find(tables, "made", tmp_path / "hits.parquet")
    assert hits.to_dict("records") == [
        {"dataset": "mine", "corpus": "made", "molecule": 0},
        {"dataset": "mine", "corpus": "made", "molecule": 1},
    ]
    assert "made: has 2 of the dataset's 5 molecules" in capsys.readouterr().err


def test_a_corpus_without_them_gives_an_empty_table(tables, tmp_path):
    assert find(tables, "other", tmp_path / "hits.parquet").empty


def model(pretraining: str = "both", **changes: tuple[str, ...]) -> dict[str, object]:
    lists = {"corpora": ("structures", "labelled"), "learnt": ("labelled",), "checkable": ("structures", "labelled")}
    return {
        "model": "gin",
        "pretraining": pretraining,
        "content": "",
        "same_as": (),
        "suspected": (),
        **lists,
        **changes,
    }


CELL = {
    "protocol": "honest",
    "model": "gin",
    "dataset": "mine",
    "split": "random",
    "budget": "all",
    "method": "full_ft",
}
TESTS = {("honest", "mine", "random", "all"): {0: frozenset({0, 1, 2, 3})}}
HITS = {("mine", "structures"): frozenset({0, 1, 9}), ("mine", "labelled"): frozenset({1, 2})}
NOTHING = {("mine", "structures"): frozenset({9}), ("mine", "labelled"): frozenset[int]()}


@pytest.mark.parametrize(
    ("about", "hits", "seen", "kind"),
    [
        (model(), HITS, 0.75, "labels"),
        (model(), {**HITS, ("mine", "labelled"): frozenset()}, 0.5, "structures"),
        (model(), NOTHING, 0, "none"),
        (model(checkable=("structures",)), HITS, 0.5, "structures"),
        (model(checkable=("structures",)), NOTHING, 0, "unknown"),
        (model(checkable=()), {}, np.nan, "unknown"),
        (model(corpora=(), learnt=(), checkable=()), {}, np.nan, "unknown"),
        (model(suspected=("mine",)), NOTHING, 0, "labels"),
        (model(suspected=("mine",), checkable=()), {}, np.nan, "labels"),
        (model(suspected=("other",)), NOTHING, 0, "none"),
        (model("none", corpora=(), learnt=(), checkable=()), {}, 0, "none"),
    ],
)
def test_the_verdict(about, hits, seen, kind):
    found = Audit({"gin": about}, hits, TESTS).verdicts(CELL, [0]).iloc[0]
    np.testing.assert_equal(found["seen"], seen)
    assert found["contamination"] == kind


@pytest.mark.parametrize("method", WITHOUT_PRETRAINING)
def test_what_starts_from_no_pretrained_weights_has_seen_nothing(method):
    found = Audit({"gin": model(suspected=("mine",))}, HITS, TESTS).verdicts({**CELL, "method": method}, [0])
    assert found[["seen", "contamination"]].to_numpy().tolist() == [[0, "none"]]


def test_the_worst_of_several():
    assert KINDS == ("none", "unknown", "structures", "labels")
    assert worst(["none", "structures", "unknown"]) == "structures"


def test_the_overlap_of_what_is_not_to_be_had_is_null():
    table = Audit({"gin": model(checkable=("structures",))}, HITS, TESTS).overlaps({("gin", *next(iter(TESTS)))})
    schemas.table("overlaps", table)
    rows = table[["corpus", "learnt", "checked", "test_molecules", "seen"]].astype({"seen": object}).to_numpy().tolist()
    assert rows == [["structures", False, True, 4, 2], ["labelled", True, False, 4, pd.NA]]


def test_the_audit_is_read_from_the_stages_files(tmp_path):
    cells = Cells(("honest",), ("gin",), ("mine",), ("random",), ("all",), ("full_ft",))
    rows = [("train", 0, 4), ("test", 0, 0), ("test", 0, 3), ("test", 1, 1)]
    split = pd.DataFrame(rows, columns=["role", "seed", "molecule"]).assign(fold=0)
    own = {key: CELL[key] for key in ("protocol", "dataset", "split", "budget")}
    schemas.write("splits", split.assign(**own), tmp_path / "splits/honest/mine/random-all.parquet")
    about = model(checkable=("structures",))
    schemas.write("models", pd.DataFrame([about]), tmp_path / "provenance/models.parquet")
    hits = pd.DataFrame({"dataset": "mine", "corpus": "structures", "molecule": [0]})
    schemas.write("hits", hits, tmp_path / "overlaps/mine/structures.parquet")
    audit = contamination.read(cells, tmp_path, tmp_path / "provenance" / "models.parquet")
    assert audit == Audit(
        {"gin": about},
        {("mine", "structures"): frozenset({0})},
        {("honest", "mine", "random", "all"): {0: frozenset({0, 3}), 1: frozenset({1})}},
    )
    assert audit.verdicts(CELL, [0, 1])["contamination"].tolist() == ["structures", "unknown"]
    schemas.table("models", audit.table())
