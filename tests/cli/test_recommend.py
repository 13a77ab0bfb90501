"""`roftmol recommend`: what it starts, what it shows, how it ends."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from roftmol.cli import progress, recommendation
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from workspaces import ROOT, recommend_in


def options(*keys: str, **named: Any) -> argparse.Namespace:
    given = {"table": "mine.csv", "keys": list(keys), "smiles": None, "sheet": None, "target": None, "cores": "all"}
    return argparse.Namespace(**given | named)


def test_the_workflow_is_started_as_users_start_it():
    command = recommendation.command(options("duplicates=average", target=["7"], cores="3"))
    assert command[:4] == [sys.executable, "-m", "snakemake", "recommend"]
    assert command[command.index("--snakefile") + 1] == str(ROOT / "Snakefile")
    assert command[command.index("--cores") + 1] == "3"
    # as JSON, so that Snakemake does not take the name of a column for a number
    assert command[command.index("--config") + 1 :] == ['data="mine.csv"', 'target="7"', "duplicates=average"]
    several = recommendation.command(options(target=["hERG", "LogD, pH 7.4"]))
    assert several[-1] == 'target=["hERG", "LogD, pH 7.4"]'


@pytest.mark.parametrize(
    "arguments",
    [
        ["mine.csv", "name=x", "duplicates=average", "--target", "logS"],
        ["mine.csv", "--target", "logS", "name=x", "duplicates=average"],
        ["--target", "logS", "mine.csv", "name=x", "duplicates=average"],
    ],
)
def test_keys_stand_before_and_behind_options(monkeypatch: pytest.MonkeyPatch, arguments: list[str]):
    given: list[argparse.Namespace] = []
    monkeypatch.setattr(recommendation, "recommend", given.append)
    main(["recommend", *arguments])
    assert (given[0].table, given[0].target) == ("mine.csv", ["logS"])
    assert sorted(given[0].keys) == ["duplicates=average", "name=x"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["recommend", "mine.csv", "average"], "error: 'average' is no KEY=VALUE, such as duplicates=average."),
        (["recommend", "mine.csv", "--cores", "0"], "'0' is neither a number above 0 nor `all`"),
        (["recommend", "mine.csv", "-q", "-v"], "not allowed with argument -q"),
        (["recommend", "mine.csv", "--tarjet", "x"], "unrecognized arguments: --tarjet x"),
        (["recommend"], "the following arguments are required: TABLE"),
        (["show", "a.roftmol", "name=x"], "unrecognized arguments: name=x"),
    ],
)
def test_what_is_not_understood_is_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str], told: str):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_without_a_checkout_there_is_no_workflow_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(recommendation, "CHECKOUT", tmp_path)
    with pytest.raises(UserError, match=r"there is no workflow beside this package .*Clone the repository"):
        recommendation.command(options())


def test_without_snakemake_it_is_said_what_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recommendation, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"Snakemake is not installed beside .*make install"):
        recommendation.command(options())


class Event(Enum):
    """Events as Snakemake names them."""

    INFO, END, FAILED, WRONG = "job_info", "job_finished", "job_error", "error"


def record(text: str = "", event: Event | None = None, **named: Any) -> logging.LogRecord:
    one = logging.LogRecord("snakemake", logging.INFO, "", 0, text, None, None)
    one.__dict__.update(named, event=event)
    return one


def job(number: int, rule: str = "finetune", message: str | None = "Fine-tune") -> logging.LogRecord:
    return record(event=Event.INFO, jobid=number, rule_name=rule, rule_msg=message)


def shown(capsys: pytest.CaptureFixture[str], how: str, records: Sequence[logging.LogRecord], folder: Path) -> str:
    lines = progress.Lines(
        how, lambda: {1: 0.0, 2: 600.0, 3: 240.0}, 2, lambda target: folder / target / "verdict.json"
    )
    for one in records:
        lines.handle(one)
    return capsys.readouterr().err


def test_a_first_verdict_on_one_of_several_targets_names_it(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    for target, sentence in (("herg", "Take it."), ("logd", "Take another.")):
        (tmp_path / target).mkdir()
        (tmp_path / target / "verdict.json").write_text(json.dumps({"sentences": [sentence]}))
    records = [
        record(event=Event.INFO, jobid=n, rule_name="first_verdict", rule_msg="First", wildcards={"target": target})
        for n, target in ((1, "herg"), (2, "logd"))
    ]
    said = shown(capsys, progress.STAGES, [*records, record(event=Event.END, job_id=2)], tmp_path).splitlines()
    assert said[2:] == ["FIRST VERDICT on logd, from heads and references:", "  Take another."]


def test_a_job_is_a_line_with_what_is_left_to_train(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    (tmp_path / "verdict.json").write_text(json.dumps({"sentences": ["Take it."]}))
    records = [
        record("Building DAG of jobs..."),
        record("target `logS`", of_workflow=True),
        job(0, "recommend", None),
        job(1, "first_verdict", "First verdict"),
        record(event=Event.END, job_id=1),
        job(2),
        record(event=Event.END, job_id=2),
        job(3),
        record("finished 100%", None),
    ]
    assert shown(capsys, progress.STAGES, records, tmp_path).splitlines() == [
        "target `logS`",
        "[1/3] First verdict",
        "FIRST VERDICT, from heads and references:",
        "  Take it.",
        "[2/3] Fine-tune (at most 7 min of fine-tuning left)",
        "[3/3] Fine-tune (at most 2 min of fine-tuning left)",
    ]
    assert shown(capsys, progress.VERDICT, records, tmp_path) == ""
    # the job itself says its verdict where the lines of jobs are shown
    assert "Take it." not in shown(capsys, progress.FITS, records, tmp_path)


def test_errors_are_shown_however_quiet_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    locked = record("Directory cannot be locked ...", Event.WRONG, exception="LockException")
    other = record("MissingInput: 100%", Event.WRONG, exception="MissingInputException")
    said = shown(capsys, progress.VERDICT, [locked, other], tmp_path)
    assert "error: the folder is locked. Another run works in it: wait for it." in said
    assert "\nerror: MissingInput: 100%\n" in said
    # of a failed job, the last words tell
    command = record("RuleException:\nCalledProcessError in file ...", Event.WRONG, exception="RuleException")
    failed = [
        command,
        record(event=Event.FAILED),
        record("At least one job failed", Event.WRONG, exception="WorkflowError"),
    ]
    assert shown(capsys, progress.STAGES, failed, tmp_path) == ""
    assert shown(capsys, progress.STAGES, failed[1:], tmp_path) == ""


def test_a_file_that_cannot_be_used_is_a_sentence_and_status_2(tmp_path: Path):
    (tmp_path / "mine.csv").write_text("SMILES,a,b\nCCO,1.5,2\nCCN,2.5,1\n")
    done, lines = recommend_in(tmp_path, "mine.csv", "-q", "--cores", "1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert lines[-2] == "error: The configuration cannot be used.\n"
    assert len(lines) == 2
    assert "'a', 'b' are columns of numbers; name the one to predict with `target`" in lines[-1]
    assert "Traceback" not in done.stderr
