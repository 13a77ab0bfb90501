"""The lock, the conda environments and what the code imports agree."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from roftmol.core.source_code import sources, third_party
from roftmol.stages import STAGES

ROOT = Path(__file__).parents[2]
#: Comes with every virtual environment, or with torch alone.
UNLOCKED = {"pip", "roftmol"}
TORCH_ALONE = re.compile(r"nvidia-|cuda-|triton$")
#: What a user adds by hand: built against the torch at hand (docs/dpa.md), or for weights on the hub.
BY_HAND = {"deepmd", "huggingface_hub"}


def _pins(lines: list[str]) -> dict[str, str]:
    """Versions by name; a line that pins nothing fails."""
    pins = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin or pytest.fail("a line is no pin")}


def _locked(name: str) -> dict[str, str]:
    """A lock's pins; each has the checksum of a file at least."""
    entries = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
    pins = []
    for entry in entries:
        pin, *checksums = entry.split()
        if pin != "#":
            assert checksums, f"{name}: {pin} has no checksum"
            assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", text) for text in checksums), f"{name}: {pin}"
            pins.append(pin)
    return _pins(pins)


#: Comes in several builds, so without checksums.
TORCH = _pins((ROOT / "requirements-torch.txt").read_text().splitlines())
LOCK = _locked("requirements.txt") | TORCH
ATOMISTIC = _locked("requirements-atomistic.txt")
DEVELOPMENT = _locked("requirements-dev.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def _named(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


#: What requirements.txt locks: the library's packages, and the workflow's.
BY_NAME = _named([*PROJECT["dependencies"], *EXTRAS["workflow"], *EXTRAS["slurm"]])


def _environment(name: str) -> dict[str, str]:
    entries = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
    return _pins(next(entry["pip"] for entry in entries if isinstance(entry, dict)))


#: What stages of an environment never import, though methods and task types do within functions.
UNCALLED = {"data": {"torch", "scipy", "scikit-learn"}, "report": {"torch"}, "train": set()}
ENVIRONMENTS = sorted({stage.environment for stage in STAGES.values()})


def test_every_environment_has_stages():
    assert sorted(path.stem for path in (ROOT / "envs").glob("*.yaml")) == ENVIRONMENTS


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_the_versions_of_the_lock(name: str):
    environment = _environment(name)
    locked = LOCK | ATOMISTIC
    assert environment == {package: locked[package] for package in environment}


@pytest.mark.parametrize("name", STAGES)
def test_an_environment_has_what_its_stages_import(name: str):
    """But what methods and task types import within functions that a stage of this environment does not call.

    `test_forward` holds the report to that, the test below the stages of data.
    """
    files = sources([f"roftmol.stages.{name}"], leaves=["roftmol.stages"])
    lazy = sources(["roftmol.methods", "roftmol.tasks"])
    needed = _packages(file for file in files if file not in lazy)
    needed |= _packages(file for file in files if file in lazy) - UNCALLED[STAGES[name].environment]
    assert needed <= _environment(STAGES[name].environment).keys()


def test_labels_are_read_and_dealt_without_what_only_fits_need():
    script = f"""
import sys
sys.modules |= dict.fromkeys({sorted(UNCALLED["data"] | {"sklearn"})})
import numpy as np
from roftmol.tasks import TASKS
for task in TASKS.values():
    assert task.read("1") == 1
    labels = np.tile([[0.0, 1.0], [1.0, 0.0]], (10, 1))
    assert len(task.strata(labels).of) == 20
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_what_every_command_imports(name: str):
    """Whatever the command, its parser reads all stages' files."""
    script = "import sys, roftmol.cli.main; print(*{name.partition('.')[0] for name in sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    imported = set(done.stdout.split()) - set(sys.stdlib_module_names) - {"roftmol"}
    packages = {canonicalize_name(_distributions()[module][0]) for module in imported if module in _distributions()}
    assert packages & BY_NAME <= _environment(name).keys()


def test_the_project_names_what_the_code_imports():
    package = ROOT / "workflow" / "roftmol"
    modules = [
        ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        for path in package.rglob("*.py")
    ]
    atomistic = _named(EXTRAS["atomistic"])
    assert _packages(sources(modules)) <= BY_NAME | atomistic
    assert LOCK.keys() >= BY_NAME
    assert atomistic <= ATOMISTIC.keys()


def test_the_lock_is_complete():
    """Every dependency of a locked package that this machine needs is locked too."""
    locked = LOCK | ATOMISTIC | DEVELOPMENT
    missing = {
        f"{requirement.name} (for {name})"
        for name in locked
        for requirement in map(Requirement, importlib.metadata.requires(name) or [])
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if canonicalize_name(requirement.name) not in locked.keys() | UNLOCKED
        if not TORCH_ALONE.match(requirement.name)
    }
    assert not missing


def test_the_lock_is_among_what_the_project_asks_for():
    """Lower bounds of the library hold for the versions that the workflow is tested with."""
    bounds = [Requirement(text) for text in chain(PROJECT["dependencies"], *EXTRAS.values())]
    locked = LOCK | ATOMISTIC | DEVELOPMENT
    assert [str(one) for one in bounds if not one.specifier.contains(locked[canonicalize_name(one.name)])] == []


def test_torch_alone_has_no_checksum():
    assert TORCH.keys() == {"torch"}
    assert "torch" not in _locked("requirements.txt")


def test_what_is_installed_fits_together():
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_locks_share_no_package():
    assert not LOCK.keys() & DEVELOPMENT.keys()
    assert not ATOMISTIC.keys() & (LOCK | DEVELOPMENT).keys()


def test_the_tests_run_on_the_lock():
    found = {name: importlib.metadata.version(name).partition("+")[0] for name in LOCK | ATOMISTIC}
    assert found == LOCK | ATOMISTIC


def _packages(files: Iterable[Path]) -> set[str]:
    names = third_party(files) - set(sys.stdlib_module_names) - BY_HAND
    return {canonicalize_name(_distributions()[name][0]) for name in names}


@cache
def _distributions() -> Mapping[str, list[str]]:
    """What distributions a module is from; all files of all that is installed are looked through for it."""
    return importlib.metadata.packages_distributions()
