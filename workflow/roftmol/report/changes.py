"""The table of what fine-tuning does to the model: the numbers behind the figures of changes."""

from __future__ import annotations

import math

import pandas as pd

from roftmol.figures.cells import Results, conditions_of, rows_of
from roftmol.figures.changes import ALL, over_seeds
from roftmol.figures.style import in_order, look
from roftmol.report.results import TITLES, constant_caption, identity, identity_columns
from roftmol.report.table import Cell, Table, number_cell, spread, word
from roftmol.tables.schemas import RUN

#: What is measured of the vectors, as columns, with their decimals.
MEASURED = {
    "cka": ("#CKA", 2),
    "effective_rank_pretrained": ("#Rank before", 1),
    "effective_rank": ("#Rank after", 1),
    "davies_bouldin_ratio": ("#Davies-Bouldin", 2),
    "wasserstein": ("#Wasserstein", 3),
}
#: The same of a force field, where there is one.
FORCES = {"force_drift": ("#Force drift, eV/Å", 3), "force_error": ("#Force error, eV/Å", 3)}


def changes_table(results: Results) -> Table:
    """How far each method's selected encoders moved, which part most, and what became of vectors and forces."""
    changes = results.changes.merge(results.selected[list(RUN)], on=list(RUN))
    conditions = conditions_of(changes)
    varying = identity_columns(conditions)
    measured = MEASURED | (FORCES if changes["quantity"].isin(FORCES).any() else {})
    rows, facets = [], []
    for condition in conditions:
        here = rows_of(changes, condition)
        for name in in_order(here["method"]):
            own = here[here["method"] == name]
            distance = over_seeds(own[own["quantity"] == "distance"], ["part"])
            others = over_seeds(own[own["quantity"] != "distance"], ["quantity"])
            facets.append(condition._asdict())
            rows.append(
                [
                    *identity(condition, varying),
                    word(look(name).title),
                    _spread(distance, ALL, 3),
                    _farthest(distance.drop(index=ALL)["mean"]),
                    *(_spread(others, quantity, places) for quantity, (_, places) in measured.items()),
                ]
            )
    columns = [*(TITLES[name] for name in varying), "Method", "#Distance", "Farthest part"]
    return Table(
        constant_caption(conditions, varying), [*columns, *(title for title, _ in measured.values())], rows, facets
    )


def _spread(over: pd.DataFrame, row: str, places: int) -> Cell:
    """Mean and standard deviation over the seeds; nothing where it was not measured."""
    if row not in over.index:
        return number_cell("", math.nan)
    mean, std = float(over["mean"][row]), float(over["std"][row])
    return number_cell(spread(mean, std, places), mean)


def _farthest(distances: pd.Series) -> Cell:
    moved = distances.max()
    if math.isnan(moved) or moved == 0:
        return word("none", "soft")
    part = str(distances.idxmax())
    return word(f"layer {int(part.removeprefix('blocks.')) + 1}" if part.startswith("blocks.") else part)
