"""The tables of results: scores, selected hyperparameters, costs."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from roftmol.evaluation.contamination import worst
from roftmol.figures.cells import (
    CONDITION,
    MARKS,
    Condition,
    Results,
    budget_order,
    budget_title,
    conditions_of,
    rows_of,
)
from roftmol.figures.style import in_order, look
from roftmol.methods import (
    ALL_METHODS,
    BASELINES,
    CONSTANT,
    FINGERPRINT,
    FULL_FT,
    LINEAR_PROBING,
    METHODS,
    WITHOUT_ENCODER,
    WITHOUT_PRETRAINING,
)
from roftmol.methods.base import unsaid
from roftmol.methods.with_heads import refitted
from roftmol.registry.splits import split_title
from roftmol.report.answers import Comparison, compare
from roftmol.report.table import Cell, Table, count, decimals, duration, fixed, number_cell, share, signed, spread, word
from roftmol.tables.base import CONTEXT
from roftmol.tasks import metric_title

TITLES = {"protocol": "Protocol", "model": "Model", "dataset": "Dataset", "split": "Split", "budget": "Labels"}


def results_table(results: Results) -> Table:
    """Make the table of every method in every condition: test score, rank, differences to the references, time."""
    varying = identity_columns(results.conditions)
    constant = CONSTANT in set(results.summary["method"])
    regression = bool(results.summary["r2"].notna().any())
    rows, facets = [], []
    for condition in results.conditions:
        cells = rows_of(results.cells, condition).set_index("method")
        most = cells["seeds"].max()
        better = int(cells["better"].iloc[0])
        places = decimals(cells["mean"].abs().median())
        for name in sorted(in_order(cells.index), key=lambda name: float(cells["place"].fillna(math.inf)[name])):
            cell = cells.loc[name].to_dict()
            score = spread(cell["mean"], cell["std"], places) + mark(cell["contamination"])
            r2 = number_cell("" if math.isnan(cell["r2"]) else fixed(cell["r2"], 2), cell["r2"])
            if cell["seeds"] < most:
                seeds = number_cell(f"{cell['seeds']} of {most}", cell["seeds"], "flag")
            else:
                seeds = number_cell(f"{most}", cell["seeds"])
            versus = {
                reference: compare(results, condition, name, reference, better, places) for reference in BASELINES
            }
            facets.append(condition._asdict())
            rows.append(
                [
                    *identity(condition, varying),
                    word(look(name).title, "best" if cell["place"] == 1 else ""),
                    number_cell(score, cell["mean"]),
                    *([r2] if regression else []),
                    word(metric_title(cell["metric"]) + (" ↑" if better > 0 else " ↓"), "keep"),
                    seeds,
                    number_cell(fixed(cell["place"], 0), cell["place"]),
                    *(lead(one, name in TWICE[reference]) for reference, one in versus.items()),
                    *([_over_constant(results, condition, name, better, places)] if constant else []),
                    number_cell(duration(cell["wall_seconds"]), cell["wall_seconds"]),
                    verdict(cell["contamination"], cell["seen"], name),
                ]
            )
    columns = [*(TITLES[name] for name in varying), "Method", "#Test score"]
    columns += ["#R²"] if regression else []
    columns += ["Metric", "#Seeds", "#Rank", *(f"#{better_than(reference)}" for reference in BASELINES)]
    columns += [f"#{better_than(CONSTANT)}"] if constant else []
    columns += ["#Time", "Provenance"]
    return Table(constant_caption(results.conditions, varying), columns, rows, facets)


#: A reference to the methods that have no lead over it in a table: the others' rows say it of the pair.
TWICE = {FULL_FT: {FULL_FT, FINGERPRINT, CONSTANT}, FINGERPRINT: {FINGERPRINT, CONSTANT}}
#: What a reader of the next table must know.
SCORES_LEAD = (
    "The arrow after a metric says which way is better. “Better by” is positive if the method is better, whichever way "
    "that is, paired by seed and in units of the metric; a pair is compared once. ▲ (better) and ▼ (worse) mark what "
    "the comparisons below find beyond doubt. The best method of a condition is bold. Select a column's title to sort "
    "by it."
)
#: The same of the table of heads.
HEADS_LEAD = (
    "What the encoder that a method leaves is worth under the method's own head, and under heads that are fitted to "
    "its vectors in closed form. Frozen is the pretrained encoder, whose own head is that of linear probing. Bold is "
    "the best mean in a condition."
)


def heads_table(results: Results) -> Table:
    """Make the table of methods x heads, for the methods of which a METHOD+HEAD was run, and the frozen encoder."""
    ran = set(results.summary["method"])
    heads = [head for head in METHODS if any(refitted(method, head) in ran for method in METHODS)]
    varying = identity_columns(results.conditions)
    rows, facets = [], []
    for condition in results.conditions:
        cells = rows_of(results.cells, condition).set_index("method")
        methods = {ALL_METHODS[name].encoder_of for name in cells.index if name in ALL_METHODS} - {""}
        if not methods:
            continue
        of_encoder = {"Frozen": [LINEAR_PROBING, *heads]}
        for method in in_order(methods):
            of_encoder[look(method).title] = [method, *(refitted(method, head) for head in heads)]
        means = cells["mean"].reindex([name for names in of_encoder.values() for name in names])
        better = int(cells["better"].iloc[0])
        best = (means * better).idxmax() if means.notna().any() else ""
        places = decimals(means.abs().median())
        metric = metric_title(cells["metric"].iloc[0]) + (" ↑" if better > 0 else " ↓")
        for encoder, names in of_encoder.items():
            scores = [_score(cells, name, places, "best" if name == best else "") for name in names]
            rows.append([*identity(condition, varying), word(encoder), word(metric), *scores])
            facets.append(condition._asdict())
    titles = ["Encoder", "Metric", "#Own head", *(f"#{look(name).title}" for name in heads)]
    columns = [*(TITLES[name] for name in varying), *titles]
    return Table(constant_caption(results.conditions, varying), columns, rows, facets)


def leaderboard_table(leaderboard: pd.DataFrame) -> Table:
    """Make the table of what a public leaderboard is told of each dataset and method: its own metric, best first."""
    rows, facets = [], []
    for _, cells in leaderboard.groupby(list(CONTEXT), sort=False):
        better = int(cells["better"].iloc[0])
        places = decimals(cells["mean"].abs().median())
        for cell in cells.sort_values("mean", ascending=better < 0, kind="stable").to_dict("records"):
            tested = f"{cell['molecules']:,}" + (
                f" of {cell['records']:,}" if cell["molecules"] < cell["records"] else ""
            )
            of_encoder = cell["method"] not in WITHOUT_ENCODER
            facets.append({name: cell[name] for name in CONDITION if name != "model" or of_encoder})
            rows.append(
                [
                    word(cell["protocol"]),
                    word(cell["dataset"]),
                    word(metric_title(cell["metric"]) + (" ↑" if better > 0 else " ↓"), "keep"),
                    word(budget_title(cell["budget"])),
                    word(cell["model"] if of_encoder else ""),
                    word(look(cell["method"]).title),
                    number_cell(spread(cell["mean"], cell["sd"], places), cell["mean"]),
                    number_cell(f"{cell['seeds']}", cell["seeds"]),
                    number_cell(tested, cell["molecules"]),
                    word("yes" if cell["official"] else "no"),
                ]
            )
    titles = ["Protocol", "Dataset", "Metric", "Labels", "Model", "Method"]
    return Table("", [*titles, "#Test score", "#Runs", "#Tested", "Official"], rows, facets)


#: What a reader of that table must know.
LEADERBOARD_LEAD = (
    "Mean and population standard deviation of the leaderboard's own metric over its runs. Official are seeds 1 to 5 "
    "with all labels, tested on every record of the official test part that can be read. Ranks and comparisons "
    "elsewhere on this page go by ROC-AUC and RMSE."
)


def _score(cells: pd.DataFrame, method: str, places: int, tone: str) -> Cell:
    """Return the cell of a method's mean and spread, empty for a method that was not run."""
    if method not in cells.index:
        return number_cell("", math.nan)
    mean, std = cells["mean"][method], cells["std"][method]
    return number_cell(spread(mean, std, places), mean, tone)


