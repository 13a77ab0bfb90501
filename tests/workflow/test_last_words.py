"""What a run says last: the failed stages' own sentences, or where the report lies."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from molecule_tables import SMILES, molecule_table
from roftmol.cli import last_words
from roftmol.cli.last_words import Failure
from roftmol.cli.main import main
from roftmol.features import featurize
from roftmol.tables import schemas

ROOT = Path(__file__).parents[2]
NOTHING = "error: the stage does not say why; Snakemake's messages above may."


def stage(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code as a rule runs its stage, with rules/stage.sh in front and the log behind."""
    command = f"set -euo pipefail; source {shlex.quote(str(ROOT / 'rules/stage.sh'))}; python -c {shlex.quote(code)}"
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", f"{command} 2>&1 | tee log"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("print('fine')", 0, "fine"),
        ("import sys; sys.exit('error: no')", 1, "error: no"),
        ("print('error: no'); raise SystemExit(2)", 2, "error: no"),
        ("import os; os.kill(os.getpid(), 9)", 137, "error: killed by signal 9: out of memory? Fewer jobs at a time"),
        ("import os; os.kill(os.getpid(), 15)", 143, "error: killed by signal 15."),
        ("import ctypes; ctypes.string_at(0)", 139, "error: killed by signal 11."),
    ],
)
def test_a_stages_status_is_its_jobs_and_its_words_go_to_log_and_terminal(
    tmp_path: Path, code: str, status: int, told: str
):
    done = stage(tmp_path, code)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1].startswith(told)
    assert (tmp_path / "log").read_text() == done.stdout


def test_a_worker_that_is_killed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(featurize, "CHUNK", 10)
    (tmp_path / "own.py").write_text("import os\ndef featurize(molecule):\n    os.kill(os.getpid(), 9)\n")
    schemas.write("molecules", molecule_table(SMILES, np.zeros(len(SMILES))), tmp_path / "molecules.parquet")
    paths = ["--molecules", str(tmp_path / "molecules.parquet"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "featurize",
                "--settings",
                json.dumps({"featurizer": str(tmp_path / "own.py")}),
                *paths,
                "--processes",
                "2",
            ]
        )
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: a worker process was killed: out of memory?")


def write_log(folder: Path, text: str, name: str = "log") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("[1/5] mine\nerror: FILE: no.\n", "error: FILE: no."),
        ("mine\nerror: no source works:\n  mirror: cut short\n", "error: no source works:\n  mirror: cut short"),
        ("error: an earlier one\nerror: the last\n", "error: the last"),
        (
            'Traceback (most recent call last):\n  File "a.py", line 1\n    f()\nKeyError: 1\n\nDuring handling\n\n'
            'Traceback (most recent call last):\n  File "a.py", line 2\n    g()\nValueError: two\nlines\n',
            "ValueError: two\nlines",
        ),
        ("[1/5] mine\n", f"{NOTHING} Its log ends with: [1/5] mine"),
        ("", NOTHING),
    ],
)
def test_a_logs_reason_is_the_error_that_it_ends_with(tmp_path: Path, log: str, told: str):
    assert last_words.reason(write_log(tmp_path, log), since=0) == told


def test_an_earlier_runs_log_is_no_reason(tmp_path: Path):
    assert last_words.reason(write_log(tmp_path, "error: old\n"), since=time.time() + 60) == NOTHING
    assert last_words.reason(tmp_path / "none", since=0) == NOTHING


def test_of_many_failures_some_are_told_and_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    failures = [Failure("split", f"Split {n}", write_log(tmp_path, f"error: no {n}\n", f"{n}.log")) for n in range(7)]
    lines = last_words.of_failures(failures, since=0).splitlines()
    assert lines[0] == "7 jobs failed. The first 5 of them, each with its log:"
    assert lines[-2:] == ["split failed: Split 4 (log: 4.log)", "error: no 4"]
    assert last_words.of_failures(failures[:2], since=0).splitlines() == [
        *("split failed: Split 0 (log: 0.log)", "error: no 0", ""),
        *("split failed: Split 1 (log: 1.log)", "error: no 1"),
    ]
    assert last_words.of_failures([], since=0) == ""


def test_paths_are_as_one_types_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my results").mkdir()
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "my results" / "report.html"
    assert last_words.of_success(page, None).endswith("for example: xdg-open 'my results/report.html'")
    monkeypatch.chdir(tmp_path / "my results")
    assert last_words.of_success(page, None).endswith(" xdg-open report.html")
    monkeypatch.chdir("/usr")
    assert last_words.of_success(page, None).endswith(f" xdg-open '{page}'")


def test_a_recommendation_names_the_model_that_it_made(tmp_path: Path):
    bundle = tmp_path / "mine.roftmol"
    assert "model" not in last_words.of_success(tmp_path / "report.html", bundle)
    bundle.touch()
    text = last_words.of_success(tmp_path / "report.html", bundle)
    assert text.startswith("The recommendation is ")
    assert re.search(r"The model is .*roftmol predict .*mine\.roftmol new\.csv -o predicted\.csv$", text)


@pytest.mark.parametrize("predictable", [True, False])
def test_a_recommendation_says_its_verdict_and_offers_no_model_of_nothing(tmp_path: Path, predictable: bool):
    bundle = tmp_path / "mine.roftmol"
    bundle.touch()
    verdict = {"sentences": ["One thing.", "Another."], "predictable": predictable}
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    text = last_words.of_success(tmp_path / "report.html", bundle)
    assert text.startswith("One thing.\nAnother.\nThe recommendation is ")
    assert ("roftmol predict" in text) == predictable
