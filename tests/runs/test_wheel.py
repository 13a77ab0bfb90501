"""The package as `pip install roftmol` leaves it: with all its files, and of use without what the workflow needs."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
#: What is done with the package where nothing else can be imported than what it asks for.
SCRIPT = """
import sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import roftmol
from roftmol.cli.main import main

assert Path(roftmol.__file__).parents[1] == Path(SITE), roftmol.__file__
assert roftmol.__version__ == VERSION
assert set(dir(roftmol)) == {*roftmol.__all__, "__version__"}
for name in dir(roftmol):
    getattr(roftmol, name)
smiles = ["C" * length + end for length in range(1, 7) for end in ("O", "N", "Cl")]
roftmol.RoftMolRegressor(encoder="gin-distilled").fit(smiles, list(map(len, smiles))).save("a.roftmol")
Path("new.csv").write_text("SMILES\\nCCO\\n")
main(["show", "a.roftmol"])
main(["predict", "a.roftmol", "new.csv", "-o", "-"])
main(["list", "methods"])
main(["recommendation", "--help"])
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel holds, which is built from the files alone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "workflow", source / "workflow", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder)]
    subprocess.run([sys.executable, *build, str(source)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_holds_the_package_with_its_data_and_nothing_else(installed: Path):
    package = ROOT / "workflow" / "roftmol"
    files = _files(package)
    assert _files(installed / "roftmol") == files
    assert {path.suffix for path in files} >= {".py", ".yaml", ".safetensors", ".jinja", ".css", ".js", ".typed"}
    about = f"roftmol-{PROJECT['version']}.dist-info"
    assert {path.name for path in installed.iterdir()} == {"roftmol", about}


def test_the_library_works_with_what_it_asks_for_alone(installed: Path, tmp_path: Path):
    needed = _closure(PROJECT["dependencies"])
    assert not needed & {"snakemake", "matplotlib", "pydantic"}
    modules = importlib.metadata.packages_distributions()
    blocked = {name for name, owners in modules.items() if not needed & {canonicalize_name(one) for one in owners}}
    blocked -= {"roftmol", "__editable___roftmol_0_1_0_finder"}
    told = f"BLOCKED = {sorted(blocked)!r}\nSITE = {str(installed)!r}\nVERSION = {PROJECT['version']!r}\n"
    done = _run(installed, tmp_path, told + SCRIPT)
    assert done.returncode == 0, done.stderr
    assert "CCO," in done.stdout


def test_what_the_workflow_needs_is_named_where_it_is_missing(installed: Path, tmp_path: Path):
    script = "import sys\nsys.modules['matplotlib'] = None\nfrom roftmol.cli.main import main\nmain(sys.argv[1:])"
    paths = ("--tables", ".", "--figures", ".", "--out", "page.html")
    done = _run(installed, tmp_path, script, "report", "--settings", "{}", *paths)
    assert done.returncode == 1
    assert done.stderr.startswith("error: the package matplotlib is not installed")
    assert "pip install 'roftmol[workflow]'" in done.stderr
    assert "Traceback" not in done.stderr


def _files(package: Path) -> set[Path]:
    files = (path.relative_to(package) for path in package.rglob("*") if path.is_file())
    return {path for path in files if "__pycache__" not in path.parts}


def _closure(requirements: list[str]) -> set[str]:
    """The packages that an installation of these brings, extras left out."""
    names: set[str] = set()
    waiting = list(requirements)
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in names and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            names.add(name)
            waiting += importlib.metadata.requires(name) or []
    return names


def _run(site: Path, folder: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
