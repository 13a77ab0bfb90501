"""The tables of the statistics: comparisons over datasets, mean ranks, and what so many datasets can show."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from roftmol.figures.cells import CONDITION, Results, budget_title, families_of
from roftmol.figures.style import in_order, look
from roftmol.methods import CONSTANT, FINGERPRINT, FULL_FT, WITHOUT_ENCODER, WITHOUT_PRETRAINING
from roftmol.registry.splits import split_title
from roftmol.report.answers import named
from roftmol.report.results import TITLES
from roftmol.report.table import Cell, Facets, Table, count, decimals, fixed, number_cell, signed, word
from roftmol.statistics import comparisons
from roftmol.tables import schemas
from roftmol.tasks import PRIMARY, metric_title

#: The tones that colour verdicts.
TONES = {"better": "better", "worse": "worse"}


def comparisons_table(results: Results) -> Table:
    """Make the table of every method against full FT and the references, over a family's datasets and on each."""
    table = results.comparisons
    varying = _varying(table)
    rows: list[list[Cell]] = []
    facets: list[Facets] = []
    told: set[tuple[Cell, ...]] = set()
    for family, here in families_of(table):
        for reference in in_order(here["reference"]):
            compared = here[here["reference"] == reference]
            for name in in_order(compared["method"]):
                of_method = compared[compared["method"] == name]
                if (name, reference) == (FINGERPRINT, FULL_FT) and FULL_FT in set(here["method"]):
                    continue  # full FT against the fingerprint is the same pair
                of_references = name in WITHOUT_ENCODER and reference in WITHOUT_ENCODER
                several = of_method["datasets"] > 1  # over one dataset, the row of that dataset says the same
                for row in of_method[(of_method["dataset"] != "all") | several].to_dict("records"):
                    cells = _comparison(row)
                    facet = _facets(results, family, row["dataset"])
                    who = family
                    if of_references:  # one fit beside all models
                        who = {**family, "model": "any"}
                        facet = {key: value for key, value in facet.items() if key != "model"}
                        if (once := (*_family(who, list(schemas.FAMILY)), *cells)) in told:
                            continue
                        told.add(once)
                    facets.append(facet)
                    rows.append([*_family(who, varying), *cells])
    columns = [*(TITLES[name] for name in varying), "Metric", "Method", "Against", "Datasets"]
    measures = ["#Better by", "#95% interval", "Verdict", "#p", "#p, Holm", "Covers"]
    caption = (
        "“Better by” is positive if the method is better than what it is compared with, whichever way the metric runs. "
        "An interval is given where so many datasets or seeds could tell the two apart. A verdict is better or worse "
        "if the test, corrected for all tests of its kind on this page, is significant and the interval does not "
        f"contain zero. It is equivalent if the interval lies within {_regions(table)}. A test that could not be "
        "significant has no p."
    )
    if (table["reference"] == CONSTANT).any():
        caption += (
            " Against the constant predictor, a row of one dataset is about these fits alone: its interval is over the "
            "test molecules."
        )
    return Table(caption, [*columns, *measures], rows, facets)


def _regions(table: pd.DataFrame) -> str:
    """Name the region of practical equivalence of each metric in the table, with its reason."""
    scales = table.drop_duplicates("metric").set_index("metric")["scale"]
    phrases = []
    for name, metric in PRIMARY.items():
        if name in scales.index:
            region = metric.region
            size = f"±{region.size:g}" if scales[name] == "difference" else f"±{100 * region.size:g}%"
            phrases.append(f"{size} for {metric.title} ({region.reason})")
    return "; ".join(phrases)


def ranks_table(results: Results) -> Table:
    """Make the table of mean ranks over datasets, with the letters of the groups that are not told apart."""
    table = results.mean_ranks[results.mean_ranks["datasets"] > 1]  # on one dataset, these are its ranks
    varying = _varying(table)
    rows, facets = [], []
    for family, here in families_of(table):
        for row in here.to_dict("records"):
            facets.append(_facets(results, family, "all"))
            rows.append(
                [
                    *_family(family, varying),
                    word(metric_title(row["metric"])),
                    word(look(row["method"]).title),
                    number_cell(fixed(row["mean_rank"], 2), row["mean_rank"]),
                    count(row["datasets"]),
                    word(row["groups"]) if row["enough"] else word("too few datasets", "soft"),
                    number_cell(_p(row["friedman_p"]), row["friedman_p"]),
                    word(row["note"], "long"),
                ]
            )
    columns = [*(TITLES[name] for name in varying), "Metric", "Method", "#Mean rank", "#Datasets", "Groups"]
    caption = (
        "Ranks of the test scores, averaged over seeds, on the datasets that every method has; ties share a rank. "
        "Methods with a letter in common are not told apart by Wilcoxon's test with Holm's correction for all pairs. "
        "Friedman's p tests all methods at once."
    )
    return Table(caption, [*columns, "#Friedman's p", "Left out"], rows, facets)


