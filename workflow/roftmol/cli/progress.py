"""What is shown of a workflow that `roftmol recommend` started: a line a job, in place of Snakemake's own words."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: The variable that says to a workflow how much is shown; without it, it speaks as Snakemake does.
VARIABLE = "ROFTMOL_SHOWS"
#: Nothing but the verdict; a line a job as well; the lines of each job as well.
VERDICT, STAGES, FITS = "verdict", "stages", "fits"


def asked() -> str:
    """Return how much is to be shown; "" for what Snakemake shows."""
    return os.environ.get(VARIABLE, "")


class Lines(logging.Handler):
    """Snakemake's records as lines on standard error: what the workflow says itself, each job's message, and errors.

    `planned` gives the core-seconds that each job takes at most, by the job's number; 0 where there is no estimate. It
    is asked when the first job starts. `first` is where the first verdict will lie: on one of several targets, by the
    target's folder.
    """

    def __init__(
        self, shows: str, planned: Callable[[], Mapping[int, float]], cores: int, first: Callable[[str], Path]
    ) -> None:
        super().__init__()
        self._shows, self._planned, self._cores, self._first = shows, planned, cores, first
        self._jobs: Mapping[int, float] = {}
        self._rules: dict[int, str] = {}
        self._targets: dict[int, str] = {}
        self._ended: set[int] = set()
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print what a record says, if anything is to be shown of it."""
        # The package does not know Snakemake; an event's value is its name.
        event = getattr(getattr(record, "event", None), "value", None)
        said: dict[str, Any] = record.__dict__
        # Snakemake tells of a command that failed before it tells of its job.
        if event == "job_error" or (event == "error" and "CalledProcessError" in str(record.msg)):
            self._failed = True
        elif event == "error":
            # Of a failed job, the last words tell.
            if not self._failed:
                self._print(_error(said.get("exception") or "", str(record.msg)))
        elif self._shows == VERDICT:
            return
        elif event == "job_info":
            self._start(said)
        elif event == "job_finished":
            self._end(said["job_id"])
        elif said.get("of_workflow"):
            self._print(str(record.msg))

    def _start(self, job: Mapping[str, Any]) -> None:
        if not job["rule_msg"]:
            return
        self._jobs = self._jobs or self._planned()
        self._rules[job["jobid"]] = job["rule_name"]
        self._targets[job["jobid"]] = dict(job.get("wildcards") or {}).get("target", "")
        line = f"[{len(self._rules)}/{len(self._jobs)}] {job['rule_msg']}"
        left = sum(seconds for number, seconds in self._jobs.items() if number not in self._ended)
        if self._jobs.get(job["jobid"]):
            line += f" ({_minutes(left / self._cores)} of fine-tuning left)"
        self._print(line)

    def _end(self, job: int) -> None:
        self._ended.add(job)
        # With the lines of each job, its own print it.
        if self._rules.get(job) != "first_verdict" or self._shows != STAGES:
            return
        target = self._targets[job]
        if (verdict := self._first(target)).is_file():
            sentences = json.loads(verdict.read_text(encoding="utf-8"))["sentences"]
            on = f" on {target}" if target else ""
            lines = [f"FIRST VERDICT{on}, from heads and references:", *(f"  {line}" for line in sentences)]
            self._print("\n".join(lines))

    def _print(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _minutes(seconds: float) -> str:
    return "less than a minute" if seconds < 60 else f"at most {round(seconds / 60)} min"


def _error(exception: str, text: str) -> str:
    """Return an error of Snakemake's as a sentence with its mend, where the mend is not Snakemake's."""
    if exception == "LockException":
        return (
            "error: the folder is locked. Another run works in it: wait for it. Or one was killed: then remove the "
            f"lock, rm -r {Path('.snakemake/locks')}, and give the command again."
        )
    return text if text.lower().startswith("error") else f"error: {text}"
