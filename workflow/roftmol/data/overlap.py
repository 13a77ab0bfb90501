"""Which molecules of a dataset are in a pretraining corpus: by canonical SMILES, so in whatever way they were written.

A salt, another charge or another tautomer is another molecule here: what is found is the least that was seen.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from roftmol.tables import schemas


def find(molecules: Path, corpus: Path) -> pd.DataFrame:
    """Table "hits" of a dataset's table of molecules against a corpus' table."""
    own = schemas.read("molecules", molecules, ["dataset", "molecule", "canonical"])
    known = schemas.read("corpora", corpus, ["corpus", "canonical"])
    hits = own[own["canonical"].isin(known["canonical"])]
    name = known["corpus"].iloc[0] if len(known) else corpus.stem
    print(f"{name}: has {len(hits):,} of the dataset's {len(own):,} molecules", file=sys.stderr)
    return hits[["dataset", "molecule"]].assign(corpus=name).reset_index(drop=True)