@dataclass(frozen=True)
class Claim:
    """A difference of two methods beyond chance."""

    where: str  #: over which datasets or on which one, in words
    method: str
    reference: str
    verdict: str
    compared: int  #: how many methods were compared with the reference there


def claims(results: Results) -> list[Claim]:
    """Return the differences that advice may rest on, corrected over all comparisons of methods.

    They are over the datasets of a family that has several, and on the dataset of a family that has one. Which method
    is better at predicting what cannot be predicted means nothing: the better of the two must be better than the
    constant predictor on one of the datasets.
    """
    table = results.comparisons
    if table.empty:
        return []
    of_methods = table[(comparisons.kinds(table) == "advice") & _once(table)]
    tuned = of_methods[~of_methods["method"].isin(WITHOUT_PRETRAINING)]
    counts = tuned.groupby([*schemas.FAMILY, "dataset", "reference"]).size()
    predicting, with_constant = _predicting(table)
    differences: dict[tuple[str, ...], Claim] = {}
    for row in of_methods[of_methods["verdict"].isin(TONES) & of_methods["enough"]].to_dict("records"):
        family = tuple(row[name] for name in schemas.FAMILY)
        winner = row["method"] if row["verdict"] == "better" else row["reference"]
        if family in with_constant and (family, winner) not in predicting:
            continue
        compared = int(counts.get((*family, row["dataset"], row["reference"]), 0))
        claim = Claim(_where(results, row), row["method"], row["reference"], row["verdict"], compared)
        # Two references are one comparison beside all models, whose places have one name.
        differences.setdefault((claim.where, claim.method, claim.reference), claim)
    return list(differences.values())


def _once(table: pd.DataFrame) -> pd.Series:
    """Return which rows do not repeat another one: full FT and the fingerprint are each other's reference."""
    return ~((table["method"] == FINGERPRINT) & (table["reference"] == FULL_FT))


def _predicting(table: pd.DataFrame) -> tuple[set[tuple[Any, ...]], set[Any]]:
    """Return the pairs of a family and a method that beats the constant predictor, and all families that have it.

    It is enough that the method beats the constant predictor on one dataset of the family.
    """
    against = table[(table["reference"] == CONSTANT) & (table["dataset"] != comparisons.ALL)]
    families = list(against[[*schemas.FAMILY]].itertuples(index=False, name=None))
    rows = zip(families, against["method"], against["verdict"], strict=True)
    better = {(family, method) for family, method, verdict in rows if verdict == "better"}
    return better, set(families)


def _where(results: Results, row: Mapping[Hashable, Any]) -> str:
    """Say where a comparison holds: its datasets, and its value of what else varies in the experiment."""
    over = row["dataset"] == comparisons.ALL
    of_references = row["method"] in WITHOUT_ENCODER and row["reference"] in WITHOUT_ENCODER
    words = {
        "model": "" if of_references else row["model"],
        "split": split_title(row["split"]),
        "budget": budget_title(row["budget"]),
        "protocol": f"{row['protocol']} protocol",
    }
    details = []
    if over and results.comparisons["metric"].nunique() > 1:
        details.append(metric_title(row["metric"]))
    details += [text for name, text in words.items() if text and results.comparisons[name].nunique() > 1]
    datasets = f"over {row['datasets']} datasets" if over else f"on {row['dataset']}"
    return f"{datasets} ({', '.join(details)})" if details else datasets


