"""What happened to the data and the runs: what was kept, dropped, undefined, selected otherwise, or failed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from roftmol.data.remarks import remarks
from roftmol.figures.cells import conditions_of, rows_of, with_references
from roftmol.figures.style import in_order, look
from roftmol.methods import WITHOUT_ENCODER
from roftmol.report.results import TITLES, constant_caption, identity, identity_columns, setting_text
from roftmol.report.table import Table, count, fixed, number_cell, plain, word
from roftmol.tasks import TASKS

REJECTS_SHOWN = 200
#: What an experiment is told by, where its own word for it is not plain.
TITLES_OF_FACTS = {
    "leave_out_contaminated": "Left out for what pretraining has seen",
    "landscape": "Loss landscapes",
    "tsne": "t-SNE pictures of atoms",
    "max_rejected": "Unusable records allowed",
    "grids": "Hyperparameters tried",
}
FALLBACK = "selected by loss"  # in the notes of the selection rules


def origin(timings: pd.DataFrame, shown: Iterable[tuple[str, Iterable[str]]]) -> list[tuple[str, str]]:
    """Return what heads a page: when and with which code its fits were made, and what else is `shown`, by title."""
    days = sorted({started[:10] for started in timings["started"] if started})
    codes = sorted({re.sub(r"^([\d.]+), commit (\w+)", r"\2 (version \1)", code) for code in timings["code"] if code})
    facts = [("Fits made", " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))), ("Commit", ", ".join(codes))]
    facts += [(title, ", ".join(values)) for title, values in shown]
    return [(title, text) for title, text in facts if text]


def facts(experiment: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return what an experiment was, title and value, without what it leaves open."""
    return [
        (TITLES_OF_FACTS.get(key, plain(str(key)).capitalize()), value)
        for key, value in experiment.items()
        if key != "title" and value not in (None, {}, [])
    ]


def data_table(
    molecules: pd.DataFrame, rejects: pd.DataFrame, tasks: pd.DataFrame, scores: pd.DataFrame, selected: pd.DataFrame
) -> Table:
    """Make a row a dataset: its records, its labels, and what could not be scored or selected as intended."""
    rows, facets = [], []
    for dataset in sorted(set(tasks["dataset"]), key=str.casefold):
        facets.append({"dataset": dataset})
        kept = molecules[molecules["dataset"] == dataset]
        remarks = rejects[rejects["dataset"] == dataset]
        columns = tasks[tasks["dataset"] == dataset]
        dropped = remarks.loc[remarks["action"] == "dropped", "row"].nunique()
        remarked = remarks.loc[remarks["action"] == "kept", "row"].nunique()
        labelled = columns["labelled"].sum()
        positives = columns["positives"].sum(min_count=1)
        share = float(positives / labelled) if labelled and pd.notna(positives) else float("nan")
        fallbacks = selected.loc[selected["dataset"] == dataset, "note"].str.contains(FALLBACK, regex=False).sum()
        undefined = scores.loc[_macro(scores, selected) & (scores["dataset"] == dataset), "undefined"]
        rows.append(
            [
                word(dataset),
                word(", ".join(sorted(set(columns["kind"])))),
                count(len(kept) + dropped),
                count(len(kept)),
                count(remarked),
                count(dropped),
                count(len(columns)),
                count(labelled),
                number_cell("" if math.isnan(share) else f"{100 * share:.1f}%", share),
                count(undefined.max() if len(undefined) else float("nan")),
                count(fallbacks),
            ]
        )
    measures = ["Records read", "Kept", "Kept with a remark", "Dropped", "Tasks", "Labels", "Positive"]
    measures += ["Tasks undefined in test, at most", "Selections that fell back to the loss"]
    return Table("", ["Dataset", "Kind", *(f"#{title}" for title in measures)], rows, facets)


