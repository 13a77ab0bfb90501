"""The file that the first screen of the README begins with: made by its maker, and read without a question."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path

from roftmol.experiment.config import experiment

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "solubility100.csv"


def test_the_example_is_what_its_maker_writes():
    maker = runpy.run_path(str(ROOT / "examples" / "make_solubility100.py"))
    with open(EXAMPLE, encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["name", "SMILES", "logS"]
    assert [tuple(row) for row in rows] == maker["rows"]()


def test_the_example_needs_no_key():
    found = experiment({"data": str(EXAMPLE)})
    assert found.recommendation.learnt == "target `logS`, regression, 100 labels, column `SMILES`"
    assert found.audit() == []
    assert f"examples/{EXAMPLE.name}" in (ROOT / "README.md").read_text(encoding="utf-8")