def beyond_chance(results: Results, differences: Sequence[Claim] | None = None) -> str:
    """Say how many of the comparisons that advice may rest on are beyond chance; "" if none could be."""
    table = results.comparisons
    if table.empty:
        return ""
    counted = table[(comparisons.kinds(table) == "advice") & table["enough"]]
    if counted.empty:
        return ""
    sure = len(claims(results) if differences is None else differences)
    total = int(counted["comparisons"].iloc[0])
    references = " and ".join(named(name) for name in in_order(counted["reference"]))
    datasets = sorted(set(counted["dataset"]) - {comparisons.ALL}, key=str.casefold)
    single = f"on {' and '.join(datasets)}" if len(datasets) < 3 else f"on {len(datasets)} datasets"
    over = (counted["dataset"] == comparisons.ALL).any()
    where = " and ".join([*(["over datasets"] if over else []), *([single] if datasets else [])])
    return (
        f"Of {total} comparison{'' if total == 1 else 's'} with {references} {where}, "
        f"{sure or 'none'} {'shows' if sure < 2 else 'show'} a difference beyond chance."
    )


def power(results: Results) -> list[str]:
    """Say what the experiment is too small to show, and what it would need; nothing if it is large enough."""
    table = results.comparisons
    if table.empty:
        return []
    few = table[(comparisons.kinds(table) == "advice") & ~table["enough"]]
    several = table["metric"].nunique() > 1
    sentences = []
    for (over, metric), rows in few.groupby([few["dataset"] == comparisons.ALL, "metric"], sort=False):
        worst = rows.sort_values("smallest_n").iloc[-1]
        n = int(rows["datasets" if over else "seeds"].max())
        s, are = ("", "is") if n == 1 else ("s", "are")
        if over:
            what = f"{n} dataset{s}" + (f" with {metric_title(str(metric))}" if several else "")
            where = "over datasets in general"
        else:
            what, where = f"{n} repeat{s} (seed{s}) of every fit", "on a dataset"
        made = f"{worst['comparisons']} comparison{'' if worst['comparisons'] == 1 else 's'}"
        sentences.append(
            f"{what} {are} too few to say which method is better {where}. With {made}, that takes "
            f"{worst['smallest_n']} or more."
        )
    return list(dict.fromkeys(sentences))


def _comparison(row: Mapping[Hashable, Any]) -> list[Cell]:
    """Return a comparison's cells, from its metric on."""
    relative = row["scale"] == "relative"
    value, low, high = (float(row[name]) for name in ("relative" if relative else "difference", "low", "high"))
    places = 1 if relative else max(decimals(value), 3)
    factor = row["better"] * (100.0 if relative else 1.0)
    unit = "%" if relative else ""
    low, high = sorted([factor * low, factor * high]) if not math.isnan(low) else (low, high)
    speaks = not math.isnan(low) and (row["enough"] or row["verdict"] == "equivalent")
    text = f"{signed(low, places)} to {signed(high, places)}{unit}" if speaks else ""
    whole = row["dataset"] == "all"
    return [
        word(metric_title(row["metric"])),
        word(look(row["method"]).title),
        word(look(row["reference"]).title),
        word(f"all {row['datasets']}" if whole else row["dataset"], "best" if whole else ""),
        number_cell(f"{signed(factor * value, places)}{unit}", factor * value),
        number_cell(text, high - low if speaks else math.nan),
        _verdict(row),
        *(number_cell(_p(p), p) for p in ((row["p"], row["p_holm"]) if row["enough"] else (math.nan, math.nan))),
        word(row["levels"] or "nothing"),
    ]


def _verdict(row: Mapping[Hashable, Any]) -> Cell:
    if row["enough"] or row["verdict"] == "equivalent":
        return word(row["verdict"], TONES.get(row["verdict"], "soft" if row["verdict"] == "undecided" else ""))
    return word(f"too few {'datasets' if row['dataset'] == comparisons.ALL else 'seeds'}", "soft")


def _p(value: float) -> str:
    return "–" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _varying(table: pd.DataFrame) -> list[str]:
    """Return the parts of a family, besides its metric, that a table must show."""
    return [name for name in CONDITION if name != "dataset" and table[name].nunique() > 1]


def _family(family: Mapping[str, str], varying: list[str]) -> list[Cell]:
    return [word(family[name]) for name in varying]


def _facets(results: Results, family: Mapping[str, str], dataset: str) -> Facets:
    """Return what a row can be filtered by; a row over all datasets stays, whichever of them is chosen."""
    of_family = {name: family[name] for name in CONDITION if name in family}
    if dataset != "all":
        return {**of_family, "dataset": dataset}
    return {**of_family, "dataset": sorted({condition.dataset for condition in results.conditions_in(family)})}
