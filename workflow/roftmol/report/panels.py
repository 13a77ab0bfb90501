"""What panels say: joint training against single training of each dataset, its settings, what encoders have seen."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from roftmol.figures.cells import CONDITION, Results, budget_title, families_of
from roftmol.figures.style import in_order, look
from roftmol.methods import of_panels, single_of
from roftmol.registry.splits import split_title
from roftmol.report.results import TITLES
from roftmol.report.statistics import TONES, comparisons_table
from roftmol.report.table import Cell, Table, number_cell, share, signed, word
from roftmol.statistics.comparisons import ALL, ALPHA
from roftmol.statistics.crossed import Point, point
from roftmol.statistics.exposed import LEAST
from roftmol.tables.schemas import FAMILY
from roftmol.tasks import metric_title

#: What heads read beside vectors, as columns and sentences say it.
DESCRIBED = {
    "none": "no descriptors",
    "rdkit": "RDKit",
    "gfn2": "GFN2-xTB",
    "both": "RDKit and GFN2-xTB",
    "qw4": "RDKit and QW-MTL's four",
}
#: Where nothing is beyond doubt, so many datasets are named.
FEW = 2
SHARED = (
    "A seed's joint encoder is one for all datasets, and so is its luck: over datasets, interval and test count it "
    "once, by how far the seeds' means lie apart."
)
EXPOSURE_LEAD = (
    "Where each dataset has a split of its own, a molecule that tests one of them may train another, and a joint "
    "encoder has then seen it under another label. A gain on such a split is not transfer alone. The joint split "
    "deals a panel's scaffolds as one, so it has no such molecules."
)


def joint_table(results: Results) -> Table:
    """Make the table of every joint method against its single one, over a family's datasets and on each."""
    table = comparisons_table(replace(results, comparisons=_of_panels(results.comparisons)))
    return replace(table, caption=f"{table.caption} {SHARED}")


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


def crossed_table(results: Results) -> Table:
    """Make the table of weightings by descriptors: how much better each is than the corner, over datasets."""
    table = results.crossed
    varying = [name for name in CONDITION if name in FAMILY and table[name].nunique() > 1]
    groups = [
        (family, method, rows)
        for family, here in families_of(table)
        for method, rows in here.groupby("method", sort=False)
    ]
    points = [list(_points(str(method), rows)) for _, method, rows in groups]
    read = list(dict.fromkeys(one.descriptors for of_group in points for one in of_group))
    rows, facets = [], []
    for (family, method, compared), (corner, *others) in zip(groups, points, strict=True):
        cells = dict(zip(others, map(_entry, compared.to_dict("records")), strict=True))
        cells[corner] = word("reference", "soft")
        for chosen in dict.fromkeys(one.others for one in (corner, *others)):
            who = [*(word(family[name]) for name in varying), word(metric_title(family["metric"]))]
            entries = [cells.get(Point(descriptors, chosen), word("–", "soft")) for descriptors in read]
            rows.append([*who, word(look(str(method)).title), word(_others(chosen)), *entries])
            facets.append({name: family[name] for name in CONDITION if name in family})
    corners = " or ".join(dict.fromkeys(_in_words(corner) for corner, *_ in points))
    caption = (
        f"An entry says by how much a point of the grid is better than {corners}: the mean over datasets, each on the "
        "same test molecules, of all fits, selected or not; positive is better, whichever way the metric runs. Its 95% "
        "interval is over datasets and seeds, and of one entry by itself. An entry is coloured if its test, corrected "
        "for all entries, is significant and the interval does not contain zero."
    )
    columns = [*(TITLES[name] for name in varying), "Metric", "Method", "Weighting"]
    return Table(caption, [*columns, *(f"#{DESCRIBED[name]}" for name in read)], rows, facets)


def crossed(results: Results) -> str:
    """Say which points of a crossed grid differ beyond doubt from the corner; "" where none is crossed."""
    sentences = []
    for family, here in families_of(results.crossed):
        for method, rows in here.groupby("method", sort=False):
            corner, *others = _points(str(method), rows)
            sure = [
                f"{_in_words(one)} is {row['verdict']}, {_size(row)}"
                for one, row in zip(others, rows.to_dict("records"), strict=True)
                if row["verdict"] in ("better", "worse")
            ]
            few = rows[~rows["enough"]]
            if sure:
                said = f"beyond doubt, {'; '.join(sure)}"
            elif len(few):
                n, made = int(few["datasets"].max()), int(few["comparisons"].max())
                said = (
                    f"{n} dataset{' is' if n == 1 else 's are'} too few to say whether anything differs; with {made} "
                    f"comparison{'' if made == 1 else 's'}, that takes {few['smallest_n'].max()} or more"
                )
            else:
                said = "nothing differs beyond doubt"
            where = _where(results.crossed, family)
            sentences.append(f"{look(str(method)).title} against {_in_words(corner)}{where}: {said}.")
    return " ".join(sentences)


def _points(method: str, rows: pd.DataFrame) -> Iterator[Point]:
    """Yield the corner of a crossed grid, then the points of its rows."""
    yield from (point(method, setting) for setting in [rows["reference"].iloc[0], *rows["setting"]])


def _entry(row: Mapping[Hashable, Any]) -> Cell:
    """Return a point's cell: how much better it is, and the interval."""
    return number_cell(_size(row), row["better"] * row["difference"], TONES.get(row["verdict"], ""))


