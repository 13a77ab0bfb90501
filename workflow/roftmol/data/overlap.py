"""Which molecules of a dataset are in a pretraining corpus: by canonical SMILES, so in whatever way they were written.

A salt, another charge or another tautomer is another molecule here: what is found is the least that was seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from roftmol.tables import schemas


def find(molecules: Path, corpus: Path) -> pd.DataFrame:
    """Return table "hits": the molecules of a dataset's table that are in a corpus' table."""
    tested = schemas.read("molecules", molecules, ["dataset", "molecule", "canonical"])
    pretrained = schemas.read("corpora", corpus, ["corpus", "canonical"])
    hits = tested[tested["canonical"].isin(pretrained["canonical"])]
    name = pretrained["corpus"].iloc[0] if len(pretrained) else corpus.stem
    print(f"{name}: has {len(hits):,} of the dataset's {len(tested):,} molecules", file=sys.stderr)
    return hits[["dataset", "molecule"]].assign(corpus=name).reset_index(drop=True)
