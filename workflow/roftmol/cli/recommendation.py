"""`roftmol recommend`: the workflow's own `recommend`, started in the current folder by Snakemake's command."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from roftmol.cli import progress
from roftmol.core.errors import UserError

#: Where the workflow lies, if the package is part of a checkout.
CHECKOUT = Path(__file__).parents[3]
#: A key of the configuration and its value.
KEY = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
#: How the line begins in which Snakemake says that it reads profiles/default, however quiet it is to be.
OF_PROFILE = "Using workflow specific profile "
#: What ends a run from outside: Ctrl-C, `kill`, a terminal that is closed.
ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    one = commands.add_parser("recommend", help=recommend.__doc__, description=recommend.__doc__)
    one.set_defaults(run=recommend)
    one.add_argument("table", metavar="TABLE", help="CSV, Excel (.xlsx) or .smi, with SMILES and labels")
    one.add_argument(
        "keys", nargs="*", default=[], metavar="KEY=VALUE", help="further keys, such as duplicates=average"
    )
    one.add_argument("--smiles", metavar="COLUMN", help="the column of SMILES, if its name does not say so")
    one.add_argument("--sheet", metavar="NAME", help="the sheet of an Excel workbook, if several could be it")
    one.add_argument(
        "--target", metavar="COLUMN", action="append", help="the column of labels; again for each of several"
    )
    one.add_argument("--cores", type=_cores, default="all", metavar="N", help="how many cores are used (all)")
    words = one.add_mutually_exclusive_group()
    words.add_argument("-q", "--quiet", action="store_true", help="say nothing but the verdict")
    words.add_argument("-v", "--verbose", action="store_true", help="say what each job says, a line a fit")


def recommend(options: argparse.Namespace) -> None:
    """Say which method to take for a file of molecules with labels, and leave the model and a page."""
    shows = progress.VERDICT if options.quiet else progress.FITS if options.verbose else progress.STAGES
    environment = {**os.environ, progress.VARIABLE: shows}
    # A group of its own: Ctrl-C comes to us alone, and we pass it on, once, to all that runs.
    with (
        subprocess.Popen(
            command(options), env=environment, stderr=subprocess.PIPE, text=True, errors="replace", process_group=0
        ) as running,
        _passing_on(running.pid) as endings,
    ):
        assert running.stderr
        for line in running.stderr:
            # What Snakemake and its jobs say of being ended is no news to who ended them.
            if not endings and not line.startswith(OF_PROFILE):
                sys.stderr.write(line)
                sys.stderr.flush()
        status = running.wait()
    if endings:
        print("interrupted: what is finished is kept, and the same command goes on from there.", file=sys.stderr)
        raise SystemExit(128 + endings[0])
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def command(options: argparse.Namespace) -> list[str]:
    """Return the command that starts the workflow.

    Raises `UserError` where there is no workflow beside the package, no Snakemake or no bash, and for a key without a
    value.
    """
    snakefile = CHECKOUT / "Snakefile"
    if not snakefile.is_file():
        raise UserError(
            f"there is no workflow beside this package ({CHECKOUT} has no Snakefile), and a recommendation is one of "
            "its runs. Clone the repository, `make install` there, and use its .venv/bin/roftmol; or fit "
            "`RoftMolRegressor` in Python, which needs no workflow."
        )
    if find_spec("snakemake") is None:
        raise UserError(f"Snakemake is not installed beside {sys.executable}. `make install` in {CHECKOUT} does so.")
    if shutil.which("bash") is None:
        raise UserError(
            "the workflow's jobs run in bash, and there is none here. Install it, on Windows the Linux in it (WSL); or "
            "fit `RoftMolRegressor` in Python, which needs no shell."
        )
    for key in options.keys:
        if not KEY.fullmatch(key):
            raise UserError(f"{key!r} is no KEY=VALUE, such as duplicates=average. Quote a name that has blanks.")
    # As JSON, a text that looks like a number stays a text.
    targets = options.target[0] if options.target and len(options.target) == 1 else options.target
    named = {"data": options.table, "smiles": options.smiles, "sheet": options.sheet, "target": targets}
    return [
        *(sys.executable, "-m", "snakemake", "recommend"),
        *("--snakefile", str(snakefile), "--cores", str(options.cores), "--rerun-incomplete", "--quiet", "all"),
        *("--config", *(f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None)),
        *options.keys,
    ]


@contextmanager
def _passing_on(group: int) -> Iterator[list[int]]:
    """Yield the signals that came to end us; the first of them is passed on to a group of processes, as Ctrl-C."""
    endings: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        endings.append(number)
        if len(endings) == 1:
            os.killpg(group, signal.SIGINT)

    # What is ignored, as in the background of a shell, stays ignored, by what was started too.
    before = {number: signal.getsignal(number) for number in ENDINGS}
    heard = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, end)
    try:
        yield endings
    finally:
        for number in heard:
            signal.signal(number, before[number])


def _cores(text: str) -> str:
    if text != "all" and not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number above 0 nor `all`")
    return text
