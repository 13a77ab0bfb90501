"""Compute GFN2-xTB's descriptors of a dataset's molecules; a killed run goes on from its parts."""

from __future__ import annotations

import sys
from pathlib import Path

from roftmol.stages.base import Code, Stage


def run(*, molecules: Path, parts: Path, out: Path, failures: Path, processes: int = 1) -> None:
    """Write the descriptors, a row a molecule, and the table "gfn2_failures"."""
    import pandas as pd

    from roftmol.features import array_file, gfn2_descriptors, inputs
    from roftmol.tables import schemas

    table = schemas.read("molecules", molecules, ["dataset", "molecule", "smiles"])
    values, reasons = gfn2_descriptors.descriptors(table["smiles"].tolist(), parts, processes)
    failed = pd.DataFrame(table).assign(reason=reasons)
    schemas.write("gfn2_failures", failed[failed["reason"] != ""], failures)
    array_file.save("gfn2", values, inputs.GFN2, out)
    print(gfn2_descriptors.told(reasons), file=sys.stderr)


STAGE = Stage(run, "train", Code(("roftmol.features.gfn2_descriptors", "roftmol.features.array_file")))
