"""Count the molecules that registered datasets share, for the estimate that a dry run gives of a panel.

    PYTHONPATH=workflow python benchmarks/shared.py results >workflow/roftmol/registry/yaml/shared.yaml

Counted are the datasets whose molecules the results folder holds, as its stage `molecules` leaves them.
"""

from __future__ import annotations

import datetime
import sys
from itertools import combinations
from pathlib import Path

import rdkit
import yaml

from roftmol.registry import catalog
from roftmol.tables import schemas

#: Fewer say nothing of a cost.
LEAST = 50


def main(results: Path) -> None:
    """Print how many molecules each two of the folder's registered datasets share, by canonical SMILES."""
    structures = {
        name: set(schemas.read("molecules", path, ["canonical"])["canonical"])
        for name in sorted(catalog.datasets())
        if (path := results / "data" / name / "molecules.parquet").exists()
    }
    shared: dict[str, dict[str, int]] = {}
    for one, other in combinations(structures, 2):
        if (count := len(structures[one] & structures[other])) >= LEAST:
            shared.setdefault(one, {})[other] = count
    print(f"# How many molecules two registered datasets share, where that is {LEAST} or more, by canonical SMILES")
    print(f"# of RDKit {rdkit.__version__} ({datetime.date.today()}): python benchmarks/shared.py results")
    print(f"# Others than these are taken to share none: {', '.join(structures)}")
    print(yaml.safe_dump(shared, sort_keys=False), end="")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
