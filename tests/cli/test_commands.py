"""Help in two groups, lists, the version, completion; and that none of these takes long to start."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import roftmol
from roftmol.cli import commands, listing
from roftmol.cli.main import main
from roftmol.methods import METHODS
from roftmol.registry import catalog
from roftmol.registry.splits import SPLITS
from roftmol.scoring.selection import RULES
from roftmol.stages import STAGES
from workspaces import ROOT

PEOPLE = ("recommend", "predict", "show", "merge", "verify", "export-curves", "list")


def said(capsys: pytest.CaptureFixture[str], *arguments: str, status: int | None = None) -> str:
    """What a command prints; with a `status`, it ends by that."""
    if status is None:
        main(arguments)
    else:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == status
    return capsys.readouterr().out


def test_help_is_in_two_groups(capsys: pytest.CaptureFixture[str]):
    people, stages = said(capsys, "--help", status=0).split("the workflow's own stages, which its rules start:\n")
    listed = people.split("commands for people:\n")[1]
    assert tuple(re.findall(r"^    (\S+)", listed, re.MULTILINE)) == PEOPLE
    assert re.findall(r"^  (\S+)", stages, re.MULTILINE) == [stage.command for stage in STAGES.values()]
    assert all(stage.title in stages for stage in STAGES.values())


@pytest.mark.parametrize("command", [*PEOPLE, "finetune"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str):
    assert said(capsys, command, "--help", status=0).startswith(f"usage: roftmol {command} ")


def test_a_command_that_is_none_is_status_2(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["recomend"])
    assert ended.value.code == 2
    assert "invalid choice: 'recomend' (choose from" in capsys.readouterr().err


def test_the_version_is_said_with_what_results_depend_on(capsys: pytest.CaptureFixture[str]):
    text = said(capsys, "--version", status=0)
    beside = r"\(Python [\d.]+, torch \S+, rdkit [\d.]+, snakemake [\d.]+\)\n"
    assert re.fullmatch(rf"roftmol {re.escape(roftmol.__version__)} {beside}", text)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("datasets", list(catalog.datasets())),
        ("models", list(catalog.checkpoints())),
        ("methods", list(METHODS)),
        ("splits", list(SPLITS)),
    ],
)
def test_what_can_be_named_is_listed_a_line_each(capsys: pytest.CaptureFixture[str], kind: str, names: list[str]):
    lines = said(capsys, "list", kind).splitlines()
    assert [line.split()[0] for line in lines] == names
    assert all(len(line.split()) > 2 or kind == "splits" for line in lines)
    objects = json.loads(said(capsys, "list", kind, "--json"))
    assert [one["name"] for one in objects] == names


def test_lists_say_what_is_known(capsys: pytest.CaptureFixture[str]):
    assert re.search(r"^tox21 +classification, 7,831 records: 12 tasks$", said(capsys, "list", "datasets"), re.M)
    assert re.search(
        r"^minimol +minimol, pretrained on largemix \(with labels\)$", said(capsys, "list", "models"), re.M
    )
    assert re.search(r"^column +split by column; needs a split_column$", said(capsys, "list", "splits"), re.M)
    esol = next(one for one in json.loads(said(capsys, "list", "datasets", "--json")) if one["name"] == "esol")
    assert (esol["task"], esol["records"]) == ("regression", 1128)
    assert esol["licence"]


def test_names_that_are_written_twice_agree():
    assert tuple(RULES) == commands.RULES
    assert tuple(listing.KINDS) == ("datasets", "models", "methods", "splits")


def in_python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'workflow'}:{os.environ.get('PYTHONPATH', '')}", **variables}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["list splits", "list methods", "recommend --help", "predict --help", "--version"])
def test_what_is_only_typed_imports_nothing_heavy(command: str):
    done = in_python(
        "import sys\nfrom roftmol.cli.main import main\n"
        f"try:\n    main({command.split()!r})\nexcept SystemExit:\n    pass\n"
        "heavy = {'pandas', 'torch', 'scipy', 'sklearn', 'rdkit', 'snakemake', 'argcomplete'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("roftmol re", {"recommend", "recommendation", "refit", "report"}),
        ("roftmol list m", {"models", "methods"}),
        ("roftmol recommend mine.csv --ta", {"--target"}),
    ],
)
def test_a_shell_is_told_what_can_be_typed(tmp_path: Path, line: str, offered: set[str]):
    out = tmp_path / "offered"
    variables = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
    done = in_python("from roftmol.__main__ import main; main()", **variables, _ARGCOMPLETE_STDOUT_FILENAME=str(out))
    assert done.returncode == 0, done.stderr
    assert set(map(str.strip, out.read_text().split("\n"))) == offered


def test_what_was_imported_is_not_looked_through_at_the_end():
    done = in_python(
        "import atexit, gc, sys\nfrom roftmol.__main__ import main\n"
        "atexit.register(lambda: print('kept', gc.get_freeze_count() > 10_000))\n"
        "sys.argv[1:] = ['list', 'splits']\nmain()"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "kept True"
