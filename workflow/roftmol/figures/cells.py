"""The cells of the benchmark as figures and report see them: a condition, and the methods compared in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from roftmol.evaluation.contamination import worst
from roftmol.methods import BASELINES, CONSTANT, WITHOUT_ENCODER
from roftmol.registry.splits import SPLITS, split_title
from roftmol.tables import schemas

#: Methods are compared within a condition; references without an encoder are compared with the methods of every model.
CONDITION = list(schemas.CONDITION)
#: A family of the statistics, with its rows of one of their tables.
Family = tuple[dict[str, str], pd.DataFrame]
#: The mark behind a dataset's name if pretraining has seen test molecules, and what it means.
MARKS = {"structures": "†", "labels": "‡"}
MARK_LINES = {
    "structures": "† pretraining saw some of these test molecules, without labels.",
    "labels": "‡ pretraining saw some of these test molecules with labels, or is suspected to have.",
}


class Condition(NamedTuple):
    """What methods are compared within."""

    protocol: str
    model: str
    dataset: str
    split: str
    budget: str

    @property
    def title(self) -> str:
        """Data, split and budget in words."""
        return f"{self.dataset}, {self.split_and_budget}"

    @property
    def split_and_budget(self) -> str:
        """Split and budget in words."""
        return f"{split_title(self.split)}, {budget_title(self.budget)}"


def budget_title(budget: str) -> str:
    """Name a budget in words."""
    return "all labels" if budget == "all" else f"{budget} labels"


def budget_order(budget: str) -> float:
    """Return the key that sorts budgets by size, "all" last."""
    return float(budget) if budget.isdigit() else float("inf")


def condition_order(condition: Condition) -> tuple[object, ...]:
    """Return the key that sorts conditions by protocol and model, then by dataset, split and budget."""
    splits = list(SPLITS)
    split = splits.index(condition.split) if condition.split in SPLITS else len(splits)
    budget = budget_order(condition.budget)
    return (
        condition.protocol,
        condition.model,
        condition.dataset.casefold(),
        split,
        condition.split,
        budget,
        condition,
    )


def with_references(frame: pd.DataFrame) -> pd.DataFrame:
    """Repeat the rows of references without an encoder for every model that has the condition otherwise."""
    shared = frame["method"].isin(WITHOUT_ENCODER)
    models = frame.loc[~shared, CONDITION].drop_duplicates()
    joined = models.merge(frame[shared].rename(columns={"model": "own_model"}), how="right")
    joined["model"] = joined["model"].fillna(joined.pop("own_model"))
    return pd.concat([frame[~shared], joined[frame.columns]], ignore_index=True)


@dataclass(frozen=True)
class Diagnostics:
    """The tables of what lies behind the mean score, with the references' rows beside every model."""

    shift: pd.DataFrame = field(default_factory=partial(schemas.empty, "shift"))
    cliffs: pd.DataFrame = field(default_factory=partial(schemas.empty, "cliffs"))
    calibration: pd.DataFrame = field(default_factory=partial(schemas.empty, "calibration"))
    reliability: pd.DataFrame = field(default_factory=partial(schemas.empty, "reliability"))
    similarity: pd.DataFrame = field(default_factory=partial(schemas.empty, "similarity"))
    collapse: pd.DataFrame = field(default_factory=partial(schemas.empty, "collapse"))

    @classmethod
    def read(cls, tables: Path) -> Diagnostics:
        """Read the tables; raises `UserError` if one is missing or of another version."""
        names = ("shift", "cliffs", "calibration", "reliability", "similarity")
        of_cells = {name: with_references(schemas.read(name, tables / f"{name}.parquet")) for name in names}
        return cls(**of_cells, collapse=schemas.read("collapse", tables / "collapse.parquet"))


class Compared(NamedTuple):
    """A corrected comparison of two methods in one condition."""

    method: str
    reference: str
    verdict: str
    enough: bool  #: whether it could have been significant at all

    @property
    def verdict_or_few(self) -> str:
        """The verdict, or "few" if the seeds are too few to show anything."""
        return self.verdict if self.enough or self.verdict == "equivalent" else "few"

    @property
    def winner(self) -> str:
        """The better of the two, "" if that is not known."""
        return {"better": self.method, "worse": self.reference}.get(self.verdict, "")


