"""Commands in processes of their own, with streams that are closed, full or read by somebody who stops; and Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from devices import device
from roftmol.cli import commands
from roftmol.deploy import bundle
from small_bundles import of_constant

WORKFLOW = Path(commands.__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    bundle.write(of_constant(), folder / "a.roftmol")
    (folder / "new.csv").write_text("SMILES\n" + "CCO\n" * 5_000)  # more than a pipe holds
    return folder


def in_shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the shell, in which R is ours."""
    environment = {"PYTHONPATH": str(WORKFLOW), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    environment["FULL"] = str(device(folder, "full"))
    script = f'set -o pipefail; R() {{ "{sys.executable}" -m roftmol "$@"; }}; {command}'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ("R show a.roftmol | head -n 0", 0, ""),
        ("R predict a.roftmol new.csv -o - | head -n 1 >/dev/null", 0, ""),
        ("R show a.roftmol >/dev/full", 2, "error: standard output: cannot be written (No space left on device)"),
        ("R predict a.roftmol new.csv -o - >/dev/full", 2, "error: standard output: cannot be written"),
        ("R predict a.roftmol new.csv -o $FULL", 2, "/full: cannot be written (No space left"),
        ("R predict a.roftmol - -o - <&-", 2, "error: standard input is closed"),
        ("R predict a.roftmol new.csv -o - >&-", 2, "error: standard output is closed"),
        ("R predict a.roftmol new.csv -o out.csv 2>&-", 0, ""),
        ("R show a.roftmol >&-", 0, ""),
    ],
)
def test_a_stream_that_ends_is_no_traceback(folder: Path, command: str, status: int, told: str):
    done = in_shell(folder, command)
    assert done.returncode == status, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1, done.stderr


def test_descriptors_are_written_to_as_they_are(folder: Path):
    done = in_shell(folder, "echo first >out; head -n 3 new.csv | R predict a.roftmol - -o /dev/stdout >>out")
    assert done.returncode == 0, done.stderr
    lines = (folder / "out").read_text().splitlines()
    assert lines[0] == "first"
    assert lines[1].startswith("SMILES,size_prediction")
    assert len(lines) == 4


def test_ctrl_c_is_one_line(folder: Path):
    # What a shell starts in the background ignores Ctrl-C, and so would what it starts.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heeds}; from roftmol.cli.main import main; main()"
    command = [sys.executable, "-c", program, "predict", "a.roftmol", "-", "-o", "out.csv"]
    environment = {"PYTHONPATH": str(WORKFLOW), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdin
        # The pipe is full until the table is read.
        running.stdin.write("SMILES\n" + "CCO\n" * 40_000)
        running.stdin.flush()
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=300)[1]
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert "interrupted: " in said.splitlines()[-1]
    assert not list(folder.glob(".out.csv*"))


def test_ctrl_c_before_a_command_begins_is_one_line(folder: Path, tmp_path: Path):
    """Within an import it would be told with all modules that were on their way."""
    (tmp_path / "argparse.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(300)\n")
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heeds}; import runpy; runpy.run_module('roftmol', run_name='__main__')"
    environment = {"PYTHONPATH": f"{tmp_path}:{WORKFLOW}", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", program, "show", "a.roftmol"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "importing\n"
        running.send_signal(signal.SIGINT)
        said = running.communicate(timeout=60)[1]
    assert said == "interrupted: nothing was begun.\n"
    assert running.returncode == 130