def remarked(molecules: pd.DataFrame, rejects: pd.DataFrame, tasks: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what is worth a word about each dataset as a whole: its name and a sentence, one a remark."""
    names = sorted(set(tasks["dataset"]), key=str.casefold)
    tables = (molecules, rejects, tasks)
    return [(name, text) for name in names for text in remarks(*(one[one["dataset"] == name] for one in tables))]


def reasons_table(rejects: pd.DataFrame) -> Table:
    """Make the table of how many records were dropped, or kept with a remark, for each reason."""
    counts = rejects.groupby(["dataset", "action", "reason"], as_index=False).size()
    rows = [
        [word(row["dataset"]), word(plain(row["reason"])), word(row["action"]), count(row["size"])]
        for row in counts.to_dict("records")
    ]
    facets = [{"dataset": dataset} for dataset in counts["dataset"]]
    return Table("", ["Dataset", "Reason", "Action", "#Records"], rows, facets)


def rejected_table(rejects: pd.DataFrame) -> Table:
    """Make the table of the records that have a remark, the first ones of each dataset."""
    first = rejects.sort_values(["dataset", "row"], kind="stable").groupby("dataset").head(REJECTS_SHOWN)
    cells = [
        [
            word(record["dataset"]),
            count(record["row"]),
            word(record["smiles"], "smiles"),
            word(plain(record["reason"])),
            word(record["detail"], "long"),
            word(record["action"]),
        ]
        for record in first.to_dict("records")
    ]
    facets = [{"dataset": dataset} for dataset in first["dataset"]]
    return Table("", ["Dataset", "#Record", "SMILES", "Reason", "Detail", "Action"], cells, facets)


def tasks_table(tasks: pd.DataFrame) -> Table:
    """Make the table of the label columns: the share of positives, or mean and standard deviation of values."""
    undefined = number_cell("", float("nan"))
    rows, facets = [], []
    for task in tasks.sort_values(["dataset", "task"]).to_dict("records"):
        if TASKS[task["kind"]].classes:
            share = task["positives"] / task["labelled"] if task["labelled"] else float("nan")
            values = [count(task["positives"]), number_cell(fixed(100 * share, 1) + "%", share), undefined, undefined]
        else:
            measured = (number_cell(fixed(task[name], 3), task[name]) for name in ("mean", "std"))
            values = [undefined, undefined, *measured]
        rows.append([word(task["dataset"]), word(task["name"]), count(task["labelled"]), *values])
        facets.append({"dataset": task["dataset"]})
    measures = ["#Labelled", "#Positive", "#Share positive", "#Mean", "#Standard deviation"]
    return Table("", ["Dataset", "Label column", *measures], rows, facets)


def undefined_table(scores: pd.DataFrame, selected: pd.DataFrame) -> Table:
    """Make the table of the conditions whose macro mean leaves tasks out: how many of how many."""
    left_out = with_references(scores[_macro(scores, selected) & (scores["undefined"] > 0)])
    conditions = conditions_of(left_out)
    varying = identity_columns(conditions)
    rows = []
    for condition in conditions:
        here = rows_of(left_out, condition)
        low, high = here["undefined"].min(), here["undefined"].max()
        text = f"{low}" if low == high else f"{low} to {high}"
        seeds = here["seed"].nunique()
        rows.append([*identity(condition, varying), number_cell(text, high), count(here["tasks"].max()), count(seeds)])
    columns = [*(TITLES[name] for name in varying), "#Undefined tasks", "#Tasks", "#Seeds concerned"]
    facets = [condition._asdict() for condition in conditions]
    return Table(constant_caption(conditions, varying), columns, rows, facets)


def _macro(scores: pd.DataFrame, selected: pd.DataFrame) -> pd.Series:
    """Return which scores are macro means, on test molecules, of the metric that methods are compared by."""
    metrics = selected.drop_duplicates("dataset").set_index("dataset")["metric"]
    return (
        (scores["task"] == "macro")
        & (scores["partition"] == "test")
        & (scores["metric"] == scores["dataset"].map(metrics))
    )


def notes_table(selected: pd.DataFrame) -> Table:
    """Make the table of the notes that the selection wrote about its runs."""
    noted = selected[selected["note"] != ""]
    conditions = conditions_of(noted)
    varying = identity_columns(conditions)
    rows, facets = [], []
    for condition in conditions:
        for note, runs in rows_of(noted, condition).groupby("note"):
            facets.append(condition._asdict())
            methods = ", ".join(look(name).title for name in in_order(runs["method"]))
            said = re.sub(r"\{[^{}]*\}", lambda found: setting_text(found[0]), str(note))
            rows.append([*identity(condition, varying), word(said, "long"), word(methods, "long"), count(len(runs))])
    columns = [*(TITLES[name] for name in varying), "Note", "Methods", "#Runs"]
    return Table(constant_caption(conditions, varying), columns, rows, facets)


def environments_table(timings: pd.DataFrame) -> Table:
    """Make a row for each version of code, software and kind of machine that fits were made with."""
    counts = timings.groupby(["host", "software", "code"], as_index=False).size()
    rows = [
        [*(word(row[name] or "not recorded", "long") for name in ("host", "software", "code")), count(row["size"])]
        for row in counts.to_dict("records")
    ]
    return Table("", ["Machine", "Software", "Code", "#Fits"], rows)


def failures_table(timings: pd.DataFrame) -> Table:
    """Make the table of the fits that failed, gathered by method, hyperparameters and reason."""
    failed = timings[timings["status"] != "ok"]
    conditions = conditions_of(failed)
    varying = identity_columns(conditions)
    rows, facets = [], []
    for condition in conditions:
        here = rows_of(failed, condition)
        for name in in_order(here["method"]):
            facet = condition._asdict()
            if name in WITHOUT_ENCODER:  # which is compared with every encoder
                del facet["model"]
            for (chosen, reason), fits in here[here["method"] == name].groupby(["setting", "reason"]):
                facets.append(facet)
                seeds = ", ".join(str(seed) for seed in sorted(fits["seed"].unique()))
                rows.append(
                    [
                        *identity(condition, varying),
                        word(look(name).title),
                        word(setting_text(str(chosen))),
                        word(seeds),
                        count(len(fits)),
                        word(reason, "long flag"),
                    ]
                )
    columns = [*(TITLES[name] for name in varying), "Method", "Hyperparameters", "Seeds", "#Fits", "Reason"]
    return Table(constant_caption(conditions, varying), columns, rows, facets)
