"""CONTRIBUTING's tables say which packages there are and where their tests lie, and all of it."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def _layers() -> dict[str, int]:
    """The layer of each package by the linter's contract, the lowest 1."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = contracts[0]["layers"]
    return {name.strip(): len(layers) - row for row, line in enumerate(layers) for name in line.split("|")}


def test_contributing_tells_each_package_and_its_layer():
    rows = re.findall(r"^\| `(\w+)/` \|.*\| (\d+) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert {name: int(layer) for name, layer in rows} == _layers()


def test_the_root_of_the_package_holds_packages_alone():
    root = ROOT / "workflow" / "roftmol"
    assert {path.name for path in root.glob("*.py")} == {"__init__.py", "__main__.py"}
    assert {path.parent.name for path in root.glob("*/__init__.py")} == _layers().keys()


def _imported(file: Path) -> set[str]:
    """The modules that a file imports, on whatever line."""
    nodes = list(ast.walk(ast.parse(file.read_text())))
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return named | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_tests_lie_in_folders_of_packages_and_those_that_contributing_tells():
    told = re.findall(r"^\| `tests/(\w+)/` \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    assert told
    lie = {path.parent for path in (ROOT / "tests").rglob("*.py")} - {ROOT / "tests"}
    assert {str(folder.relative_to(ROOT / "tests")) for folder in lie} <= {*told, *_layers()}


def test_no_test_imports_a_test():
    files = list((ROOT / "tests").rglob("*.py"))
    tests = {path.stem for path in files if path.stem.startswith("test_")}
    assert len(tests) > 50
    assert {path.name: modules for path in files if (modules := _imported(path) & tests)} == {}
