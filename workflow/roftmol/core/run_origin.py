"""What a result was made with: code, settings, software, kind of machine.

Results are shared, so nothing here names a machine, a person or a path; and nothing tells a time, so that the same
work done again is marked alike.
"""

from __future__ import annotations

import platform
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from roftmol.core.files import digest, sha256
from roftmol.core.records import without_defaults
from roftmol.core.source_code import PACKAGE

#: The packages that numbers come from; those that a stage's environment lacks are left out.
PACKAGES = ("ase", "numpy", "pyarrow", "rdkit", "scikit-learn", "scipy", "so3krates-torch", "tblite", "torch", "vesin")
GPUS = Path("/proc/driver/nvidia/gpus")


@dataclass(frozen=True)
class Origin:
    """What something was made with; the columns `schemas.ORIGIN` of a fit, and the marks of a table's file."""

    code: str  #: version and commit, or a digest of the source files
    configuration: str  #: the digest of the settings, "" without any
    environment: str  #: the digest of the two that follow
    software: str
    host: str  #: the processor's model and the accelerator's name


def origin(settings: Any = None, details: Sequence[str] = (), accelerator: str = "") -> Origin:
    """Return the origin of what this process makes by `settings`, a dataclass or a JSON value.

    `details` go behind the versions of the software; `accelerator` is the one that was used, if it is known better than
    by what the system has.
    """
    content = without_defaults(settings)
    used = ", ".join([software(), *details])
    machine = ", ".join(filter(None, [processor(), accelerator or _accelerators()]))
    configuration = "" if content is None else digest(content)
    return Origin(code(), configuration, digest([used, machine]), used, machine)


@cache
def code(package: Path = PACKAGE) -> str:
    """Return the package's version with its commit, or with a digest of its files where there is no commit.

    A checkout whose package was edited is "dirty", and has the digest too.
    """
    parts = [_version(package)]
    # A folder of somebody else's repository, such as a virtual environment in it, is not tracked there.
    commit = _git(package, "rev-parse", "--short=12", "HEAD") if _git(package, "ls-files", ".") else ""
    dirty = bool(commit and _git(package, "status", "--porcelain", "."))
    parts += [f"commit {commit}"] if commit else []
    parts += ["dirty"] if dirty else []
    if dirty or not commit:
        # Of bytes: reading the syntax of all files takes each job two seconds.
        files = sorted(package.rglob("*.py"))
        parts.append(f"code {digest([[str(path.relative_to(package)), sha256(path)] for path in files])}")
    return ", ".join(filter(None, parts))


@cache
def software() -> str:
    """Return Python and the packages that numbers come from, each with its version."""
    versions = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(versions)


@cache
def processor() -> str:
    """Return the processor's model, as Linux calls it; elsewhere its architecture."""
    return _value(Path("/proc/cpuinfo"), "model name") or platform.machine()


@cache
def _accelerators() -> str:
    """Return the models of NVIDIA GPUs that the driver lists; no torch is imported, which most stages do without."""
    models = {_value(path, "Model") for path in GPUS.glob("*/information")}
    return ", ".join(sorted(filter(None, models)))


def _value(path: Path, key: str) -> str:
    """Return the value of the first line `key: value` of a file of the kernel's, "" if there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    pairs = (line.partition(":") for line in lines)
    return next((" ".join(value.split()) for name, _, value in pairs if name.strip() == key), "")


def _version(package: Path) -> str:
    try:
        return metadata.version(package.name)
    except metadata.PackageNotFoundError:  # run from its checkout, by PYTHONPATH
        project = package.parents[1] / "pyproject.toml"
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"]) if project.is_file() else ""


def _git(folder: Path, *arguments: str) -> str:
    """Return what git says, "" where there is no git or no repository."""
    # Many jobs ask at once; none of them may lock the index.
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