def _over_constant(results: Results, condition: Condition, name: str, better: int, places: int) -> Cell:
    """Return the cell of a method's lead over the constant predictor, marked if the method's mean is worse."""
    comparison = compare(results, condition, name, CONSTANT, better, places)
    cell = lead(comparison, name == CONSTANT)
    return cell._replace(tone="worse") if cell.text and comparison.gain < 0 else cell


def better_than(reference: str) -> str:
    """Title a column of leads over a reference."""
    return f"Better than {look(reference).title} by"


def lead(comparison: Comparison, itself: bool = False) -> Cell:
    """Return the cell of how much better a method is than a reference, negative if worse, marked if beyond doubt."""
    if itself or comparison.seeds == 0:
        return number_cell("", float("nan"))
    sign = {"better": " ▲", "worse": " ▼"}.get(comparison.verdict, "")
    return number_cell(
        signed(comparison.gain, comparison.places) + sign, comparison.gain, comparison.verdict if sign else ""
    )


def hyperparameters_table(selected: pd.DataFrame) -> Table:
    """Make the table of the hyperparameters that each method's seeds selected, where there was a choice."""
    chosen = selected[(selected["candidates"] > 1) & (selected["setting"] != "")]
    conditions = conditions_of(chosen)
    varying = identity_columns(conditions)
    rows, facets = [], []
    for condition in conditions:
        here = rows_of(chosen, condition)
        for name in in_order(here["method"]):
            runs = here[here["method"] == name]
            silent = unsaid(ALL_METHODS[name].settings)
            tally = Counter(runs["setting"].map(lambda setting, silent=silent: setting_text(setting, silent)))
            most_first = sorted(tally.items(), key=lambda item: (-item[1], item[0]))
            text = "; ".join(f"{value} ({times}×)" for value, times in most_first)
            places = decimals(runs["valid_value"].abs().median())
            tested = runs["test_value"].mean()
            kind = worst(runs["contamination"])
            facets.append(condition._asdict())
            rows.append(
                [
                    *identity(condition, varying),
                    word(look(name).title),
                    word(text, "long"),
                    count(runs["candidates"].max()),
                    number_cell(fixed(runs["valid_value"].mean(), places), runs["valid_value"].mean()),
                    number_cell(fixed(tested, places) + mark(kind), tested),
                    verdict(kind, runs["seen"].mean(), name),
                ]
            )
    columns = [*(TITLES[name] for name in varying), "Method", "Selected (seeds)"]
    measures = ["#Candidates", "#Validation score", "#Test score", "Provenance"]
    return Table(constant_caption(conditions, varying), [*columns, *measures], rows, facets)


