"""What the page says of a condition: the best means, what differs beyond doubt, whether its labels can be predicted.

Means are shown as they are. That one mean is larger is a finding only if a corrected comparison says so. The stage
`statistics` makes these comparisons over the whole experiment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from roftmol.evaluation.contamination import worst
from roftmol.figures.cells import MARKS, Compared, Condition, Results, rows_of
from roftmol.figures.style import in_order, look
from roftmol.methods import (
    BASELINES,
    COMPARED,
    CONSTANT,
    FINGERPRINT,
    FULL_FT,
    METHODS,
    WITHOUT_ENCODER,
    WITHOUT_PRETRAINING,
)
from roftmol.report.table import decimals, fixed, share, spread
from roftmol.tasks import metric_title

#: How a sentence names the references that methods are compared with.
NAMES = {name: METHODS[name].phrase or METHODS[name].title for name in COMPARED}


def named(reference: str) -> str:
    """Return how a sentence names a method that others are compared with."""
    return NAMES.get(reference) or look(reference).title


#: What follows the difference in a sentence, by the comparison's verdict.
VERDICTS = {
    "better": ", beyond doubt",
    "worse": ", beyond doubt",
    "equivalent": ", practically equal",
    "undecided": ", which may be chance",
    "few": ", too few seeds to tell",
}


@dataclass(frozen=True)
class Comparison:
    """A method against a reference, over the seeds that both have: the mean gain, positive if better, and its spread.

    `verdict` is that of the corrected comparison, or "few" if the seeds are too few to show anything.
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
        return direction + VERDICTS[self.verdict]


@dataclass(frozen=True)
class MeanScore:
    """A method's mean test score, and R2 if that is defined."""

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
    """The outcome of one condition."""

    condition: Condition
    metric: str
    better: int  #: 1 if higher is better, -1 if lower is
    best: MeanScore | None  #: the best mean of all methods that have every seed
    tuned: MeanScore | None  #: the best mean of the fine-tuning methods among them
    versus: dict[str, Comparison]  #: `tuned` against each reference, by its name in a sentence
    best_versus: dict[str, Comparison]  #: the same of `best`
    reference: MeanScore | None  #: the best mean of the references without an encoder
    over_reference: Comparison | None  #: `tuned` against it, which is not tested but where it is in `versus`
    predictable: bool | None  #: whether a method beats the mean label beyond doubt; None if that was not compared
    predicts: tuple[str, ...]  #: the methods that do
    below: tuple[str, ...]  #: the methods whose mean score is worse than that of the mean label
    beyond: tuple[str, ...]  #: the differences of methods beyond doubt, in words
    enough: bool  #: whether there are seeds enough for any such difference to be significant
    methods: int  #: how many methods have a score
    scores: frozenset[tuple[str, ...]]  #: what has a mean score, by condition and method; a reference's without a model
    scores_below: frozenset[tuple[str, ...]]  #: those of them that are worse than the mean label's
    incomplete: tuple[str, ...]  #: the methods with fewer seeds than others, which are neither `best` nor `tuned`
    left_out: tuple[str, ...]  #: the methods left out for what pretraining has seen
    seen: str  #: what pretraining has seen of the others' test molecules
    oracle: bool  #: whether hyperparameters were selected on the test molecules


def compare(
    results: Results, condition: Condition, method: str, reference: str, better: int, places: int = 3
) -> Comparison:
    """Compare two methods of one condition by their test scores, paired by seed."""
    values = results.by_seed(condition).reindex(columns=[method, reference])
    gain = (better * (values.iloc[:, 0] - values.iloc[:, 1])).dropna()
    corrected = results.compared.get((*condition, method, reference))
    verdict = corrected.verdict_or_few if corrected else "undecided"
    return Comparison(float(gain.mean()), float(gain.std()), len(gain), places, verdict)


