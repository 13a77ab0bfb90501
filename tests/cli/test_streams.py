"""Commands whose streams are closed, full or read by somebody who stops, and Ctrl-C: never a traceback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from openpyxl import Workbook

from devices import device
from roftmol.cli import commands
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.parallel import threads
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


@pytest.mark.parametrize("out", ["a.roftmol", "new.csv", "link"])
def test_what_is_read_is_not_written_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str
):
    monkeypatch.chdir(folder)
    if not Path("link").is_symlink():
        Path("link").symlink_to("a.roftmol")
    before = Path(out).read_bytes()
    with pytest.raises(SystemExit) as caught:
        main(["predict", "a.roftmol", "new.csv", "-o", out])
    assert caught.value.code == 2
    assert f"error: {out}: it is the " in capsys.readouterr().err
    assert Path(out).read_bytes() == before
    assert Path("link").is_symlink()


def test_a_message_is_printed_as_text(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["show", "a\x1b[2J.roftmol"])
    said = capsys.readouterr().err
    assert said == "error: a\\x1b[2J.roftmol: there is no such file.\n"


@pytest.mark.parametrize(("said", "expected"), [("2", 2), ("2,1", 2), (" 3 ", 3), ("", 7), (None, 7)])
def test_threads_are_as_openmp_reads_them(monkeypatch: pytest.MonkeyPatch, said: str | None, expected: int):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads(7) == expected


@pytest.mark.parametrize("said", ["two", "0", "-1", "2.5", "²", "9" * 30])
def test_threads_that_are_no_number_are_told(monkeypatch: pytest.MonkeyPatch, said: str):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    with pytest.raises(UserError, match=r"OMP_NUM_THREADS is .*Set it to 1, or unset it"):
        threads(7)
    assert os.environ["OMP_NUM_THREADS"] == said


@pytest.fixture
def tables(folder: Path) -> Path:
    """The same two molecules as people have them."""
    book = Workbook()
    for row in [("Ordered in May",), ("SMILES", "price"), ("CCO", 1.5), ("CCN", None)]:
        book.active.append(row)
    book.save(folder / "new.xlsx")
    (folder / "new.smi").write_text("CCO ethanol\nCCN\n")
    (folder / "tdc.csv").write_bytes("Drug;Größe\nCCO;1,5\nCCN;2\n".encode("cp1252"))
    (folder / "ours.csv").write_text("code,ours\nx1,CCO\nx2,CCN\n")
    (folder / "utf16.txt").write_bytes("SMILES\tname\nCCO\ta\nCCN\tb\n".encode("utf-16"))
    return folder


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("new.xlsx", "new.xlsx: The header is in row 2; above it 1 row is skipped: 'Ordered in May'.\n"),
        ("new.smi", "new.smi: There is no header: the columns are called SMILES, column 2 and so on.\n"),
        ("tdc.csv", "tdc.csv: The text is not in UTF-8 and is read as Windows-1252 (Latin-1), line 1: 'Drug;Größe'.\n"),
        (
            "ours.csv",
            "ours.csv: SMILES are read from 'ours' (no column is called SMILES, and it is the only one that holds "
            "some).\n",
        ),
        ("utf16.txt", ""),
    ],
)
def test_predict_reads_what_recommend_reads(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], table: str, told: str
):
    monkeypatch.chdir(tables)
    main(["predict", "a.roftmol", table, "-o", "out.csv", "-q"])
    assert capsys.readouterr().err == told
    lines = Path("out.csv").read_text().splitlines()
    assert len(lines) == 3
    assert all("CCO" in line or "CCN" in line for line in lines[1:])


def test_progress_is_shown_where_it_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(folder)
    (folder / "few.csv").write_text("SMILES\n" + "CCO\n" * 100)
    said = {}
    for words in ([], ["-v"], ["-q"]):
        main(["predict", "a.roftmol", "few.csv", "-o", "out.csv", "--batch-size", "10", *words])
        said[" ".join(words)] = capsys.readouterr().err
    # neither a terminal nor asked for
    assert said[""] == "100 rows\n"
    assert said["-q"] == ""
    assert re.search(r"100%\|.*\| 100/100 \[\d\d:\d\d<00:00", said["-v"])
    assert said["-v"].endswith("100 rows\n")
