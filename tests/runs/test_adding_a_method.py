"""A method is one file and one line: the tutorial's is added to a copy of the project, and everything takes it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import planner

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial-method.md").read_text(encoding="utf-8")
#: The file, the line, and the test by hand; and what is said of the line's place.
FILE, LINE, TEST = re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)
BEFORE = "from roftmol.methods.l2_sp import METHOD as _L2_SP\n"
#: Figures (of one kind, for they take seconds each) and the page of a made-up experiment, in the folder `argv[1]`.
REPORT = """
import sys
from pathlib import Path

import made_up_tables
from roftmol import figures, report

out = Path(sys.argv[1])
selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.72], "l1_sp": [0.8, 0.83], "constant": [0.5, 0.5]})
tables = made_up_tables.write_tables(out / "tables", selected)
figures.draw(tables, out / "figures", [figures.scores])
report.build(tables, out / "figures", {}, out / "report.html")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the method."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "config.yaml", "pyproject.toml", "README.md"):
        shutil.copy2(ROOT / name, copy)
    for name in ("rules", "workflow", "envs", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    methods = copy / "workflow" / "roftmol" / "methods"
    assert "Write `workflow/roftmol/methods/l1_sp.py`." in TUTORIAL
    (methods / "l1_sp.py").write_text(FILE)
    lines = (methods / "__init__.py").read_text()
    assert lines.count(BEFORE) == 1
    (methods / "__init__.py").write_text(lines.replace(BEFORE, BEFORE + LINE))
    (copy / "tests" / "methods" / "test_l1_sp.py").write_text(TEST)
    return copy


def run(project: Path, *command: str) -> str:
    """What a program says with the code of the copy; it fails where the program does."""
    done = subprocess.run(command, cwd=project, env=variables(project), capture_output=True, text=True, check=False)
    return words(done)


def variables(project: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{project / 'workflow'}{os.pathsep}{project / 'tests' / 'helpers'}"}


def words(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_tests_of_all_methods_take_it(project: Path):
    """Those that go over all methods, and those of what all of them have together."""
    names = ("methods/test_methods", "figures/test_figures", "experiment/test_cost", "experiment/test_config")
    files = [f"tests/{name}.py" for name in (*names, "methods/test_l1_sp")]
    together = (
        "test_methods_of_one_mechanism_stand_together",
        "test_one_look_a_method",
        "test_costs_are_known_of_every_kind_and_method",
        "test_the_default_runs_the_methods_of_the_paper_and_the_reference_points",
        "test_every_stage_accepts_its_settings",
    )
    chosen = " or ".join(("l1_sp", *together))
    told = run(project, sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", *files, "-k", chosen)
    by_hand = "test_l1_sp_is_the_sum_of_absolute_distances"
    for name in ("test_conformance[l1_sp-honest]", "test_conformance[l1_sp-paper]", by_hand, *together):
        assert f"::{name} PASSED" in told


def test_the_workflow_plans_it_and_says_what_it_costs(project: Path):
    (changes,) = re.findall(r"snakemake -n --config (.*)", TUTORIAL)
    told = words(planner.run(["--dry-run", "--config", *shlex.split(changes)], project, variables(project)))
    assert told.count(": l1_sp\n") == 6  # two models on three datasets
    (plan,) = re.findall(r"^ {4}(\d+ fine-tuning .*)$", TUTORIAL, re.MULTILINE)
    assert f"{plan}\n" in told


def test_readmes_table_is_made_with_it(project: Path):
    run(project, sys.executable, "-m", "roftmol.methods.reference")
    page = (project / "README.md").read_text(encoding="utf-8")
    row = "| `l1_sp` | L1-SP | Full FT with a penalty on the absolute distance from the pretrained weights θ₀. |"
    assert f"{row} Li et al. 2018, [arXiv 1802.01483](https://arxiv.org/abs/1802.01483) |\n| `bss` |" in page


def test_figures_and_page_name_it(project: Path, tmp_path: Path):
    run(project, sys.executable, "-c", REPORT, str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "Best mean" in page
    assert page.count("L1-SP") > 3
    line = "Full FT with a penalty on the absolute distance from the pretrained weights θ₀."
    assert f'<span class="mechanism">weight-based</span> {line} (Li et al. 2018, arXiv 1802.01483)</dd>' in page
    assert "#F2A65A" in page  # the chart to point at
    pictures = sorted((tmp_path / "figures").glob("scores-*.svg"))
    assert len(pictures) == 2  # for wide and for narrow windows
    assert all("#f2a65a" in picture.read_text() for picture in pictures)
    assert "best mean L1-SP at 0.815" in (tmp_path / "figures" / "figures.json").read_text()