def answers(results: Results, left_out: pd.DataFrame) -> list[Answer]:
    """Return the answer of every condition, in reading order; `left_out` is the table of that name."""
    return [_answer(condition, results, rows_of(left_out, condition)) for condition in results.conditions]


def _answer(condition: Condition, results: Results, left_out: pd.DataFrame) -> Answer:
    cells = rows_of(results.cells, condition).set_index("method")
    runs = rows_of(results.runs, condition)
    better = int(cells["better"].iloc[0])
    places = decimals(cells["mean"].abs().median())
    whole = cells[(cells["seeds"] == cells["seeds"].max()) & cells["mean"].notna()]
    ranked = (whole["mean"] * better).sort_values(ascending=False, kind="stable").index
    tuned = [name for name in ranked if name not in WITHOUT_PRETRAINING]
    references = [name for name in ranked if name in WITHOUT_ENCODER and name != CONSTANT]

    def first(names: Sequence[str]) -> MeanScore | None:
        if not len(names):
            return None
        mean, std, seeds, r2 = (cells[column][names[0]] for column in ("mean", "std", "seeds", "r2"))
        return MeanScore(names[0], spread(mean, std, places), int(seeds), "" if math.isnan(r2) else fixed(r2, 2))

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
        best=first(ranked),
        tuned=first(tuned),
        versus=versus(tuned),
        best_versus=versus(list(ranked)),
        reference=first(references),
        over_reference=(
            compare(results, condition, tuned[0], references[0], better, places) if tuned and references else None
        ),
        predictable=bool(predicts) if against else None,
        predicts=tuple(look(name).title for name in predicts),
        below=tuple(look(name).title for name in in_order(below)),
        beyond=tuple(_beyond(methods)),
        enough=any(row.enough for row in methods),
        methods=int(cells["mean"].notna().sum()),
        scores=_scores(condition, cells.index[cells["mean"].notna()].drop(CONSTANT, errors="ignore")),
        scores_below=_scores(condition, below),
        incomplete=tuple(
            f"{look(name).title} ({cells['seeds'][name]} of {cells['seeds'].max()} seeds, mean "
            f"{fixed(cells['mean'][name], places)})"
            for name in in_order(cells.index.difference(whole.index))
        ),
        left_out=tuple(look(name).title for name in in_order(left_out["method"])),
        seen=_seen(condition, cells),
        oracle="oracle" in set(runs["rule"]),
    )


def _scores(condition: Condition, methods: Iterable[str]) -> frozenset[tuple[str, ...]]:
    """Return a key of each method's score that a reference, which is one fit beside all models, has once."""
    shared = condition._replace(model="")
    return frozenset((*(shared if name in WITHOUT_ENCODER else condition), name) for name in methods)


def _beyond(compared: Sequence[Compared]) -> list[str]:
    """Say what differs beyond doubt in a condition, in a phrase for each reference and direction."""
    phrases = []
    for reference in dict.fromkeys(row.reference for row in compared):
        for verdict in ("better", "worse"):
            methods = {row.method for row in compared if (row.reference, row.verdict) == (reference, verdict)}
            if reference == FULL_FT:
                methods -= {FINGERPRINT}  # full FT and the fingerprint are each other's reference: once is enough
            if methods:
                titles = ", ".join(look(name).title for name in in_order(methods))
                phrases.append(f"{verdict} than {named(reference)}: {titles}")
    return phrases


def _seen(condition: Condition, cells: pd.DataFrame) -> str:
    """Say what pretraining has seen of the test molecules; "" if nothing is known of it."""
    kind = worst(cells["contamination"])
    part = cells["seen"].max()
    if kind == "labels" and not part > 0:
        return f"{MARKS[kind]} Pretraining is suspected to have learnt labels of {condition.dataset}."
    learnt = {"structures": "without labels", "labels": "with labels"}.get(kind)
    return f"{MARKS[kind]} Pretraining saw {share(part)} of the test molecules, {learnt}." if learnt else ""
