"""The commands that people type: for a file of theirs, for a bundle, for results.

What a command needs is imported when it runs, so that help and completion are there at once.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from roftmol.cli import listing, recommendation
from roftmol.core.errors import UserError

#: Differences that `verify` lists.
SHOWN = 200
#: The names of `scoring.selection.RULES`, which takes pandas' second to import.
RULES = ("validation", "oracle")


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    recommendation.add(commands)
    one = commands.add_parser("predict", help=predict.__doc__, description=predict.__doc__)
    one.set_defaults(run=predict)
    one.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .roftmol file")
    tables = "CSV, TSV, Excel (.xlsx), .smi or Parquet with a column of SMILES; - for standard input"
    one.add_argument("table", metavar="TABLE", help=tables)
    one.add_argument("-o", "--out", required=True, metavar="OUT", help="CSV, TSV or Parquet; - for standard output")
    one.add_argument("--smiles", metavar="COLUMN", help="the column of SMILES, if its name does not say so")
    one.add_argument("--sheet", default="", metavar="NAME", help="the sheet of a workbook, if several could be it")
    one.add_argument("--prefix", default="", metavar="TEXT", help="the beginning of the new columns' names")
    one.add_argument("--batch-size", type=_positive, default=2000, metavar="N", help="rows at a time (2000)")
    one.add_argument("--processes", type=_positive, default=1, metavar="N", help="processes that featurize (1)")
    words = one.add_mutually_exclusive_group()
    words.add_argument(
        "-q", "--quiet", action="store_true", help="no progress; what is guessed of the table is still said"
    )
    words.add_argument("-v", "--verbose", action="store_true", help="progress, on a terminal or not")
    two = commands.add_parser("show", help=show.__doc__, description=show.__doc__)
    two.set_defaults(run=show)
    two.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .roftmol file")
    three = commands.add_parser("merge", help=merge.__doc__, description=merge.__doc__)
    three.set_defaults(run=merge)
    three.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="results folders")
    three.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="a folder that is not there yet")
    three.add_argument("--prefer", type=Path, metavar="RESULTS", help="the folder whose fits count if folders differ")
    three.add_argument(
        "--selection", choices=RULES, default="validation", help="the rule that selects a method's hyperparameters"
    )
    three.add_argument("--without-parts", action="store_true", help="leave out the finished fits and their weights")
    four = commands.add_parser("verify", help=verify.__doc__, description=verify.__doc__)
    four.set_defaults(run=verify)
    four.add_argument("results", type=Path, metavar="RESULTS", help="a results folder")
    five = commands.add_parser("export-curves", help=export_curves.__doc__, description=export_curves.__doc__)
    five.set_defaults(run=export_curves)
    five.add_argument("results", type=Path, metavar="RESULTS", help="a results folder")
    five.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="a folder that is not there yet")
    listing.add(commands)


def predict(options: argparse.Namespace) -> None:
    """Predict for every molecule of a table with a bundle."""
    from roftmol.core.parallel import threads

    _check_places(options.bundle, options.table, options.out)
    count = threads(os.cpu_count() or 1)
    import torch

    from roftmol.deploy import bundle
    from roftmol.deploy import predict as stage

    torch.set_num_threads(count)
    settings = stage.PredictSettings(
        smiles=options.smiles,
        batch_size=options.batch_size,
        prefix=options.prefix,
        processes=options.processes,
        sheet=options.sheet,
        shows=False if options.quiet else options.verbose or None,
    )
    rows = stage.predict(bundle.read(options.bundle), options.table, options.out, settings)
    if not options.quiet:
        print(f"{rows:,} {'row' if rows == 1 else 'rows'}", file=sys.stderr)


def _check_places(bundle: Path, table: str, out: str) -> None:
    """Raise `UserError` for a stream that is closed, and for an output that would take the place of what is read."""
    from roftmol.core.files import is_stream

    if table == "-" and sys.stdin is None:
        raise UserError("standard input is closed. Name a file, or pipe a table into the command.")
    if out == "-" and sys.stdout is None:
        raise UserError("standard output is closed. Name a file by -o.")
    for what, path in {"the bundle": bundle, "the table": Path(table)}.items():
        if out and not is_stream(out) and path.exists() and os.path.exists(out) and os.path.samefile(path, out):
            raise UserError(f"{out}: it is {what}, which would be lost. Name another file by -o.")


def show(options: argparse.Namespace) -> None:
    """Say what a bundle predicts, how well and how sure, and what it was made of."""
    from roftmol.deploy import bundle

    print(bundle.read(options.bundle).describe())


def merge(options: argparse.Namespace) -> None:
    """Merge results folders of several runs or machines, and write the report of all of them."""
    from roftmol.sharing import merge as stage

    settings = stage.MergeSettings(options.selection, options.prefer, not options.without_parts)
    stage.merge(options.results, options.out, settings)
    print(options.out / "report.html")


def verify(options: argparse.Namespace) -> None:
    """Compute a results folder's scores anew from its predictions and labels, and list what differs."""
    from roftmol.sharing import verify as stage

    verification = stage.verify(options.results)
    for difference in verification.differences[:SHOWN]:
        print(difference)
    if (more := len(verification.differences) - SHOWN) > 0:
        print(f"and {more:,} more")
    print(verification)
    if verification.differences:
        raise SystemExit(1)


def export_curves(options: argparse.Namespace) -> None:
    """Write the learning curves of a results folder as TensorBoard reads them."""
    from roftmol.sharing import tensorboard

    fits = tensorboard.export(options.results, options.out)
    print(f"{fits:,} {'fit' if fits == 1 else 'fits'}: tensorboard --logdir {shlex.quote(str(options.out))}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number