@dataclass(frozen=True)
class Results:
    """The tables that figures are drawn from, as read."""

    summary: pd.DataFrame
    selected: pd.DataFrame
    alphas: pd.DataFrame
    coefficients: pd.DataFrame
    changes: pd.DataFrame = field(default_factory=partial(schemas.empty, "changes"))
    loss_weights: pd.DataFrame = field(default_factory=partial(schemas.empty, "loss_weights"))
    paths: pd.DataFrame = field(default_factory=partial(schemas.empty, "paths"))
    planes: pd.DataFrame = field(default_factory=partial(schemas.empty, "planes"))
    embeddings: pd.DataFrame = field(default_factory=partial(schemas.empty, "embeddings"))
    tsne: pd.DataFrame = field(default_factory=partial(schemas.empty, "tsne"))
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    comparisons: pd.DataFrame = field(default_factory=partial(schemas.empty, "comparisons"))
    mean_ranks: pd.DataFrame = field(default_factory=partial(schemas.empty, "mean_ranks"))
    pairs: pd.DataFrame = field(default_factory=partial(schemas.empty, "pairs"))
    crossed: pd.DataFrame = field(default_factory=partial(schemas.empty, "crossed"))
    exposed: pd.DataFrame = field(default_factory=partial(schemas.empty, "exposed"))

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The summary with the references beside every model, and `place`: the rank by mean, 1 for the best."""
        cells = with_references(self.summary)
        cells["place"] = (
            (cells["mean"] * cells["better"])
            .groupby([cells[name] for name in CONDITION])
            .rank(method="min", ascending=False)
        )
        return cells

    @cached_property
    def runs(self) -> pd.DataFrame:
        """The selected runs, one row a method and seed, with the references beside every model."""
        return with_references(self.selected)

    def by_seed(self, condition: Condition) -> pd.DataFrame:
        """Return the test scores of a condition, seeds x methods."""
        if condition not in self._pivoted:
            runs = rows_of(self.runs, condition)
            self._pivoted[condition] = runs.pivot(index="seed", columns="method", values="test_value")
        return self._pivoted[condition]

    @cached_property
    def _pivoted(self) -> dict[Condition, pd.DataFrame]:
        return {}

    @cached_property
    def compared(self) -> dict[tuple[str, ...], Compared]:
        """The comparisons on one dataset, by the parts of the condition, the method and the reference.

        Which method is better at predicting what cannot be predicted is not a finding. So the better of the two must be
        better than the constant predictor there, if that was run; otherwise the verdict is "undecided".
        """
        table = self.comparisons[self.comparisons["dataset"] != "all"]
        columns = [table[name].tolist() for name in (*CONDITION, "method", "reference")]
        rows = zip(*columns, table["verdict"].tolist(), table["enough"].tolist(), strict=True)
        compared = {tuple(row[:-2]): Compared(*row[-4:]) for row in rows}
        against_constant = {key: row.verdict for key, row in compared.items() if row.reference == CONSTANT}
        with_constant = {key[: len(CONDITION)] for key in against_constant}
        for key, row in compared.items():
            condition = key[: len(CONDITION)]
            if row.reference == CONSTANT or not row.winner or condition not in with_constant:
                continue
            if against_constant.get((*condition, row.winner, CONSTANT)) != "better":
                compared[key] = row._replace(verdict="undecided")
        return compared

    def compared_in(self, condition: Condition) -> list[Compared]:
        """Return the comparisons in a condition."""
        return self._by_condition.get(condition, [])

    @cached_property
    def _by_condition(self) -> dict[tuple[str, ...], list[Compared]]:
        by_condition: dict[tuple[str, ...], list[Compared]] = {}
        for key, compared in self.compared.items():
            by_condition.setdefault(key[: len(CONDITION)], []).append(compared)
        return by_condition

    def conditions_in(self, family: Mapping[str, str]) -> list[Condition]:
        """Return the conditions of a family of the statistics: one a dataset with its metric."""
        cells = self.cells[self.cells["metric"] == family["metric"]]
        return [
            condition
            for condition in conditions_of(cells)
            if all(getattr(condition, name) == family[name] for name in CONDITION if name in family)
        ]

    def conditions_of_families(self, families: Iterable[Family]) -> list[Condition]:
        """Return the conditions of several families, one family after the other."""
        return [condition for family, _ in families for condition in self.conditions_in(family)]

    @cached_property
    def conditions(self) -> list[Condition]:
        """Every condition in reading order."""
        return conditions_of(self.cells)

    def emphasised(self, condition: Condition) -> list[str]:
        """Return full FT, the fingerprint and the best by mean of all others: what a figure draws in colour."""
        cells = rows_of(self.cells, condition).sort_values("place", kind="stable")
        others = cells.loc[~cells["method"].isin(BASELINES) & cells["place"].notna(), "method"]
        return [*(name for name in BASELINES if name in set(cells["method"])), *others.head(1)]

    def mark(self, *conditions: Condition) -> str:
        """Return the mark of what pretraining has seen of the conditions' test molecules; "" if nothing is known."""
        kinds = [kind for condition in conditions for kind in rows_of(self.summary, condition)["contamination"]]
        return MARKS.get(worst(kinds), "") if kinds else ""

    def title(self, condition: Condition) -> str:
        """Name a condition by dataset, mark, split and budget."""
        return f"{condition.dataset}{self.mark(condition)}, {condition.split_and_budget}"

    def mark_lines(self, conditions: Iterable[Condition]) -> str:
        """Say what the marks of these conditions mean, to end a caption with."""
        marks = {self.mark(condition) for condition in conditions}
        return "".join(f" {MARK_LINES[kind]}" for kind, mark in MARKS.items() if mark in marks)

    def groups(self, table: pd.DataFrame | None = None) -> Iterator[tuple[str, str, list[Condition]]]:
        """Return the groups that share a figure, of all conditions or of those that a table has too."""
        if table is None:
            return groups_of(self.conditions)
        having = set(conditions_of(table))
        return groups_of([condition for condition in self.conditions if condition in having])


