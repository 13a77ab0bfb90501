"""What is known of a condition: the best means, what differs beyond doubt, and whether the labels can be predicted.

Means are told as they are. That one is larger is a finding only where the corrected comparisons of the statistics say
so, which the stage `statistics` makes over the whole experiment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from roftmol.evaluation.contamination import worst
from roftmol.figures.cells import MARKS, Compared, Condition, Results, rows_of
from roftmol.figures.style import in_order, look
from roftmol.methods import BASELINES, COMPARED, CONSTANT, FINGERPRINT, FULL_FT, METHODS, WITHOUT_PRETRAINING
from roftmol.report.table import decimals, fixed, share, spread
from roftmol.tasks import metric_title

#: What methods are compared with, as a sentence names it.
NAMES = {name: METHODS[name].phrase or METHODS[name].title for name in COMPARED}
#: How a comparison stands, after the difference in a sentence's words.
STANDINGS = {
    "better": ", beyond doubt",
    "worse": ", beyond doubt",
    "equivalent": ", practically equal",
    "undecided": ", which may be chance",
    "few": ", too few seeds to tell",
}


@dataclass(frozen=True)
class Comparison:
    """A method against a reference over the seeds both have: the mean gain, positive if better, and its spread.

    `verdict` is that of the corrected comparison, or "few" where so few seeds could show nothing.
    """

    gain: float
    std: float
    seeds: int
    places: int
    verdict: str = "undecided"

    @property
    def words(self) -> str:
        """The difference in a sentence's words."""
        if self.seeds == 0:
            return "no seed in common"
        amount = spread(abs(self.gain), self.std, self.places)
        direction = "equal" if self.gain == 0 else f"{amount} {'better' if self.gain > 0 else 'worse'}"
        return direction + STANDINGS[self.verdict]


@dataclass(frozen=True)
class Standing:
    """A method's mean test score, and R2 where that is defined."""

    method: str
    score: str
    seeds: int
    r2: str = ""

    @property
    def title(self) -> str:
        """The method's title."""
        return look(self.method).title


@dataclass(frozen=True)
class Answer:
    """The outcome of one condition.

    `best` has the best mean of all, `tuned` that of the fine-tuning methods; both are None without any score. `versus`
    compares `tuned` with each reference, by its name in a sentence; `best_versus` compares `best`. `predictable` says
    whether a method predicts better than the mean label beyond doubt, None where that was not compared; `predicts` are
    those that do. Of so many `methods` with a score, `below` have a worse mean than it. `beyond` are the corrected
    differences of methods; `told` says whether any could have been significant. Methods with fewer seeds than others
    compete for neither and are listed in `incomplete`; `left_out` are those that are left out for what pretraining has
    seen, and `seen` says what it has seen of the others' test molecules.
    """

    condition: Condition
    metric: str
    better: int
    best: Standing | None
    tuned: Standing | None
    versus: dict[str, Comparison]
    best_versus: dict[str, Comparison]
    predictable: bool | None
    predicts: tuple[str, ...]
    below: tuple[str, ...]
    beyond: tuple[str, ...]
    told: bool
    methods: int
    incomplete: tuple[str, ...]
    left_out: tuple[str, ...]
    seen: str
    oracle: bool


def compare(
    results: Results, condition: Condition, method: str, reference: str, better: int, places: int = 3
) -> Comparison:
    """Compare two methods of one condition by their test scores, paired by seed."""
    values = results.by_seed(condition).reindex(columns=[method, reference])
    gain = (better * (values.iloc[:, 0] - values.iloc[:, 1])).dropna()
    said = results.compared.get((*condition, method, reference))
    return Comparison(float(gain.mean()), float(gain.std()), len(gain), places, said.standing if said else "undecided")


def answers(results: Results, left_out: pd.DataFrame) -> list[Answer]:
    """The answer of every condition, in reading order; `left_out` is the table of that name."""
    return [_answer(condition, results, rows_of(left_out, condition)) for condition in results.conditions]


def _answer(condition: Condition, results: Results, left_out: pd.DataFrame) -> Answer:
    cells = rows_of(results.cells, condition).set_index("method")
    runs = rows_of(results.runs, condition)
    better = int(cells["better"].iloc[0])
    places = decimals(cells["mean"].abs().median())
    whole = cells[(cells["seeds"] == cells["seeds"].max()) & cells["mean"].notna()]
    ranked = (whole["mean"] * better).sort_values(ascending=False, kind="stable").index
    tuned = [name for name in ranked if name not in WITHOUT_PRETRAINING]

    def standing(names: Sequence[str]) -> Standing | None:
        if not len(names):
            return None
        mean, std, seeds, r2 = (cells[column][names[0]] for column in ("mean", "std", "seeds", "r2"))
        return Standing(names[0], spread(mean, std, places), int(seeds), "" if math.isnan(r2) else fixed(r2, 2))

    def versus(names: Sequence[str]) -> dict[str, Comparison]:
        others = [name for name in BASELINES if name in cells.index and [name] != list(names[:1])]
        if not len(names):
            return {}
        return {NAMES[name]: compare(results, condition, names[0], name, better, places) for name in others}

    compared = results.compared_in(condition)
    against = [row for row in compared if row.reference == CONSTANT]
    predicts = in_order(row.method for row in against if row.verdict == "better")
    methods = [row for row in compared if row.reference != CONSTANT]
    mean = cells["mean"].get(CONSTANT, math.nan)
    below = cells.index[better * (cells["mean"] - mean) < 0]
    return Answer(
        condition=condition,
        metric=metric_title(cells["metric"].iloc[0]),
        better=better,
        best=standing(ranked),
        tuned=standing(tuned),
        versus=versus(tuned),
        best_versus=versus(list(ranked)),
        predictable=bool(predicts) if against else None,
        predicts=tuple(look(name).title for name in predicts),
        below=tuple(look(name).title for name in in_order(below)),
        beyond=tuple(_beyond(methods)),
        told=any(row.enough for row in methods),
        methods=int(cells["mean"].notna().sum()),
        incomplete=tuple(
            f"{look(name).title} ({cells['seeds'][name]} of {cells['seeds'].max()} seeds, mean "
            f"{fixed(cells['mean'][name], places)})"
            for name in in_order(cells.index.difference(whole.index))
        ),
        left_out=tuple(look(name).title for name in in_order(left_out["method"])),
        seen=_seen(condition, cells),
        oracle="oracle" in set(runs["rule"]),
    )


def _beyond(compared: Sequence[Compared]) -> list[str]:
    """What differs beyond doubt in a condition, in words: a phrase a reference and direction."""
    said = []
    for reference in dict.fromkeys(row.reference for row in compared):
        for verdict in ("better", "worse"):
            own = [row.method for row in compared if (row.reference, row.verdict) == (reference, verdict)]
            # full FT and the fingerprint are each other's reference: once is enough
            own = [name for name in own if (reference, name) != (FULL_FT, FINGERPRINT)]
            if own:
                said.append(f"{verdict} than {NAMES[reference]}: {', '.join(look(n).title for n in in_order(own))}")
    return said


def _seen(condition: Condition, cells: pd.DataFrame) -> str:
    """What pretraining has seen of the test molecules, "" where nothing is known of it."""
    kind, part = worst(cells["contamination"]), cells["seen"].max()
    if kind == "labels" and not part > 0:
        return f"{MARKS[kind]} Pretraining is suspected to have learnt labels of {condition.dataset}."
    learnt = {"structures": "without labels", "labels": "with labels"}.get(kind)
    return f"{MARKS[kind]} Pretraining saw {share(part)} of the test molecules, {learnt}." if learnt else ""
