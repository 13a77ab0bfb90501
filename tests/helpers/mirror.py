"""Registered datasets, read from the files of `ROFTMOL_MIRROR` where it is set."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from roftmol.data import molecules
from roftmol.registry import catalog

needs_mirror = pytest.mark.skipif("ROFTMOL_MIRROR" not in os.environ, reason="ROFTMOL_MIRROR names no mirror")


def registered(name: str) -> pd.DataFrame:
    """The molecules of a registered dataset."""
    dataset = catalog.datasets()[name]
    source = next(source for source in dataset.sources if source.kind == "mirror")
    path = Path(os.environ["ROFTMOL_MIRROR"]) / source.file
    return molecules.read(path, dataset, max_rejected=0.1)[0]