def _size(row: Mapping[Hashable, Any]) -> str:
    """Write how much better a point is, with its interval where there is one."""
    relative = row["scale"] == "relative"
    return _better_by(row, row["relative" if relative else "difference"])


def _better_by(row: Mapping[Hashable, Any], value: float) -> str:
    """Write how much better a value of a row's scale is, with the row's interval where there is one."""
    relative = row["scale"] == "relative"
    factor, unit, places = row["better"] * (100.0 if relative else 1.0), "%" if relative else "", 1 if relative else 3
    low, high = sorted([factor * row["low"], factor * row["high"]])
    interval = "" if math.isnan(low) else f" ({signed(low, places)} to {signed(high, places)}{unit})"
    return f"{signed(factor * value, places)}{unit}{interval}"


def _in_words(one: Point) -> str:
    """Say what a point is, as "learned weighting with RDKit"."""
    described = "without descriptors" if one.descriptors == "none" else f"with {DESCRIBED[one.descriptors]}"
    return f"{_others(one.others)} weighting {described}"


def _others(setting: str) -> str:
    """Write what a point has beside descriptors: the weighting by its name, then what belongs to it."""
    chosen = json.loads(setting)
    weighting = str(chosen.pop("weighting", "")).replace("_", " ")
    return f"{weighting} ({', '.join(f'{name} = {value}' for name, value in chosen.items())})" if chosen else weighting


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


def exposed_table(results: Results) -> Table:
    """Make the table of what joint methods gain on exposed test molecules and on new ones, and of the difference."""
    table = results.exposed
    varying = [name for name in CONDITION if name in FAMILY and table[name].nunique() > 1]
    rows, facets = [], []
    for family, here in families_of(table):
        for (method, reference, dataset), parts in here.groupby(["method", "reference", "dataset"], sort=False):
            of_part = {row["part"]: row for row in parts.to_dict("records")}
            any_part = of_part["excess"]
            n = int(any_part["datasets"])
            if dataset == ALL and n == 1:  # the row of that dataset says the same
                continue
            rows.append(
                [
                    *(word(family[name]) for name in varying),
                    word(metric_title(family["metric"])),
                    word(look(str(method)).title),
                    word(look(str(reference)).title),
                    word(f"all {n}" if dataset == ALL else str(dataset)),
                    number_cell(share(any_part["share"]), any_part["share"]),
                    *(_gain(of_part[part]) for part in ("exposed", "new", "excess", "explained")),
                ]
            )
            facet = {name: family[name] for name in CONDITION if name in family}
            facets.append(facet if dataset == ALL else {**facet, "dataset": str(dataset)})
    columns = [*(TITLES[name] for name in varying), "Metric", "Method", "Against", "Datasets", "#Exposed"]
    caption = (
        f"Test molecules that train another dataset of the panel, and the others, where there are {LEAST} of each, and "
        f"of a classification {LEAST} of the rarer class. Both methods are scored on the same molecules. A gain is "
        "positive if the joint method is better, whichever way the metric runs. “Explained” is the excess times the "
        "share that is exposed: what the gain over all test molecules owes to it. Intervals are 95%, over datasets, "
        "seeds and molecules, of one entry by itself. Exposed molecules are not drawn at random, so an excess may have "
        "other reasons."
    )
    return Table(caption, [*columns, "#Gain on exposed", "#Gain on new", "#Excess", "#Explained"], rows, facets)


def explained(results: Results) -> str:
    """Say of each joint method how much of its gain exposure explains; "" where nothing is exposed."""
    sentences = []
    for family, here in families_of(results.exposed):
        over_all = here[here["dataset"] == ALL]
        for (method, reference), parts in over_all.groupby(["method", "reference"], sort=False):
            of_part = {row["part"]: row for row in parts.to_dict("records")}
            excess = of_part["excess"]
            who = f"{look(str(method)).title} against {look(str(reference)).title}{_where(results.exposed, family)}"
            n = int(excess["datasets"])
            over = f"in the mean over {n} dataset{'' if n == 1 else 's'}"
            told = f"test molecules that train another dataset ({share(excess['share'])})"
            if excess["p_holm"] <= ALPHA:
                exposed, new, part = (_gain(of_part[name]).text for name in ("exposed", "new", "explained"))
                said = f"{told} gain {exposed}, the others {new}, {over}. Exposure explains {part} of the gain"
            else:
                by = _gain(excess).text
                said = f"the gain on {told} and that on the others do not differ beyond doubt: {by}, {over}"
            sentences.append(f"{who}: {said}.")
    return " ".join(sentences)


def _gain(row: Mapping[Hashable, Any]) -> Cell:
    """Return the cell of how much better a joint method is on a part, with the interval."""
    return number_cell(_better_by(row, row["difference"]), row["better"] * row["difference"])


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
    ways: dict[str, list[str]] = {}
    for way, sign in (("better", 1.0), ("worse", -1.0), ("equal", 0.0)):
        if names := [str(row["dataset"]) for row in undecided if np.sign(row["better"] * row["difference"]) == sign]:
            ways[way] = names
    chance = ", which may be chance" if ways.keys() - {"equal"} else ""
    if len(undecided) > FEW:  # the table has them all
        counts = " and ".join(f"{way} on {len(names)}" for way, names in ways.items())
        parts.append(f"the mean is {counts} of {'the other ' if parts else ''}{len(undecided)} datasets{chance}")
    else:
        parts += [f"a{'n' * (way == 'equal')} {way} mean on {', '.join(names)}{chance}" for way, names in ways.items()]
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
