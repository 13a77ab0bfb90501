"""What the pages show can be done: the file that they begin with, and their blocks of Python."""

from __future__ import annotations

import csv
import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from roftmol.experiment.config import experiment
from roftmol.tables import schemas

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


#: Pages whose blocks of Python run one after the other, and the tables of results that these read.
PAGES = {
    "README.md": (),
    "docs/python.md": (),
    "docs/bundle.md": (),
    "docs/quickstart.md": ("results/tables/summary.parquet",),
    "docs/tables.md": ("results/tables/scores.parquet",),
}


def programs(page: Path) -> list[str]:
    """Return the page's blocks of Python that import something; the others show a call, or are of a shell."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    inner = [re.sub(r"^ {4}", "", block, flags=re.MULTILINE).strip() for block in blocks]
    shell = re.compile(r'\S*python -c "\n(.*?)"(?:\n|$)', re.DOTALL)
    inner = [match[1] if (match := shell.match(block)) else block for block in inner]
    return [block for block in inner if re.match(r"(?:import|from) \w+", block)]


@pytest.mark.filterwarnings("ignore:The encoder is gin-distilled")
@pytest.mark.parametrize("name", PAGES)
def test_the_pages_blocks_of_python_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for table in map(Path, PAGES[name]):
        (tmp_path / table).parent.mkdir(parents=True)
        schemas.write(table.stem, schemas.empty(table.stem), tmp_path / table)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # no archive from elsewhere
    blocks = programs(ROOT / name)
    assert blocks, f"{name} shows no Python"
    scope: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, name, "exec"), scope)
    assert ("mine.roftmol" in " ".join(blocks)) == (tmp_path / "mine.roftmol").is_file()
