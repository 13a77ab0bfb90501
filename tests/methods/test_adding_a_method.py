"""A method is one file and one line: a toy is added so to a copy of the project, and everything takes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: The file.
TOY = '''"""A toy: full fine-tuning that draws the head to zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roftmol.methods.base import Method, Step, head_decay

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """The strength."""

    lam: float


def penalty(settings: Settings, step: Step) -> Tensor:
    """The penalty, a scalar."""
    return head_decay(settings.lam, step)


METHOD = Method(
    name="toy",
    title="Toy decay",
    mechanism="head-based",
    summary="Full FT with a penalty on the head that nobody asked for.",
    colour="#12A4B6",
    marker="8",
    settings=Settings,
    grid=lambda _layers: (Settings(0.1), Settings(0.01)),
    stages=lambda _settings, parts: (parts,),
    penalty=penalty,
)
'''
#: The line, and before which it stands.
LINE, END = "from roftmol.methods.toy import METHOD as _TOY\n", "# isort: on\n"
#: Figures (of one kind, for they take seconds each) and the page of a made-up experiment, in the folder `argv[1]`.
REPORT = """
import sys
from pathlib import Path

import made_up_tables
from roftmol import figures, report

out = Path(sys.argv[1])
selected = made_up_tables.selected_rows({"full_ft": [0.7, 0.72], "toy": [0.8, 0.83], "constant": [0.5, 0.5]})
tables = made_up_tables.write_tables(out / "tables", selected)
figures.KINDS = figures.KINDS[:1]
figures.draw(tables, out / "figures")
report.build(tables, out / "figures", {}, out / "report.html")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with the toy."""
    copy = tmp_path_factory.mktemp("project")
    for name in ("Snakefile", "config.yaml", "pyproject.toml"):
        shutil.copy2(ROOT / name, copy)
    for name in ("rules", "workflow", "envs", "tests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    methods = copy / "workflow" / "roftmol" / "methods"
    (methods / "toy.py").write_text(TOY)
    lines = (methods / "__init__.py").read_text()
    assert lines.count(END) == 1
    (methods / "__init__.py").write_text(lines.replace(END, LINE + END))
    return copy


def run(project: Path, *command: str) -> str:
    """What a program says with the code of the copy; it fails where the program does."""
    environment = {**os.environ, "PYTHONPATH": f"{project / 'workflow'}{os.pathsep}{project / 'tests' / 'helpers'}"}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_tests_of_all_methods_take_it(project: Path):
    """Those that go over all methods, and those of what all of them have together."""
    names = ("methods/test_methods", "figures/test_figures", "experiment/test_cost", "experiment/test_config")
    files = [f"tests/{name}.py" for name in names]
    together = (
        "test_methods_of_one_mechanism_stand_together",
        "test_one_look_a_method",
        "test_costs_are_known_of_every_kind_and_method",
        "test_the_default_runs_the_methods_of_the_paper_and_the_reference_points",
        "test_every_stage_accepts_its_settings",
    )
    chosen = " or ".join(("toy", *together))
    told = run(project, sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", *files, "-k", chosen)
    for name in ("test_conformance[toy-honest]", "test_conformance[toy-paper]", *together):
        assert f"::{name} PASSED" in told


def test_the_workflow_plans_it_and_says_what_it_costs(project: Path):
    snakemake = str(Path(sys.executable).parent / "snakemake")
    changes = ("methods=[full_ft, toy]", "grids={toy: {lam: [0.3, 0.2, 0.1]}}")
    told = run(project, snakemake, "--dry-run", "--config", *changes)
    assert told.count(": toy\n") == 6  # two models on three datasets
    assert "12 fine-tuning and interpolation jobs with 72 fits" in told  # three seeds of one setting and of three


def test_figures_and_page_name_it(project: Path, tmp_path: Path):
    run(project, sys.executable, "-c", REPORT, str(tmp_path))
    page = (tmp_path / "report.html").read_text()
    assert "Best mean" in page
    assert page.count("Toy decay") > 3
    assert '<span class="mechanism">head-based</span> Full FT with a penalty on the head that nobody asked for.' in page
    assert "#12A4B6" in page  # the chart to point at
    (picture,) = (tmp_path / "figures").glob("scores-*.svg")
    assert "#12a4b6" in picture.read_text()
    assert "best mean Toy decay at 0.815" in (tmp_path / "figures" / "figures.json").read_text()