def timings_table(timings: pd.DataFrame) -> Table:
    """Make the table of what each method cost, over everything that was run."""
    rows, facets = [], []
    for (protocol, model), runs in timings.groupby(["protocol", "model"]):
        for name in in_order(runs["method"]):
            fits = runs[runs["method"] == name]
            facet = {"protocol": str(protocol)}
            if name not in WITHOUT_ENCODER:  # a reference is compared with every encoder, so it always stays
                facet["model"] = str(model)
            facets.append(facet)
            wall = fits["wall_seconds"]
            cpu = fits["cpu_seconds"].sum()
            rows.append(
                [
                    word(protocol),
                    word(model),
                    word(look(name).title),
                    count(len(fits)),
                    count((fits["status"] != "ok").sum()),
                    number_cell(duration(wall.median()), wall.median()),
                    number_cell(duration(wall.sum()), wall.sum()),
                    number_cell(duration(cpu), cpu),
                    number_cell(fixed(fits["peak_memory_mb"].max(), 0), fits["peak_memory_mb"].max()),
                    word(", ".join(sorted(set(fits["device"]) - {""}))),
                ]
            )
    measures = ["#Fits", "#Failed", "#Median fit", "#All fits", "#CPU time", "#Peak memory, MB"]
    return Table("", ["Protocol", "Model", "Method", *measures, "Device"], rows, facets)


def mark(kind: str) -> str:
    """Return the mark to put behind a score on molecules that pretraining has seen."""
    return f" {MARKS[kind]}" if kind in MARKS else ""


def verdict(kind: str, seen: float, method: str = "") -> Cell:
    """Say in a cell what pretraining has seen of the test molecules; the worst sorts last."""
    if method in WITHOUT_PRETRAINING:
        return Cell("no pretraining", 0.0)
    part = 0.0 if math.isnan(seen) else seen
    percentage = f" {share(part)}" if part else ""
    return {
        "none": Cell("none found", 1.0),
        "unknown": Cell("not checkable", 2.0, "soft"),
        "structures": Cell(f"{MARKS['structures']} structures{percentage}", 3.0 + part),
        "labels": Cell(f"{MARKS['labels']} labels{percentage or ' suspected'}", 5.0 + part, "flag"),
    }[kind]


def setting_text(setting: str, silent: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Write the hyperparameters of the column `setting` for readers: lam = 0.1, start = 0.5.

    `silent` are defaults that the column leaves out.
    """
    try:
        chosen = {**silent, **json.loads(setting)}
    except json.JSONDecodeError:
        return setting
    return ", ".join(f"{key} = {value}" for key, value in chosen.items()) or "no choice"


def identity_columns(conditions: list[Condition]) -> list[str]:
    """Return the parts of a condition that a table must show: the dataset, and whatever varies."""
    several = {name for name in CONDITION if len({getattr(condition, name) for condition in conditions}) > 1}
    return [name for name in CONDITION if name == "dataset" or name in several]


def identity(condition: Condition, columns: list[str]) -> list[Cell]:
    """Return the cells that identify a condition in a table."""
    shown = {**condition._asdict(), "split": split_title(condition.split).removesuffix(" split")}
    return [
        number_cell(condition.budget, budget_order(condition.budget)) if name == "budget" else word(shown[name])
        for name in columns
    ]


def constant_caption(conditions: list[Condition], varying: list[str]) -> str:
    """Say what is the same in every row."""
    if not conditions:
        return ""
    first = conditions[0]
    words = {
        "protocol": f"{first.protocol} protocol",
        "model": first.model,
        "dataset": first.dataset,
        "split": split_title(first.split),
        "budget": budget_title(first.budget),
    }
    same = [text for name, text in words.items() if name not in varying]
    return f"In all rows: {', '.join(same)}." if same else ""