def families_of(table: pd.DataFrame) -> Iterator[Family]:
    """Yield the families of a table of the statistics in reading order, each with its rows."""

    def order(family: Family) -> tuple[object, ...]:
        name, _ = family
        return name["protocol"], name["model"], name["split"], budget_order(name["budget"]), name["metric"]

    families = [
        (dict(zip(schemas.FAMILY, map(str, key), strict=True)), rows) for key, rows in table.groupby([*schemas.FAMILY])
    ]
    yield from sorted(families, key=order)


def family_groups(table: pd.DataFrame) -> Iterator[tuple[str, str, list[Family]]]:
    """Yield what shares a figure of a table of the statistics: protocol, model, and their families with their rows."""
    for (protocol, model), rows in table.groupby(["protocol", "model"]):
        yield str(protocol), str(model), list(families_of(rows))


def family_title(family: Mapping[str, str]) -> str:
    """Name a family by its split and budget."""
    return f"{split_title(family['split'])}, {budget_title(family['budget'])}"


def groups_of(conditions: Sequence[Condition]) -> Iterator[tuple[str, str, list[Condition]]]:
    """Yield what shares a figure: protocol, model, and their conditions."""
    for protocol, model in dict.fromkeys((condition.protocol, condition.model) for condition in conditions):
        yield protocol, model, [one for one in conditions if (one.protocol, one.model) == (protocol, model)]


def conditions_of(frame: pd.DataFrame) -> list[Condition]:
    """Return the distinct conditions of a table in reading order."""
    rows = frame[CONDITION].drop_duplicates().itertuples(index=False)
    return sorted((Condition(*row) for row in rows), key=condition_order)


def facets_of(conditions: Iterable[Condition]) -> dict[str, list[str]]:
    """Return the distinct values of each part of these conditions, in their order: what a reader can filter by."""
    conditions = list(conditions)
    return {name: list(dict.fromkeys(getattr(condition, name) for condition in conditions)) for name in CONDITION}


def rows_of(frame: pd.DataFrame, condition: Condition) -> pd.DataFrame:
    """Return the rows of one condition."""
    chosen = np.ones(len(frame), bool)
    for name, value in zip(CONDITION, condition, strict=True):
        chosen &= (frame[name] == value).to_numpy(bool)
    return frame[chosen]
