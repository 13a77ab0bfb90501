"""What is worth a word about a dataset that was read: its records, what numbers may not mean, forms dealt together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from roftmol.data.delimited import Table
from roftmol.data.label_texts import Values, translated
from roftmol.data.parents import forms_told
from roftmol.data.written_numbers import plain
from roftmol.tasks import TASKS

#: More labels at one end than this share, and so many at least, are told: they look like a limit of measurement.
AT_AN_END = 0.05
AT_LEAST = 3
#: Positive labels, but for the same share at either end, whose largest is so many times the smallest, are told.
SPAN = 1000


#: What becomes of records of one molecule, by `duplicates`.
MERGED = {
    "average": "the labels of a molecule are averaged",
    "keep": "all are kept",
    "drop": "the others are left out",
}


def of_reading(table: Table, labels: Sequence[str], values: Values) -> list[str]:
    """Say what is taken for titles and units, and in which columns of labels numbers are not written as Python does."""
    told = list(table.skipped)
    for name in labels:
        written = plain([translated(text, values) for text in table.column(name)])
        told += [
            f"Column {name!r} has {way}: {table.column(name)[row]!r} in {table.position(row)} is read as "
            f"{written.texts[row]}."
            for way, row in written.ways
        ]
    return told


def of_records(table: Table, kept: int, rejects: pd.DataFrame, duplicates: str) -> list[str]:
    """Say how many records are blank, without a label, of a molecule that is there before, or unusable; [] if none is.

    `kept` counts the molecules. Of censored records, :func:`remarks` speaks.
    """
    counts = Counter(rejects["reason"])
    repeated = counts["duplicate"] + counts["contradicting_duplicate"]
    unlabelled = counts["missing_labels"]
    unusable = counts.total() - repeated - unlabelled - counts["censored"]
    merged = f"{MERGED[duplicates]} (duplicates={duplicates})"
    sentences = {
        _counted(table.blanks, f"blank {table.word} is skipped", f"blank {table.word}s are skipped"): table.blanks,
        _counted(unlabelled, "record without a label is left out", "records without a label are left out"): unlabelled,
        _counted(repeated, "record shares its molecule", "records share their molecule") + f" with others, {merged}": (
            repeated
        ),
        _counted(unusable, "record that cannot be used is left out", "records that cannot be used are left out")
        + ", listed on the page": unusable,
    }
    said = [sentence for sentence, count in sentences.items() if count]
    return [f"{len(table.records)} records, {kept} molecules: {'; '.join(said)}."] if said else []


def _counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def remarks(molecules: pd.DataFrame, rejects: pd.DataFrame, tasks: pd.DataFrame) -> list[str]:
    """Return sentences about one dataset's tables; none, where there is nothing to say."""
    censored = rejects[rejects["reason"] == "censored"]
    told = []
    if len(censored):
        dropped = int((censored["action"] == "dropped").sum())
        kept = len(censored) - dropped
        learnt = any(TASKS[kind].limits for kind in tasks["kind"])
        which = _counted(len(censored), "record has", "records have")
        first = censored.iloc[0]
        where = first["position"] or f"record {first['row']}"
        told.append(
            f"{which} a label that only limits the value, such as {where} "
            f"({first['detail']}): {dropped} are dropped, {kept} "
            + ("learnt as limits, and scores of errors are of values alone" if learnt else "kept")
            + "; `censored` says which."
        )
    if len(molecules):
        labels = np.array(molecules["labels"].tolist(), np.float64)
        for task in tasks.to_dict("records"):
            if not TASKS[task["kind"]].classes:
                values = TASKS[task["kind"]].values(labels)[:, task["task"]]
                told += _at_the_ends(str(task["name"]), values)
                told += _without_logarithm(str(task["name"]), values)
    return [*told, *filter(None, [forms_told(molecules)])]


def _without_logarithm(name: str, labels: np.ndarray) -> list[str]:
    """Return a sentence about positive labels that span so much that a few of them are all that a loss sees."""
    given = labels[np.isfinite(labels)]
    if not len(given) or given.min() <= 0:
        return []
    low, high = np.quantile(given, [AT_AN_END, 1 - AT_AN_END])
    if high < SPAN * low:
        return []
    return [
        f"Nine tenths of the labels in {name!r} lie between {low:.3g} and {high:.3g}: the largest outweigh all others. "
        "Their logarithm can be learned better; of a potency, that is -log10 of the molar value (of 10 nM: 8)."
    ]


def _at_the_ends(name: str, labels: np.ndarray) -> list[str]:
    """Return a sentence for each end of the labels where many are equal."""
    given = labels[np.isfinite(labels)]
    if not len(given) or np.ptp(given) == 0:
        return []
    told = []
    for end, value, sign in (("smallest", given.min(), "<"), ("largest", given.max(), ">")):
        count = int((given == value).sum())
        if count >= AT_LEAST and count > AT_AN_END * len(given):
            told.append(
                f"{count} of {len(given)} labels in {name!r} ({count / len(given):.0%}) are the {end}, {value:g}. If "
                f"that is a limit of measurement, write {sign}{value:g} and say what becomes of them with `censored`."
            )
    return told
