"""Answer every question about every cell, reading predictions a cell at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from roftmol.core.errors import UserError
from roftmol.evaluation.diagnostics import TABLES, calibration, cliffs, similarity
from roftmol.evaluation.diagnostics.cells import Data, entries, read_cells, read_data
from roftmol.evaluation.diagnostics.collapse import collapse
from roftmol.evaluation.diagnostics.shift import inside, shift
from roftmol.tables import schemas


@dataclass(frozen=True)
class DiagnosticsSettings:
    """The datasets whose activity cliffs are known."""

    cliffs: tuple[str, ...] = ()


def diagnose(settings: DiagnosticsSettings, tables: Path, results: Path, out: Path) -> None:
    """Write the tables of this package to `out`, from the aggregated `tables` and the splits and data of `results`.

    Raises `UserError` if a table or a split is missing, damaged, or not of the run that was aggregated.
    """
    datasets = read_data(tables)
    members = _cliffs(settings.cliffs, results, datasets)
    neighbours = similarity.Neighbours(results / "splits", datasets)
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in TABLES}
    for cell in read_cells(tables):
        dataset = cell.identity["dataset"]
        if dataset not in datasets:
            raise UserError(f"{tables}: predictions of {dataset!r}, which has no molecules. Run the workflow again.")
        data = datasets[dataset]
        labelled = entries(cell, data)
        if not len(labelled):
            continue
        measures, curve = calibration.measure(cell.identity, labelled, data.kind)
        rows["calibration"] += measures
        rows["reliability"] += curve
        rows["similarity"] += similarity.errors(cell.identity, labelled, neighbours.of(cell, labelled), data.kind)
        if dataset in members:
            rows["cliffs"] += cliffs.compare(cell.identity, labelled, members[dataset])
    frames = {name: pd.DataFrame(of_table) if of_table else schemas.empty(name) for name, of_table in rows.items()}
    selected = schemas.read("selected", tables / "selected.parquet")
    frames["shift"] = shift(selected, inside(selected, tables / "scores.parquet"))
    changes = tables / "changes.parquet"
    frames["collapse"] = collapse(schemas.read("changes", changes), selected)
    for name in TABLES:
        schemas.write(name, frames[name], out / f"{name}.parquet", settings)


def _cliffs(names: Sequence[str], results: Path, datasets: dict[str, Data]) -> dict[str, cliffs.Cliffs]:
    members = {}
    for name in names:
        path = results / "data" / name / "cliffs.parquet"
        table = schemas.read("cliff_molecules", path)
        molecules = len(datasets[name].smiles) if name in datasets else 0
        if table["molecule"].tolist() != list(range(molecules)):
            raise UserError(f"{path}: its molecules are not those of the dataset. Run the workflow again.")
        members[name] = cliffs.Cliffs(table["cliff"].to_numpy(np.bool_), table["origin"].iloc[0])
    return members
