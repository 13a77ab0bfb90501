"""The workflow away from its checkout: in the image, and as a module of another one, as `snakedeploy` sets it up."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import planner
from workspaces import ROOT, job_counts

#: The Snakefile that config/README.md shows.
(SHOWN,) = re.findall(r"```python\n(.+?)```", (ROOT / "config" / "README.md").read_text(encoding="utf-8"), re.DOTALL)


#: What the recipe of the image copies into it, and what it runs there.
RECIPE = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
COPIED = [name for line in RECIPE if line.startswith("COPY ") for name in line.split()[1:-1]]
RUN = [line.removeprefix("RUN ") for line in RECIPE if line.startswith("RUN ")]

#: In Python's place: it makes a folder with a pip that looks for the files that it is to install from.
PYTHON = """\
#!/bin/sh
case "$2" in
import*) exit ;;
venv) mkdir -p "$3/bin" && cp "$(dirname "$0")/pip" "$3/bin/pip" ;;
*) exit 1 ;;
esac
"""
PIP = """\
#!/bin/sh
for word in "$@"; do
  case "$word" in
  *.txt) test -s "$word" || exit 1 ;;
  .) test -s pyproject.toml && test -s workflow/roftmol/__init__.py || exit 1 ;;
  esac
done
echo "$@" >>installed
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The workflow at another path than that of the package that is installed, as it lies in the image."""
    (tmp_path / "clone").mkdir()
    for name in COPIED:
        (tmp_path / "clone" / name).symlink_to(ROOT / name)
    return tmp_path / "clone"


def test_the_image_is_installed_from_what_is_copied_into_it(clone: Path, tmp_path: Path):
    """As `make install` does anywhere; the network alone is left out."""
    for name, text in {"python": PYTHON, "pip": PIP}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (install,) = [command for command in RUN if not command.startswith("apt-get ")]
    made = subprocess.run([*install.split(), f"PYTHON={tmp_path / 'python'}"], cwd=clone, check=False)
    assert made.returncode == 0
    asked = [line.split()[-1] for line in (clone / "installed").read_text().splitlines()]
    assert asked[0].startswith("pip==")  # the rest is installed by it
    assert asked[1:] == ["requirements.txt", "requirements-torch.txt", "."]


def test_what_the_image_starts_is_a_command_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (started,) = [line.removeprefix("ENTRYPOINT ") for line in RECIPE if line.startswith("ENTRYPOINT ")]
    assert json.loads(started) == list(project["scripts"])
    (path,) = [line for line in RECIPE if line.startswith("ENV PATH=")]
    places = [line.split()[1] for line in RECIPE if line.startswith("WORKDIR ")]
    assert path == f"ENV PATH={places[0]}/.venv/bin:$PATH"


def snakemake(folder: Path, snakefile: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "workflow").mkdir(parents=True, exist_ok=True)
    (folder / "workflow" / "Snakefile").write_text(snakefile)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ROFTMOL_MIRROR")}
    return planner.run(arguments, folder, environment)


def test_another_workflow_plans_this_one(clone: Path, tmp_path: Path):
    """Its jobs' shells read the file beside the rules of this one, and run the package there."""
    folder = tmp_path / "another"
    shutil.copytree(ROOT / "config", folder / "config")
    snakefile = f"{SHOWN.replace('/path/to/the/clone', str(clone))}\nprint('PREFIX', shell._process_prefix)\n"
    dry = snakemake(folder, snakefile, "--dry-run", "--quiet", "rules")
    counts = job_counts(dry)
    asked = yaml.safe_load((folder / "config" / "config.yaml").read_text())
    assert counts["fetch_data"] == len(asked["datasets"])
    assert counts["report"] == 1
    (prefix,) = [line for line in dry.stdout.splitlines() if line.startswith("PREFIX ")]
    assert f"source {clone}/rules/stage.sh;" in prefix
    assert f"export PYTHONPATH={clone}/workflow;" in prefix


def test_a_module_without_its_package_says_what_to_name(tmp_path: Path):
    """What Snakemake brings a file at a time, as from GitHub, has no package beside it."""
    for name in ("rules", "Snakefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    snakefile = re.sub(r'".+/Snakefile"', f'"{tmp_path}/Snakefile"', SHOWN)
    (tmp_path / "another" / "config").mkdir(parents=True)
    (tmp_path / "another" / "config" / "config.yaml").write_text("datasets: [esol]\n")
    done = snakemake(tmp_path / "another", snakefile, "--dry-run")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1
    assert 'name the Snakefile of the clone: `module roftmol: snakefile: "CLONE/Snakefile"`.' in said
    assert "Traceback" not in said
