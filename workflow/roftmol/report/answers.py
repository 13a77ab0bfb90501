"""Which method won a setting, and whether its lead over the references is larger than the spread of the seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from roftmol.contamination import worst
from roftmol.figures.cells import MARKS, Results, Setting, rows_of
from roftmol.figures.style import METRICS, in_order, look
from roftmol.report.table import decimals, fixed, share, spread

#: Points of reference, which may be best but are no way of fine-tuning a pretrained encoder.
REFERENCES = {"scratch": "training from scratch", "fingerprint": "the fingerprint baseline"}


@dataclass(frozen=True)
class Comparison:
    """A method against a reference over the seeds both have: the mean gain, positive if better, and its spread."""

    gain: float
    std: float
    seeds: int
    places: int

    @property
    def verdict(self) -> str:
        """ "within" if the mean difference is at most twice its standard error, which takes two seeds to know."""
        if self.seeds == 0:
            return "none"
        if self.seeds == 1:
            return "unknown"
        if abs(self.gain) <= 2 * self.std / math.sqrt(self.seeds):
            return "within"
        return "better" if self.gain > 0 else "worse"

    @property
    def amount(self) -> str:
        """The size of the difference, with its spread."""
        return spread(abs(self.gain), self.std, self.places)

    @property
    def words(self) -> str:
        """The difference in a sentence's words."""
        direction = "equal" if self.gain == 0 else f"{self.amount} {'better' if self.gain > 0 else 'worse'}"
        return {
            "none": "no seed in common",
            "unknown": f"{direction} (one seed: spread unknown)",
            "within": f"{direction}, within seed spread",
        }.get(self.verdict, direction)


@dataclass(frozen=True)
class Standing:
    """A method's mean test score."""

    method: str
    score: str
    seeds: int

    @property
    def title(self) -> str:
        """The method's title."""
        return look(self.method).title


@dataclass(frozen=True)
class Answer:
    """The outcome of one setting.

    `best` has the best mean of all, `tuned` that of the fine-tuning methods; both are None without any score. The
    comparisons `versus_*` are of `tuned`, `best_versus_full_ft` of `best`; None where it is the reference itself.
    Methods with fewer seeds than others compete for neither and are listed in `incomplete`; `left_out` are those that
    are left out for what pretraining has seen, and `seen` says what it has seen of the others' test molecules.
    """

    setting: Setting
    metric: str
    better: int
    best: Standing | None
    tuned: Standing | None
    versus_full_ft: Comparison | None
    versus_fingerprint: Comparison | None
    best_versus_full_ft: Comparison | None
    not_told_apart: tuple[str, ...]
    incomplete: tuple[str, ...]
    left_out: tuple[str, ...]
    seen: str
    oracle: bool


def compare(runs: pd.DataFrame, method: str, reference: str, better: int, places: int = 3) -> Comparison:
    """Compare two methods of one setting by their test scores, paired by seed."""
    values = runs.pivot(index="seed", columns="method", values="test_value").reindex(columns=[method, reference])
    gain = (better * (values.iloc[:, 0] - values.iloc[:, 1])).dropna()
    return Comparison(float(gain.mean()), float(gain.std()), len(gain), places)


def answers(results: Results, left_out: pd.DataFrame) -> list[Answer]:
    """The answer of every setting, in reading order; `left_out` is the table of that name."""
    return [_answer(setting, results, rows_of(left_out, setting)) for setting in results.settings]


def _answer(setting: Setting, results: Results, left_out: pd.DataFrame) -> Answer:
    cells = rows_of(results.cells, setting).set_index("method")
    runs = rows_of(results.runs, setting)
    better = int(cells["better"].iloc[0])
    places = decimals(cells["mean"].abs().median())
    whole = cells[(cells["seeds"] == cells["seeds"].max()) & cells["mean"].notna()]
    ranked = (whole["mean"] * better).sort_values(ascending=False, kind="stable").index
    tuned = [name for name in ranked if name not in REFERENCES]

    def standing(names: Sequence[str]) -> Standing | None:
        if not len(names):
            return None
        mean, std, seeds = (cells[column][names[0]] for column in ("mean", "std", "seeds"))
        return Standing(names[0], spread(mean, std, places), int(seeds))

    def versus(names: Sequence[str], reference: str) -> Comparison | None:
        if not len(names) or names[0] == reference or reference not in cells.index:
            return None
        return compare(runs, names[0], reference, better, places)

    best = standing(ranked)
    rivals = [name for name in ranked if best and name != best.method]
    close = [name for name in rivals if compare(runs, ranked[0], name, better).verdict in ("within", "unknown")]
    return Answer(
        setting=setting,
        metric=METRICS.get(cells["metric"].iloc[0], cells["metric"].iloc[0]),
        better=better,
        best=best,
        tuned=standing(tuned),
        versus_full_ft=versus(tuned, "full_ft"),
        versus_fingerprint=versus(tuned, "fingerprint"),
        best_versus_full_ft=versus(ranked, "full_ft"),
        not_told_apart=tuple(look(name).title for name in in_order(close)),
        incomplete=tuple(
            f"{look(name).title} ({cells['seeds'][name]} of {cells['seeds'].max()} seeds, mean "
            f"{fixed(cells['mean'][name], places)})"
            for name in in_order(cells.index.difference(whole.index))
        ),
        left_out=tuple(look(name).title for name in in_order(left_out["method"])),
        seen=_seen(setting, cells),
        oracle="oracle" in set(runs["rule"]),
    )


def _seen(setting: Setting, cells: pd.DataFrame) -> str:
    """What pretraining has seen of the test molecules, "" where nothing is known of it."""
    kind, part = worst(cells["contamination"]), cells["seen"].max()
    if kind == "labels" and not part > 0:
        return f"{MARKS[kind]} Pretraining is suspected to have learnt labels of {setting.dataset}."
    learnt = {"structures": "without labels", "labels": "with labels"}.get(kind)
    return f"{MARKS[kind]} Pretraining saw {share(part)} of the test molecules, {learnt}." if learnt else ""
