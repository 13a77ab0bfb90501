"""The tables of the statistics: comparisons over data sets, mean ranks, and what the number of data sets allows."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from roftmol.figures.cells import SETTING, Results, families_of, family_title
from roftmol.figures.style import METRICS, in_order, look
from roftmol.layout import FINGERPRINT, FULL_FT
from roftmol.report.answers import REFERENCES
from roftmol.report.results import TITLES
from roftmol.report.table import Cell, Facets, Table, count, decimals, fixed, number_cell, signed, word
from roftmol.statistics.comparisons import EQUIVALENT

#: How a verdict is coloured.
TONES = {"better": "better", "worse": "worse"}
#: So many better methods are named where there are not more.
NAMED = 4


def comparisons_table(results: Results) -> Table:
    """Every method against full FT and the fingerprint baseline, over all data sets of a family and on each."""
    table = results.comparisons
    varying = _varying(table)
    rows: list[list[Cell]] = []
    facets: list[Facets] = []
    for family, here in families_of(table):
        for reference in in_order(here["reference"]):
            compared = here[here["reference"] == reference]
            for name in in_order(compared["method"]):
                own = compared[compared["method"] == name]
                for row in own[(own["dataset"] != "all") | (own["datasets"] > 1)].to_dict("records"):
                    facets.append(_facets(results, family, row["dataset"]))
                    rows.append([*_family(family, varying), *_comparison(row)])
    columns = [*(TITLES[name] for name in varying), "Metric", "Method", "Against", "Datasets"]
    measures = ["#Difference", "#95% interval", "Verdict", "#p", "#p, Holm", "Covers"]
    regions = "; ".join(
        f"±{region.size:g} for {METRICS[metric]} ({region.reason})"
        if table.loc[table["metric"] == metric, "scale"].iloc[0] == "difference"
        else f"±{100 * region.size:g}% for {METRICS[metric]} ({region.reason})"
        for metric, region in EQUIVALENT.items()
        if (table["metric"] == metric).any()
    )
    caption = (
        "Verdicts are on the method against its reference: better or worse where the corrected test "
        f"is significant and the interval excludes no difference, equivalent where the interval lies within "
        f"{regions}."
    )
    return Table(caption, [*columns, *measures], rows, facets)


def ranks_table(results: Results) -> Table:
    """Mean ranks over data sets, with the letters of the groups that are not told apart."""
    table = results.mean_ranks
    varying = _varying(table)
    rows, facets = [], []
    for family, here in families_of(table):
        for row in here.to_dict("records"):
            facets.append(_facets(results, family, "all"))
            rows.append(
                [
                    *_family(family, varying),
                    word(METRICS.get(row["metric"], row["metric"])),
                    word(look(row["method"]).title),
                    number_cell(fixed(row["mean_rank"], 2), row["mean_rank"]),
                    count(row["datasets"]),
                    word(row["groups"]),
                    number_cell(_p(row["friedman_p"]), row["friedman_p"]),
                    word(row["note"], "long"),
                ]
            )
    columns = [*(TITLES[name] for name in varying), "Metric", "Method", "#Mean rank", "#Datasets", "Groups"]
    caption = (
        "Ranks of the test scores, averaged over seeds, on the data sets that every method has; ties share a rank. "
        "Methods with a letter in common are not told apart by Wilcoxon's test with Holm's correction for all pairs. "
        "Friedman's p is for all methods at once."
    )
    return Table(caption, [*columns, "#Friedman's p", "Left out"], rows, facets)


def beyond_chance(results: Results) -> str:
    """How many differences from the fingerprint baseline (full FT where that was not run) chance does not explain."""
    table = results.comparisons[results.comparisons["dataset"] != "all"]
    reference = FINGERPRINT if FINGERPRINT in set(table["reference"]) else FULL_FT
    table = table[(table["reference"] == reference) & ~table["method"].isin([*REFERENCES])]
    if table.empty:
        return ""
    title, total = REFERENCES.get(reference, "full FT"), len(table)
    better, worse = (table[table["verdict"] == verdict] for verdict in TONES)
    told = f"Corrected for multiple comparisons, {{}} of {total} differences from {title} {{}} beyond chance"
    if not (sure := len(better) + len(worse)):
        return f"{told.format('none', 'is')}."
    pairs = zip(better["method"], better["dataset"], strict=True)
    names = dict.fromkeys(f"{look(method).title} on {dataset}" for method, dataset in pairs)
    listed = f" ({', '.join(names)})" if 0 < len(names) <= NAMED else ""
    counted = f"{len(better)} for the fine-tuned model{listed}, {len(worse)} against it."
    return f"{told.format(sure, 'are' if sure > 1 else 'is')}: {counted}"


def power(results: Results) -> str:
    """For each family with too few data sets, how many a significant difference would take."""
    table = results.comparisons
    said = []
    for family, here in families_of(table[table["dataset"] == "all"]):
        few = here[~here["enough"]]
        if few.empty:
            continue
        most = few.sort_values("comparisons").iloc[-1]
        metric = METRICS.get(family["metric"], family["metric"])
        n = int(few["datasets"].max())
        said.append(
            (
                (n, int(most["comparisons"]), int(most["smallest_n"])),
                f"{metric}, {family_title(family)}",
            )
        )
    # families of several models with the same numbers are one sentence
    return " ".join(
        f"{'; '.join(dict.fromkeys(where for key, where in said if key == numbers))}: with {numbers[0]} "
        f"data set{'s' if numbers[0] > 1 else ''} no test of {numbers[1]} comparisons can reach significance; at least "
        f"{numbers[2]} are needed."
        for numbers in dict.fromkeys(key for key, _ in said)
    )


def _comparison(row: Mapping[Hashable, Any]) -> list[Cell]:
    """A comparison's cells from its metric on."""
    relative = row["scale"] == "relative"
    value, low, high = (float(row[name]) for name in ("relative" if relative else "difference", "low", "high"))
    places = 1 if relative else max(decimals(value), 3)
    factor, unit = (100.0, "%") if relative else (1.0, "")
    text = "–" if math.isnan(low) else f"{signed(factor * low, places)} to {signed(factor * high, places)}{unit}"
    whole = row["dataset"] == "all"
    return [
        word(METRICS.get(row["metric"], row["metric"])),
        word(look(row["method"]).title),
        word(look(row["reference"]).title),
        word(f"all {row['datasets']}" if whole else row["dataset"], "best" if whole else ""),
        number_cell(f"{signed(factor * value, places)}{unit}", value),
        number_cell(text, high - low),
        word(row["verdict"], TONES.get(row["verdict"], "soft" if row["verdict"] == "undecided" else "")),
        number_cell(_p(row["p"]), row["p"]),
        number_cell(_p(row["p_holm"]), row["p_holm"]),
        word(row["levels"] or "nothing"),
    ]


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _varying(table: pd.DataFrame) -> list[str]:
    """The parts of a family, besides its metric, that a table must show."""
    return [name for name in SETTING if name != "dataset" and table[name].nunique() > 1]


def _family(family: Mapping[str, str], varying: list[str]) -> list[Cell]:
    return [word(family[name], "wrap" if name == "model" else "") for name in varying]


def _facets(results: Results, family: Mapping[str, str], dataset: str) -> Facets:
    """What a row can be filtered by; one over all data sets stays whichever is chosen of them."""
    own = {name: family[name] for name in SETTING if name in family}
    if dataset != "all":
        return {**own, "dataset": dataset}
    return {**own, "dataset": sorted({setting.dataset for setting in results.settings_in(family)})}
