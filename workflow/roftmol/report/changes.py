"""The table of what fine-tuning does to the encoder: the numbers behind the figures of changes."""

from __future__ import annotations

import math

import pandas as pd

from roftmol.figures.cells import Results, conditions_of, rows_of
from roftmol.figures.changes import ALL, over_seeds
from roftmol.figures.style import in_order, look
from roftmol.report.results import TITLES, constant_caption, identity, identity_columns
from roftmol.report.table import Cell, Table, number_cell, spread, word
from roftmol.tables.schemas import RUN

#: The measures of the vectors: the title and the decimals of each one's column.
MEASURED = {
    "cka": ("#CKA", 2),
    "effective_rank_pretrained": ("#Rank before", 1),
    "effective_rank": ("#Rank after", 1),
    "davies_bouldin_ratio": ("#Davies-Bouldin", 2),
    "wasserstein": ("#Wasserstein", 3),
}
#: The parts of an encoder that are no layers.
PARTS = {"embed": "embeddings"}
#: The same of a force field, if the encoder has one.
FORCES = {"force_drift": ("#Force drift, eV/Å", 3), "force_error": ("#Force error, eV/Å", 3)}


def changes_table(results: Results) -> Table:
    """Make the table of how far each method moved the encoder, which part most, and how vectors and forces changed.

    It is of the selected runs.
    """
    changes = results.changes.merge(results.selected[list(RUN)], on=list(RUN))
    conditions = conditions_of(changes)
    varying = identity_columns(conditions)
    measured = MEASURED | (FORCES if changes["quantity"].isin(FORCES).any() else {})
    rows, facets = [], []
    for condition in conditions:
        here = rows_of(changes, condition)
        for name in in_order(here["method"]):
            of_method = here[here["method"] == name]
            distance = over_seeds(of_method[of_method["quantity"] == "distance"], ["part"])
            others = over_seeds(of_method[of_method["quantity"] != "distance"], ["quantity"])
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
    columns += [title for title, _ in measured.values()]
    return Table(constant_caption(conditions, varying), columns, rows, facets)


def _spread(over: pd.DataFrame, row: str, places: int) -> Cell:
    """Return a cell of mean and standard deviation over the seeds, empty if the quantity was not measured."""
    if row not in over.index:
        return number_cell("", math.nan)
    mean, std = float(over["mean"][row]), float(over["std"][row])
    return number_cell(spread(mean, std, places), mean)


def _farthest(distances: pd.Series) -> Cell:
    moved = distances.max()
    if math.isnan(moved) or moved == 0:
        return word("none", "soft")
    part = str(distances.idxmax())
    return word(
        f"layer {int(part.removeprefix('blocks.')) + 1}" if part.startswith("blocks.") else PARTS.get(part, part)
    )
