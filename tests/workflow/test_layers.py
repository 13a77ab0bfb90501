"""CONTRIBUTING's table of packages says what import-linter holds, and all of it."""

from __future__ import annotations

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
