"""What a run of the workflow says last: why jobs failed, in their stages' own sentences, or where the report lies."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path

#: At most so many failed jobs are shown one by one.
SHOWN = 5
ERROR, TRACEBACK = "error: ", "Traceback (most recent call last):"


@dataclass(frozen=True)
class Failure:
    """A job that failed: its rule, what it was to do (stage and cell), and its log."""

    rule: str
    task: str
    log: Path


def of_failures(failures: Sequence[Failure], since: float) -> str:
    """Return each failed job with the sentence that its log ends with; `since` is when the run began."""
    texts = [
        f"{failure.rule} failed: {failure.task} (log: {_typed(failure.log)})\n{reason(failure.log, since)}"
        for failure in sorted(failures, key=lambda failure: str(failure.log))[:SHOWN]
    ]
    if len(failures) > SHOWN:
        texts.insert(0, f"{len(failures)} jobs failed. The first {SHOWN} of them, each with its log:")
    return "\n\n".join(texts)


def reason(log: Path, since: float) -> str:
    """Return why a stage failed: the error that its log ends with, be it a sentence or a traceback's last line."""
    # A batch system may end a job before its stage begins; the log is then an earlier run's, or is not there.
    fresh = log.is_file() and log.stat().st_mtime >= since
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines() if fresh else []
    for number in reversed(range(len(lines))):
        if lines[number].startswith(ERROR):
            return "\n".join(lines[number:])
        if lines[number] == TRACEBACK:
            return "\n".join(dropwhile(lambda line: line.startswith(" "), lines[number + 1 :]))
    end = f" Its log ends with: {lines[-1]}" if lines else ""
    return f"{ERROR}the stage does not say why; Snakemake's messages above may.{end}"


def of_success(page: Path, bundle: Path | None) -> str:
    """Return how to open the page of a run.

    For a recommendation, its verdict is before that and how to predict after it, unless nothing can be predicted. The
    verdict is read from the file beside the page.
    """
    shown = _typed(page)
    what = "recommendation" if bundle else "report"
    text = f"The {what} is {shown}: open it in a browser, for example: xdg-open {shown}"
    verdict = page.with_name("verdict.json")
    decided = json.loads(verdict.read_text(encoding="utf-8")) if bundle and verdict.is_file() else {}
    text = "\n".join([*decided.get("sentences", ()), text])
    if bundle and bundle.is_file() and decided.get("predictable", True):
        shown = _typed(bundle)
        program = _typed(Path(sys.executable).with_name("roftmol"))
        text += f"\nThe model is {shown}: predict with it: {program} predict {shown} new.csv -o predicted.csv"
    return text


def _typed(path: Path) -> str:
    """Return a path as it can be typed in the current folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))
