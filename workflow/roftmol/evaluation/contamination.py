"""Which test molecules pretraining has seen: a verdict a cell and seed, from best to worst.

    none        every pretraining set could be compared, and no test molecule is in one; or there was no pretraining
    unknown     a pretraining set is not published, and no test molecule is in the others
    structures  a test molecule is in a set that was learnt without its labels
    labels      a test molecule is in a set whose labels were learnt, or the dataset's labels may be among those

"labels" does not say which labels: they are those of the corpus, which need not be the dataset's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from roftmol.core.paths import Found
from roftmol.methods import WITHOUT_PRETRAINING
from roftmol.methods.cells import Cells
from roftmol.tables import schemas

#: From the best to the worst.
KINDS = ("none", "unknown", "structures", "labels")
CONTEXT = list(schemas.CONTEXT)

Context = tuple[str, ...]
Molecules = frozenset[int]


@dataclass(frozen=True)
class Audit:
    """What the audit rests on; a model without a row has the verdict "unknown"."""

    models: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  #: rows of table "models", by model
    #: the molecules of a dataset that are in a corpus, by (dataset, corpus)
    hits: Mapping[tuple[str, str], Molecules] = field(default_factory=dict)
    tests: Mapping[Context, Mapping[int, Molecules]] = field(default_factory=dict)  #: by context and seed

    def verdicts(self, cell: Mapping[str, str], seeds: Iterable[int]) -> pd.DataFrame:
        """Return a row a seed: `seen`, the share of the test molecules seen (NaN if unknown), and `contamination`."""
        rows = [(seed, *self._verdict(cell, seed)) for seed in seeds]
        return pd.DataFrame(rows, columns=["seed", "seen", "contamination"])

    def table(self) -> pd.DataFrame:
        """Return table "models"."""
        return pd.DataFrame(list(self.models.values())) if self.models else schemas.empty("models")

    def overlaps(self, ran: Collection[tuple[str, ...]]) -> pd.DataFrame:
        """Make table "overlaps": every model's corpora against the test sets of `ran`, each a model and its context.

        `seen` is null if the two cannot be compared.
        """
        rows = [
            {
                **dict(zip(CONTEXT, context, strict=True)),
                "model": name,
                "seed": seed,
                "corpus": corpus,
                "learnt": corpus in model["learnt"],
                "checked": corpus in compared,
                "test_molecules": len(test),
                "seen": len(test & self.hits[context[1], corpus]) if corpus in compared else None,
            }
            for name, model in self.models.items()
            for context, seeds in self.tests.items()
            if (name, *context) in ran
            for compared in [self._compared(model, context[1])]
            for corpus in model["corpora"]
            for seed, test in seeds.items()
        ]
        if not rows:
            return schemas.empty("overlaps")
        return pd.DataFrame(rows).astype({"seen": "Int32"})

    def _verdict(self, cell: Mapping[str, str], seed: int) -> tuple[float, str]:
        model = self.models.get(cell["model"], _UNKNOWN)
        if cell["method"] in WITHOUT_PRETRAINING or model["pretraining"] == "none":
            return 0.0, "none"
        test = self.tests.get(tuple(cell[name] for name in CONTEXT), {}).get(seed, frozenset[int]())
        compared = self._compared(model, cell["dataset"]) if test else []
        shared = {corpus: test & self.hits[cell["dataset"], corpus] for corpus in compared}
        seen = len(frozenset[int]().union(*shared.values())) / len(test) if shared else np.nan
        if cell["dataset"] in model["suspected"] or any(shared.get(corpus) for corpus in model["learnt"]):
            return seen, "labels"
        if any(shared.values()):
            return seen, "structures"
        return seen, "none" if shared and shared.keys() == set(model["corpora"]) else "unknown"

    def _compared(self, model: Mapping[str, Any], dataset: str) -> list[str]:
        """Return the corpora of a model that the dataset was compared with; merged results may lack some."""
        return [corpus for corpus in model["checkable"] if (dataset, corpus) in self.hits]


def worst(kinds: Iterable[str]) -> str:
    """Return the worst of several verdicts."""
    return max(kinds, key=KINDS.index)


def read(cells: Cells, results: Path, provenance: Path) -> Audit:
    """Read the audit of an experiment from the files of its stages; `provenance` is its table "models"."""
    models = _models(provenance)
    corpora = dict.fromkeys(name for model in models.values() for name in model["checkable"])
    hits = [results / "overlaps" / dataset / f"{corpus}.parquet" for dataset in cells.datasets for corpus in corpora]
    return _audit(models, hits, cells.split_files(results))


def read_folder(results: Path, provenance: Path) -> Audit:
    """Read the audit of whatever lies under `results`; a comparison with a corpus that is not there is unknown."""
    files = Found(results)
    return _audit(_models(provenance), files.overlaps, files.split_files)


def _models(provenance: Path) -> dict[str, dict[str, Any]]:
    table = schemas.read("models", provenance)
    return {name: _record(row) for name, (_, row) in zip(table["model"], table.iterrows(), strict=True)}


def _audit(models: Mapping[str, Mapping[str, Any]], overlaps: Iterable[Path], splits: Iterable[Path]) -> Audit:
    hits = {
        (path.parent.name, path.stem): frozenset(schemas.read("hits", path)["molecule"].tolist()) for path in overlaps
    }
    tests: dict[Context, dict[int, Molecules]] = {}
    for path in splits:
        split = schemas.read("splits", path)
        test = split[split["role"] == "test"]
        tests[tuple(split[CONTEXT].iloc[0])] = {
            seed: frozenset(test.loc[test["seed"] == seed, "molecule"].tolist())
            for seed in test["seed"].unique().tolist()
        }
    return Audit(models, hits, tests)


def _record(row: pd.Series) -> dict[str, Any]:
    """Convert a row of table "models" to a dictionary, its lists to tuples."""
    return {str(name): value if isinstance(value, str) else tuple(value) for name, value in row.items()}


_UNKNOWN: Mapping[str, Any] = MappingProxyType(
    {"pretraining": "", "corpora": (), "learnt": (), "checkable": (), "suspected": ()}
)
