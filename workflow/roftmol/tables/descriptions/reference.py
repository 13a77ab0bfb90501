"""What the report and docs/tables.md say of tables: the YAML files beside this module, with the columns' types.

    python -m roftmol.tables.descriptions.reference

writes docs/tables.md anew.

They are data of the report's and no part of the columns' definitions: rules hang on the code that their stages import,
and none but the report's imports this, so an edited description makes a new report and repeats no fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import yaml

from roftmol.core.records import build
from roftmol.tables.base import Table
from roftmol.tables.schemas import MODULES, TABLES

FOLDER = Path(__file__).parent
PAGE = Path(__file__).parents[4] / "docs" / "tables.md"
INTRODUCTION = """\
# Tables

Every table that the workflow writes: its files, its columns with their types, and what they mean. Files are Parquet and
lie under `results/`; those of a recommendation's candidates under `results/recommendation/{dataset}/`, with the same
names. In Python:

    import pandas
    scores = pandas.read_parquet("results/tables/scores.parquet")

`key` names the columns that tell the rows of a table apart. Each table has a version, which its file states in the
metadata beside what made it (`roftmol.tables.schemas.marks(path)`). A file of an older version is read where columns
were only added since: they are empty ("" in a text, NaN in a number, null in all else). Any other file of another
version is refused, with a message that says so.

The program makes this page from the files in `workflow/roftmol/tables/`: `make docs`.
"""


@dataclass(frozen=True)
class Description:
    """What a table is, in a line and perhaps more; its files under the results folder; what its columns mean."""

    line: str
    files: tuple[str, ...]
    text: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


def descriptions() -> dict[str, Description]:
    """Return the description of every table, in the order of the data's flow.

    Raises `ValueError` if a table or a column has none, or one is described that there is not.
    """
    shared = _load("shared")
    written: dict[str, Description] = {}
    for module in MODULES:
        entries = _load(_name(module))
        written |= {name: build(Description, entry) for name, entry in entries.items()}
    if written.keys() != TABLES.keys():
        raise ValueError(
            f"{FOLDER}: tables that are only defined or only described: {sorted(written.keys() ^ TABLES.keys())}"
        )
    unused = shared.keys() - set(chain.from_iterable(table.columns for table in TABLES.values()))
    if unused:
        raise ValueError(f"{FOLDER / 'shared.yaml'}: no table has the columns {sorted(unused)}")
    return {name: _complete(table, written[name], shared) for name, table in TABLES.items()}


def markdown() -> str:
    """Return the text of docs/tables.md."""
    about = descriptions()
    parts = [INTRODUCTION]
    for module in MODULES:
        parts.append(f"## {_name(module).capitalize()}\n\n{module.__doc__}\n")
        parts += [section(table, about[table.name]) for table in module.TABLES]
    return "\n".join(parts)


def write() -> None:
    """Write docs/tables.md."""
    PAGE.write_text(markdown(), encoding="utf-8")


def _complete(table: Table, description: Description, shared: Mapping[str, str]) -> Description:
    """Return the description of a table with what all its columns mean, its own words before the shared ones."""
    meanings = {**shared, **description.columns}
    missing = [column for column in table.columns if column not in meanings]
    unknown = sorted(description.columns.keys() - table.columns.keys())
    if missing or unknown:
        raise ValueError(f"{FOLDER}: table {table.name}: no description of {missing}, and no columns {unknown}")
    return replace(description, columns={column: meanings[column] for column in table.columns})


def section(table: Table, about: Description) -> str:
    """Return what docs/tables.md says of a table."""
    facts = [f"Files: {_listed(about.files)}", f"version {table.version}"]
    if table.key:
        facts.append(f"key: {_listed(table.key)}")
    rows = [
        f"| `{column}` | {_type(kind)} | {about.columns[column]}{_since(table, column)} |"
        for column, kind in table.columns.items()
    ]
    return "\n".join(
        [
            f"### `{table.name}`\n",
            f"{about.line[0].upper()}{about.line[1:]}. {about.text}".rstrip(),
            f"\n{'; '.join(facts)}.\n",
            "| column | type | meaning |\n|---|---|---|",
            *rows,
            "",
        ]
    )


def _since(table: Table, column: str) -> str:
    return f" (since version {table.since[column]})" if column in table.since else ""


def _type(kind: pa.DataType) -> str:
    """Return a type as pandas calls it."""
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _load(name: str) -> Any:
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    write()
