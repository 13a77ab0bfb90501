"""The command line: `python -m roftmol COMMAND ...`, a command for each stage, and those that people type."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from roftmol.cli import commands
from roftmol.core.errors import UserError
from roftmol.stages import STAGES, Stage


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; end with a message and exit status 2 for bad input, 1 if a worker process was killed."""
    # torch's remarks on its own sparse tensors would hide the progress of every job.
    warnings.filterwarnings("ignore", "Sparse ", UserWarning)
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenProcessPool:
        print("error: a worker process was killed: out of memory? Fewer (--cores) take less memory.", file=sys.stderr)
        raise SystemExit(1) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="roftmol",
        description="Predict with bundles, merge and verify results, and run single stages of the workflow.",
    )
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_commands(parsers)
    for stage in STAGES.values():
        _add_stage(parsers, stage)
    return parser


def _add_stage(parsers: Any, stage: Stage) -> None:
    """Add a stage's command; its options are the parameters of the stage's `run`."""
    one = parsers.add_parser(stage.command, help=stage.title, description=stage.title)
    if stage.settings:
        one.add_argument("--settings", type=_json, required=True, metavar="JSON", help="the stage's settings")
    for path in (*stage.paths, *stage.optional):
        one.add_argument(f"--{path}", type=Path, required=path in stage.paths, metavar="PATH")
    if stage.parallel:
        one.add_argument("--processes", type=int, default=1, metavar="N", help="worker processes")

    def run(options: argparse.Namespace) -> None:
        named = [*stage.paths, *stage.optional, *(["processes"] if stage.parallel else [])]
        settings = [options.settings] if stage.settings else []
        stage.run(*settings, **{name: getattr(options, name) for name in named})

    one.set_defaults(run=run)


def _json(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings: {text!r} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"--settings: expected a JSON object, found {text!r}")
    return value
