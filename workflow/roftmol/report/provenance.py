"""What encoders were pretrained on, and which of the test molecules pretraining has seen, in words."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from roftmol.evaluation.contamination import worst
from roftmol.figures.cells import MARKS, conditions_of, rows_of
from roftmol.figures.style import in_order, look
from roftmol.methods import WITHOUT_PRETRAINING
from roftmol.report.results import TITLES, constant_caption, identity, identity_columns, verdict
from roftmol.report.table import Table, count, number_cell, share, word

#: What the column "Provenance" says, explained.
LEGEND = {
    "none found": "Every pretraining set could be compared, and no test molecule is in one.",
    f"{MARKS['structures']} structures": "Pretraining saw some of the test molecules, without labels. The number is "
    "their share, the mean over seeds.",
    f"{MARKS['labels']} labels": "Pretraining saw some of the test molecules with labels; these are the pretraining "
    "set's, which need not be the dataset's. Or pretraining is suspected to have learnt labels of the dataset. Such a "
    "score may not measure generalisation.",
    "not checkable": "Some pretraining molecules are not published, and no test molecule is among the others. So "
    "nothing is known of what pretraining has seen.",
    "no pretraining": "The method does not start from pretrained weights.",
}

About = Mapping[str, Mapping[str, Any]]


def models_table(models: pd.DataFrame, about: About, corpora: About) -> Table:
    """Make a row an encoder: how and on what it was pretrained, and which of that could be compared.

    Encoders with one file or the same weights share a row.
    """
    rows, facets, shown = [], [], set[str]()
    for model in models.to_dict("records"):
        if model["model"] in shown:
            continue
        here = [model["model"], *(name for name in models["model"] if name in set(model["same_as"]))]
        elsewhere = [name for name in model["same_as"] if name not in here]
        shown.update(here)
        facets.append({"model": here})
        overlaps = [about.get(name, {}).get("overlaps", "") for name in here]
        if len(model["suspected"]):
            overlaps.insert(0, f"Suspected to have learnt labels of {', '.join(model['suspected'])}.")
        names = [*here, *(f"{name} (not run here)" for name in elsewhere)]
        pretrained_on = [_corpus(name, model, corpora) for name in model["corpora"]] or ["nothing"]
        rows.append(
            [
                word(" = ".join(names), "long"),
                word(model["pretraining"]),
                word("; ".join(pretrained_on), "long"),
                word(" ".join(dict.fromkeys(text for text in overlaps if text)), "long"),
            ]
        )
    return Table("", ["Model", "Pretraining", "Pretrained on", "Known overlaps with test sets"], rows, facets)


def _corpus(name: str, model: Mapping[Hashable, Any], corpora: About) -> str:
    """Name a corpus of an encoder, and say whether its labels were learnt and whether it could be compared."""
    learnt = "with labels" if name in model["learnt"] else "without labels"
    checked = "compared" if name in model["checkable"] else "not checkable"
    return f"{corpora.get(name, {}).get('title', name)} ({learnt}; {checked})"


def overlaps_table(overlaps: pd.DataFrame) -> Table:
    """Make the table of how many molecules of each test set are in each corpus of each encoder, over the seeds."""
    conditions = conditions_of(overlaps)
    varying = identity_columns(conditions)
    rows, facets = [], []
    for condition in conditions:
        for (name, learnt), seeds in rows_of(overlaps, condition).groupby(["corpus", "learnt"], sort=False):
            facets.append(condition._asdict())
            shares = seeds["seen"] / seeds["test_molecules"]
            least = seeds["seen"].min()
            most = seeds["seen"].max()
            if seeds["checked"].all():
                seen = number_cell(f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}", float(most))
                mean = number_cell(share(shares.mean()), shares.mean())
            else:
                seen = number_cell("not checkable", math.nan, "soft")
                mean = number_cell("", math.nan, "soft")
            rows.append(
                [
                    *identity(condition, varying),
                    word(name),
                    word("with labels" if learnt else "without labels"),
                    count(seeds["seed"].nunique()),
                    number_cell(_range(seeds["test_molecules"]), float(seeds["test_molecules"].max())),
                    seen,
                    mean,
                ]
            )
    columns = [*(TITLES[name] for name in varying), "Pretraining set", "Learnt"]
    measures = ["#Seeds", "#Test molecules", "#Of these in the set", "#Mean share"]
    return Table(constant_caption(conditions, varying), [*columns, *measures], rows, facets)


def left_out_table(left_out: pd.DataFrame) -> Table:
    """Make the table of the cells that were left out, gathered by condition and by what pretraining has seen."""
    conditions = conditions_of(left_out)
    varying = identity_columns(conditions)
    rows, facets = [], []
    for condition in conditions:
        for kind, cells in rows_of(left_out, condition).groupby("contamination"):
            facets.append(condition._asdict())
            methods = ", ".join(look(name).title for name in in_order(cells["method"]))
            seen = verdict(str(kind), cells["seen"].mean())  # which is one number for all of these cells
            rows.append([*identity(condition, varying), seen, word(methods, "long")])
    columns = [*(TITLES[name] for name in varying), "Provenance", "Methods"]
    return Table(constant_caption(conditions, varying), columns, rows, facets)


def tally(summary: pd.DataFrame) -> dict[str, int]:
    """Count the conditions of pretrained encoders, and those of each verdict."""
    cells = summary[~summary["method"].isin(WITHOUT_PRETRAINING)]
    kinds = [worst(rows_of(cells, condition)["contamination"]) for condition in conditions_of(cells)]
    return {
        "conditions": len(kinds),
        **{kind: kinds.count(kind) for kind in ("labels", "structures", "unknown", "none")},
    }


def _range(values: pd.Series) -> str:
    least, most = values.min(), values.max()
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
