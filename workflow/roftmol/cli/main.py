"""The command line: `python -m roftmol COMMAND ...`, a command for each stage, and those that people type."""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import roftmol
from roftmol.cli import commands
from roftmol.core.errors import UserError, printable

if TYPE_CHECKING:
    from roftmol.stages import Stage

#: By this variable a shell asks for what can be typed next, as argcomplete defines it.
COMPLETION = "_ARGCOMPLETE"
#: What `--version` names beside this package.
BENEATH = ("torch", "rdkit", "snakemake")
#: What a message of several lines may hold beside signs.
LINES = "\n\t"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; end with a message and exit status 2 for bad input, 1 if a worker process was killed.

    Ctrl-C ends it with one line and status 130; a reader of its output that has closed it, as `head` does, without one.
    """
    # Whoever closes the stream of messages wants none.
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (as long as the process)
    # torch's remarks on its own sparse tensors would hide the progress of every job.
    warnings.filterwarnings("ignore", "Sparse ", UserWarning)
    try:
        with _noting_interrupts():
            options = _options(sys.argv[1:] if arguments is None else arguments)
            options.run(options)
            if sys.stdout:
                sys.stdout.flush()  # what cannot be written is told here, not when Python ends
    except UserError as error:
        _say(f"error: {printable(str(error), keep=LINES)}")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        _say("interrupted: what was finished is kept.")
        _give_up_output()
        raise SystemExit(128 + signal.SIGINT) from None
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", roftmol.__name__):
            raise
        _say(
            f"error: the package {missing} is not installed beside {sys.executable}. `make install` brings all; "
            "`pip install 'roftmol[workflow]'` brings what stages, reports, `merge` and `verify` need, "
            "'roftmol[atomistic]' what models of atoms in space need."
        )
        raise SystemExit(1) from None
    except BrokenPipeError:
        _give_up_output()
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
        # Files are written by `atomic`, which names them.
        _say(f"error: standard output: cannot be written ({error.strerror}). Make room, or write to another file.")
        _give_up_output()
        raise SystemExit(2) from None
    except BrokenProcessPool:
        _say("error: a worker process was killed: out of memory? Fewer (--cores) take less memory.")
        raise SystemExit(1) from None


@contextmanager
def _noting_interrupts() -> Iterator[None]:
    """Let Ctrl-C end the block with KeyboardInterrupt, whatever becomes of that on its way.

    A reader in C, such as the one of CSV, makes an error of the input of it.
    """
    noted: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        noted.append(number)
        raise KeyboardInterrupt

    # Where Ctrl-C is ignored, as in what a shell starts in the background, it stays so; threads hear of none.
    heard = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not heard or before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if noted:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _say(message: str) -> None:
    """Print a message, where somebody still reads messages."""
    with suppress(OSError):
        print(message, file=sys.stderr, flush=True)


def _give_up_output() -> None:
    """Let Python not complain, when it ends, of what it could not write."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, OSError, ValueError):  # one that is closed, or no file
            stream.flush()
            continue
        with suppress(AttributeError, OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what a command is told; end with its usage and status 2 where that cannot be understood."""
    parser = _parser(arguments)
    if COMPLETION in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)
    options, more = parser.parse_known_args(arguments)
    # Before Python 3.13, argparse takes what can be left out only before the options or behind them.
    if more and hasattr(options, "keys") and not any(word.startswith("-") for word in more):
        options.keys = [*options.keys, *more]
    elif more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    return options


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser; the stages, which take a while to import, are left out where a command is of the others."""
    parser = argparse.ArgumentParser(
        prog="roftmol",
        description="Say which method to take for a file of molecules, predict with its model, look at results.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="say which version this is, and of what")
    parsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands for people")
    commands.add_commands(parsers)
    if arguments and arguments[0] in {*parsers.choices, "--version"}:
        return parser
    from roftmol.stages import STAGES

    for stage in STAGES.values():
        _add_stage(parsers, stage)
    width = max(len(stage.command) for stage in STAGES.values())
    listed = (f"  {stage.command:{width}}  {stage.title}" for stage in STAGES.values())
    parser.epilog = "\n".join(["the workflow's own stages, which its rules start:", *listed])
    return parser


class _Version(argparse.Action):
    """`--version`: of the package, and of what results depend on."""

    def __call__(self, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        def installed(name: str) -> str:
            try:
                return f"{name} {version(name)}"
            except PackageNotFoundError:
                return f"{name} not installed"

        python = ".".join(map(str, sys.version_info[:3]))
        print(f"roftmol {roftmol.__version__} (Python {python}, {', '.join(map(installed, BENEATH))})")
        raise SystemExit(0)


def _add_stage(parsers: Any, stage: Stage) -> None:
    """Add a stage's command; its options are the parameters of the stage's `run`."""
    # Without `help`, it is not listed among the commands for people.
    one = parsers.add_parser(stage.command, description=stage.title)
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
    except (ValueError, RecursionError) as error:
        raise UserError(f"--settings: {text!r} is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise UserError(f"--settings: expected a JSON object, found {text!r}")
    return value
