"""What panels say: joint training against single training of each dataset, and what joint encoders have seen."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from roftmol.figures.cells import Results, budget_title
from roftmol.figures.style import in_order, look
from roftmol.methods import of_panels, single_of
from roftmol.registry.splits import split_title
from roftmol.report.statistics import comparisons_table
from roftmol.report.table import Table, number_cell, share, word
from roftmol.statistics.comparisons import ALL
from roftmol.tables.schemas import FAMILY

EXPOSURE_LEAD = (
    "Where each dataset has a split of its own, a molecule that tests one of them may train another, and a joint "
    "encoder has then seen it under another label. A gain on such a split is not transfer alone. The joint split "
    "deals a panel's scaffolds as one, so it has no such molecules."
)


def joint_table(results: Results) -> Table:
    """Make the table of every joint method against its single one, over a family's datasets and on each."""
    return comparisons_table(replace(results, comparisons=_of_panels(results.comparisons)))


def transfer(results: Results) -> str:
    """Say of each joint method which datasets gain, which lose and what is not known; "" without panels."""
    table = _of_panels(results.comparisons)
    sentences = []
    for family, rows in table.groupby([*FAMILY], sort=False):
        for method in in_order(rows["method"]):
            of_method = rows[rows["method"] == method]
            reference = str(of_method["reference"].iloc[0])
            parts = _by_verdict(of_method[of_method["dataset"] != ALL].to_dict("records"))
            where = _where(table, dict(zip(FAMILY, map(str, family), strict=True)))
            sentences.append(f"{look(method).title} against {look(reference).title}{where}: {'; '.join(parts)}.")
    return " ".join(sentences)


def exposure_table(exposure: pd.DataFrame) -> Table:
    """Make the table of how many held-out molecules of each dataset train another one of its panel, over the seeds."""
    rows, facets = [], []
    grouping = ["protocol", "panel", "dataset", "split", "budget", "partition"]
    for names, seeds in exposure.groupby(grouping, sort=False):
        protocol, panel, dataset, split, budget, partition = map(str, names)
        facets.append({"protocol": protocol, "dataset": dataset, "split": split, "budget": budget})
        seen = seeds["exposed"] / seeds["molecules"]
        most = seeds.groupby("most_by")["most"].sum().drop("", errors="ignore")
        rows.append(
            [
                word(protocol),
                word(panel),
                word(dataset),
                word(split_title(split)),
                word(budget_title(budget)),
                word({"valid": "validation", "test_id": "test within"}.get(partition, partition)),
                number_cell(f"{seeds['molecules'].mean():,.0f}", float(seeds["molecules"].mean())),
                number_cell(f"{seeds['exposed'].mean():,.0f}", float(seeds["exposed"].mean())),
                number_cell(share(float(seen.mean())), float(seen.mean())),
                word(str(most.idxmax()) if len(most) else "", "soft"),
            ]
        )
    columns = ["Protocol", "Panel", "Dataset", "Split", "Labels", "Part", "#Molecules", "#Exposed", "#Share", "Most in"]
    return Table("Means over seeds.", columns, rows, facets)


def _of_panels(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the comparisons of each method of panels with its single one."""
    pairs = zip(comparisons["method"], comparisons["reference"], strict=True)
    kept = [of_panels(method) and single_of(method) == reference for method, reference in pairs]
    return comparisons[np.array(kept, np.bool_)]


def _by_verdict(rows: list[dict[Hashable, Any]]) -> list[str]:
    """Say which datasets gain beyond doubt, which lose, and of the others which way their means lie."""
    sure = {
        "better": "better on {}, beyond doubt",
        "worse": "worse on {}, beyond doubt (negative transfer)",
        "equivalent": "practically equal on {}",
    }
    parts = []
    for verdict, words in sure.items():
        if names := [str(row["dataset"]) for row in rows if row["verdict"] == verdict]:
            parts.append(words.format(", ".join(names)))
    undecided = [row for row in rows if row["verdict"] not in sure]
    for better, words in ((True, "a better mean on {}"), (False, "a worse mean on {}")):
        if names := [str(row["dataset"]) for row in undecided if (row["better"] * row["difference"] > 0) == better]:
            parts.append(f"{words.format(', '.join(names))}, which may be chance")
    return parts


def _where(table: pd.DataFrame, family: Mapping[str, str]) -> str:
    """Say which family a sentence is of, as far as the table has several."""
    words = {
        "model": family["model"],
        "split": split_title(family["split"]),
        "budget": budget_title(family["budget"]),
        "protocol": f"{family['protocol']} protocol",
    }
    varying = [text for name, text in words.items() if table[name].nunique() > 1]
    return f" ({', '.join(varying)})" if varying else ""
