"""What the models are and were pretrained on, and what of the test molecules pretraining has seen, in words."""

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
    "none found": "Every pretraining set could be compared, and none of the test molecules is in one.",
    f"{MARKS['structures']} structures": "Pretraining saw some of the test molecules, without labels. The number is "
    "their share, the mean over seeds.",
    f"{MARKS['labels']} labels": "Pretraining saw some of the test molecules with labels, which are those of the "
    "pretraining set and need not be the dataset's own; or it is suspected to have learnt labels of the dataset. Such "
    "a score may not measure generalisation.",
    "not checkable": "Some pretraining molecules are not to be had, and nothing was found in those that are. It says "
    "nothing about what was seen.",
    "no pretraining": "The method starts from no pretrained weights.",
}

About = Mapping[str, Mapping[str, Any]]


def models_table(models: pd.DataFrame, about: About, corpora: About) -> Table:
    """One row a model: how and on what it was pretrained, and what of that could be compared.

    Models that are one, by checksum or by their weights, share a row.
    """
    rows, facets, shown = [], [], set[str]()
    for model in models.to_dict("records"):
        if model["model"] in shown:
            continue
        here = [model["model"], *(name for name in models["model"] if name in set(model["same_as"]))]
        elsewhere = [name for name in model["same_as"] if name not in here]
        shown.update(here)
        facets.append({"model": here})
        told = [about.get(name, {}).get("overlaps", "") for name in here]
        if len(model["suspected"]):
            told.insert(0, f"Suspected to have learnt labels of {', '.join(model['suspected'])}.")
        rows.append(
            [
                word(" = ".join([*here, *(f"{name} (not run here)" for name in elsewhere)]), "long"),
                word(model["pretraining"]),
                word("; ".join(_corpus(name, model, corpora) for name in model["corpora"]) or "nothing", "long"),
                word(" ".join(dict.fromkeys(text for text in told if text)), "long"),
            ]
        )
    return Table("", ["Model", "Pretraining", "Pretrained on", "Known of overlaps with test sets"], rows, facets)


def _corpus(name: str, model: Mapping[Hashable, Any], corpora: About) -> str:
    """A corpus of a model in words: whether its labels were learnt, and whether it could be compared."""
    learnt = "with labels" if name in model["learnt"] else "without labels"
    checked = "compared" if name in model["checkable"] else "not checkable"
    return f"{corpora.get(name, {}).get('title', name)} ({learnt}; {checked})"


def overlaps_table(overlaps: pd.DataFrame) -> Table:
    """Every corpus of every model against every test set: how many of its molecules are in it, over the seeds."""
    conditions = conditions_of(overlaps)
    varying = identity_columns(conditions)
    rows, facets = [], []
    for condition in conditions:
        for (name, learnt), found in rows_of(overlaps, condition).groupby(["corpus", "learnt"], sort=False):
            facets.append(condition._asdict())
            shares = found["seen"] / found["test_molecules"]
            least, most = found["seen"].min(), found["seen"].max()
            if found["checked"].all():
                seen = number_cell(f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}", float(most))
                mean = number_cell(share(shares.mean()), shares.mean())
            else:
                seen, mean = (number_cell(text, math.nan, "soft") for text in ("not checkable", ""))
            rows.append(
                [
                    *identity(condition, varying),
                    word(name),
                    word("with labels" if learnt else "without labels"),
                    count(found["seed"].nunique()),
                    number_cell(_range(found["test_molecules"]), float(found["test_molecules"].max())),
                    seen,
                    mean,
                ]
            )
    columns = [*(TITLES[name] for name in varying), "Pretraining set", "Learnt"]
    measures = ["#Seeds", "#Test molecules", "#Of these in it", "#Mean share"]
    return Table(constant_caption(conditions, varying), [*columns, *measures], rows, facets)


def left_out_table(left_out: pd.DataFrame) -> Table:
    """The cells that were left out, gathered by condition; `seen` is the same for all of a condition's verdict."""
    conditions = conditions_of(left_out)
    varying = identity_columns(conditions)
    rows, facets = [], []
    for condition in conditions:
        for kind, cells in rows_of(left_out, condition).groupby("contamination"):
            facets.append(condition._asdict())
            methods = ", ".join(look(name).title for name in in_order(cells["method"]))
            rows.append(
                [*identity(condition, varying), verdict(str(kind), cells["seen"].mean()), word(methods, "long")]
            )
    columns = [*(TITLES[name] for name in varying), "Provenance", "Methods"]
    return Table(constant_caption(conditions, varying), columns, rows, facets)


def tally(summary: pd.DataFrame) -> dict[str, int]:
    """How many conditions of pretrained models there are, and how many of each verdict."""
    cells = summary[~summary["method"].isin(WITHOUT_PRETRAINING)]
    kinds = [worst(rows_of(cells, condition)["contamination"]) for condition in conditions_of(cells)]
    return {
        "conditions": len(kinds),
        **{kind: kinds.count(kind) for kind in ("labels", "structures", "unknown", "none")},
    }


def _range(values: pd.Series) -> str:
    least, most = values.min(), values.max()
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
