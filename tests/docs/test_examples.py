"""The file that the first screen of the README begins with: made by its maker, and read without a question."""

from __future__ import annotations

import csv
import re
import runpy
from pathlib import Path

import pytest
import yaml

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


def test_the_quickstarts_experiment_is_of_the_example(monkeypatch: pytest.MonkeyPatch):
    """As the page says it, from the repository's root: laid over config.yaml, and without a remark on the file."""
    page = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    text = (ROOT / "examples" / "quickstart.yaml").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```yaml\n(.+?)```", page, re.DOTALL)
    assert text.endswith(f"\n\n{shown}")
    assert page.count("--configfile examples/quickstart.yaml") == 2
    monkeypatch.chdir(ROOT)
    asked = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")) | yaml.safe_load(text)
    planned = experiment(asked)
    assert planned.datasets["solubility"].own_table == EXAMPLE.relative_to(ROOT)
    assert planned.audit() == []
