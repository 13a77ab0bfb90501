"""What a table is, and the columns that several tables share.

What a table and its columns mean stands in `descriptions/`, which only the report and the documentation read: fits hang
on the columns, and not on what is written about them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

#: The version that all tables have had since each has its own.
FIRST = 4


@dataclass(frozen=True)
class Table:
    """A table: its columns with their types, in the order of the file, and what becomes of older files.

    `key` names the columns that tell its rows apart; it is empty for a table whose rows may be equal. A new column
    raises `version`, and `since` says by which version it came: a file of an older version is read with that column
    empty. A column that is taken away, or that now means something else, raises `oldest` as well: what is older than
    that is refused.
    """

    name: str
    columns: Mapping[str, pa.DataType]
    key: tuple[str, ...] = ()
    version: int = FIRST
    oldest: int = FIRST
    since: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := {*self.key, *self.since} - self.columns.keys():
            raise ValueError(f"table {self.name}: `key` or `since` names {sorted(unknown)}, which are no columns")
        for column, version in self.since.items():
            if not self.oldest < version <= self.version:
                raise ValueError(f"table {self.name}: {column} came by version {version}, of {self.version}")

    def columns_of(self, version: int) -> list[str]:
        """Return the columns that a file of this version has."""
        return [name for name in self.columns if self.since.get(name, self.oldest) <= version]


#: The identity of a cell of the benchmark. `budget` is the number of labels as text, or "all".
CELL = {name: pa.string() for name in ("protocol", "model", "dataset", "split", "budget", "method")}
#: What methods are compared in: a cell without its method.
CONDITION = {name: kind for name, kind in CELL.items() if name != "method"}
#: What has the same molecules in its parts, seed by seed: a condition without its model.
CONTEXT = {name: kind for name, kind in CONDITION.items() if name != "model"}
#: A run is a cell with a seed and the method's hyperparameters, `setting`, as canonical JSON ("{}" for none).
RUN = {**CELL, "setting": pa.string(), "seed": pa.int32()}
#: The key of a run, the seed first: as messages name a row.
RUN_KEY = (*CELL, "seed", "setting")
#: What a fit was made with: the fields of `run_origin.Origin`, "" in fits that were finished before they were recorded.
ORIGIN = {name: pa.string() for name in ("code", "configuration", "environment", "software", "host")}
#: What every method is compared with, a column `vs_...` each; `methods.COMPARED` are the same.
COMPARED = ("full_ft", "fingerprint", "constant")
#: What is compared together in the statistics: the datasets of one protocol, encoder, split, budget and metric.
FAMILY = {**{name: CELL[name] for name in ("protocol", "model", "split", "budget")}, "metric": pa.string()}
