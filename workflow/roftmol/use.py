"""The commands for those who have a bundle: `roftmol predict` and `roftmol show`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any


def add_commands(commands: Any) -> None:
    """Add the commands to the parser's."""
    one = commands.add_parser("predict", help=predict.__doc__, description=predict.__doc__)
    one.set_defaults(run=predict)
    one.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .roftmol file")
    one.add_argument("table", metavar="TABLE", help="CSV, TSV or Parquet with a column of SMILES; - for standard input")
    one.add_argument("-o", "--out", required=True, metavar="OUT", help="CSV, TSV or Parquet; - for standard output")
    one.add_argument("--smiles", metavar="COLUMN", help="the column of SMILES, where its name does not say it")
    one.add_argument("--prefix", default="", metavar="TEXT", help="what the names of the new columns begin with")
    one.add_argument("--batch-size", type=_positive, default=2000, metavar="N", help="rows at a time (2000)")
    one.add_argument("--processes", type=_positive, default=1, metavar="N", help="processes that featurise (1)")
    two = commands.add_parser("show", help=show.__doc__, description=show.__doc__)
    two.set_defaults(run=show)
    two.add_argument("bundle", type=Path, metavar="BUNDLE", help="a .roftmol file")


def predict(options: argparse.Namespace) -> None:
    """Predict for every molecule of a table with a bundle."""
    import torch

    from roftmol import bundle
    from roftmol import predict as stage

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    settings = stage.PredictSettings(options.smiles, options.batch_size, options.prefix, options.processes)
    try:
        rows = stage.predict(bundle.read(options.bundle), options.table, options.out, settings)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; Python must not complain of it again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    print(f"{rows:,} rows", file=sys.stderr)


def show(options: argparse.Namespace) -> None:
    """Say what a bundle predicts, how well and how sure, and what it was made of."""
    from roftmol import bundle

    print(bundle.describe(bundle.read(options.bundle).card))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number
