"""Which method to take for one dataset: from the scores over its resamples to a ranking and a verdict in words.

A candidate is a method with an encoder, or a reference. A score is that of a model like the one in the bundle.
A candidate is behind the best only if both comparisons of `statistics.resampled` say so, each corrected for all
candidates; the best mean alone decides nothing. So few labels rarely tell the best from the second. What is taken
unless the labels say otherwise is therefore known before they are looked at: the default, the first of `prior` that
competes. It is taken unless it is behind the best; then the best mean is, as it is if the settings say so.

Only what is better than the constant predictor beyond doubt is taken. The default is tested by itself at half the
level, the other candidates at the other half, corrected for their number; so labels without any signal pass for
predictable no more often than the level says. If no candidate passes, there is nothing to take.

The score to expect comes from resamples that had no part in the choice: the choice is made on all resamples but one and
scored on that one, for each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.deploy.record import RECORDS
from roftmol.methods import COMPARED, CONSTANT, FULL_FT, HYBRID, METHODS, WITHOUT_ENCODER, model_of
from roftmol.registry.splits import TEST_SHARE
from roftmol.scoring.metrics import MACRO
from roftmol.statistics.resampled import above_zero, compare, interval
from roftmol.tables import schemas
from roftmol.tasks import METRICS, TASKS, metric_title

ALPHA = 0.05
MINUS = "\N{MINUS SIGN}"
#: So many test parts miss less of what is better than the constant than five do (docs/recommend.md).
ENOUGH = 10

Candidate = tuple[str, str]  #: model, method
NOTHING: Candidate = (WITHOUT_ENCODER[CONSTANT], CONSTANT)


@dataclass(frozen=True)
class VerdictSettings:
    """The dataset, its target, and how to choose: the "default", or the "best" mean.

    `prior` are models and methods, the first of which that competes is the default.
    """

    name: str
    target: str
    task: str
    metric: str
    split: str
    choose: str = "default"
    prior: tuple[Candidate, ...] = ()


@dataclass(frozen=True, eq=False)
class Choice:
    """What the rule chooses on some resamples."""

    order: list[Candidate]  #: the best mean first
    behind: frozenset[Candidate]  #: worse than the best beyond doubt
    useful: list[Candidate]  #: better than the constant beyond doubt; all candidates, if there is no constant
    chosen: Candidate
    default: Candidate | None  #: what is taken unless the labels say otherwise

    @property
    def best(self) -> Candidate:
        """The candidate with the best mean."""
        return self.order[0]

    @property
    def level(self) -> list[Candidate]:
        """The candidates that are not told apart from the best, and the best."""
        return [candidate for candidate in self.order if candidate not in self.behind]


def decide(settings: VerdictSettings, tables: Path, out: Path) -> None:
    """Rank the candidates of the aggregated `tables`; write ranking.parquet, ranking.csv and verdict.json to `out`."""
    selected = schemas.read("selected", tables / "selected.parquet")
    timings = schemas.read("timings", tables / "timings.parquet")
    scores = schemas.read("scores", tables / "scores.parquet")
    labels = int(schemas.read("tasks", tables / "tasks.parquet")["labelled"].iloc[0])
    ranking, verdict = judge(selected, timings, settings, scores, labels)
    schemas.write("ranking", ranking, out / "ranking.parquet", settings)
    with atomic(out / "ranking.csv") as temporary:
        ranking.to_csv(temporary, index=False)
    with atomic(out / "verdict.json") as temporary:
        temporary.write_text(json.dumps(verdict, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def judge(
    selected: pd.DataFrame,
    timings: pd.DataFrame,
    settings: VerdictSettings,
    scores: pd.DataFrame | None = None,
    labels: int | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Make the table "ranking" and the verdict from the tables "selected" and "timings" of one dataset.

    R2 is read from the table `scores`; `labels` is the number of labels. Raises `UserError` if no candidate has a score
    in every resample.
    """
    better = METRICS[settings.metric].sign
    tested = selected.pivot(index="seed", columns=["model", "method"], values="test_value")
    constant = _constant(tested, settings.metric)
    candidates = tested.drop(columns=[NOTHING], errors="ignore")
    whole = candidates.dropna(axis=1)
    if whole.empty:
        raise UserError(
            f"{settings.name}: no method has a score in every resample; see the fits that failed in tables/"
        )
    gains = better * whole
    constant_gains = None if constant is None else better * constant
    cost = _costs(timings, len(whole))
    choice = choose(gains, constant_gains, settings.prior, settings.choose)
    expected = choices_of_others(gains, constant_gains, settings.prior, settings.choose)
    scored = _of_choices(tested, expected)
    predictable = bool(choice.useful)
    r2 = _r2(scores, selected, settings.task)
    complete = whole.copy()
    if constant is not None:
        complete[NOTHING] = constant
    chosen = choice.chosen if predictable else NOTHING
    ranking = _ranking(complete, candidates, choice, chosen, r2, cost, settings.metric)
    words = _Words(settings, ranking, choice, whole, labels, scored, constant, float(_of_choices(r2, expected).mean()))
    return ranking, {
        **{"name": settings.name, "target": settings.target, "task": settings.task, "metric": settings.metric},
        "split": settings.split,
        "resamples": len(whole),
        "candidates": whole.shape[1],
        "choose": settings.choose,
        "predictable": predictable,
        "choice": dict(zip(("model", "method"), chosen, strict=True)),
        "best": dict(zip(("model", "method"), choice.best, strict=True)),
        "not_behind": [{"model": model, "method": method} for model, method in choice.level],
        "expected": _plain(words.expected if predictable else words.of_constant),
        "constant": _plain(words.of_constant),
        "sentences": words.sentences() if predictable else words.nothing_to_take(),
    }


def choose(gains: pd.DataFrame, constant: pd.Series | None, prior: Sequence[Candidate], how: str) -> Choice:
    """Apply the rule to the scores of candidates, resamples x candidates, and of the constant; more is better."""
    columns: list[Any] = gains.columns.to_list()
    means = {candidate: values.mean() for candidate, values in zip(columns, gains.to_numpy().T, strict=True)}
    order: list[Candidate] = sorted(columns, key=lambda candidate: -means[candidate])
    best = order[0]
    pairs = against(gains, best)
    told_apart = (pairs["tukey_low"] * pairs["tukey_high"] > 0) & (pairs["corrected_p_holm"] < ALPHA)
    behind = frozenset(pairs.index[told_apart])
    default = next((candidate for candidate in prior if candidate in columns), None)
    useful = order if constant is None else _useful(gains.sub(constant, axis=0), order, default)
    # The best may vary too much to be better than the constant beyond doubt, while all that are lie behind it.
    pool = [candidate for candidate in useful if candidate not in behind] or useful[:1] or [best]
    chosen = default if how == "default" and default in pool else pool[0]
    assert chosen
    return Choice(order, behind, useful, chosen, default)


def _useful(above: pd.DataFrame, order: Sequence[Candidate], default: Candidate | None) -> list[Candidate]:
    """Return the candidates whose differences from the constant, resamples x candidates, are above 0 beyond doubt."""
    others = [candidate for candidate in order if candidate != default]
    level = ALPHA / 2 if default and others else ALPHA
    names: list[Any] = above.columns.to_list()
    passed: set[Candidate] = set()
    for group in ([default] if default else [], others):
        columns: list[Any] = list(group)
        if columns:
            # By position: an index of pairs is built anew for each selection by name.
            p = above_zero(above.iloc[:, [names.index(name) for name in columns]], TEST_SHARE)
            passed.update(candidate for candidate, value in zip(columns, p, strict=True) if value < level)
    return [candidate for candidate in order if candidate in passed]


def choices_of_others(
    gains: pd.DataFrame, constant: pd.Series | None, prior: Sequence[Candidate], how: str
) -> pd.Series:
    """Return for each resample what the rule chooses on all others; of fewer than three, what it chooses on all."""
    if len(gains) < 3:
        return pd.Series([choose(gains, constant, prior, how).chosen] * len(gains), gains.index)
    chosen = []
    for seed in gains.index:
        constant_of_others = None if constant is None else constant.drop(index=seed)
        chosen.append(choose(gains.drop(index=seed), constant_of_others, prior, how).chosen)
    return pd.Series(chosen, gains.index)


def against(gains: pd.DataFrame, best: Candidate) -> pd.DataFrame:
    """Compare every other candidate with the best, corrected for all candidates; return a row each, by candidate."""
    names: list[Any] = gains.columns.to_list()
    if len(names) < 2 or len(gains) < 2:
        return pd.DataFrame(columns=["tukey_low", "tukey_high", "corrected_p_holm"])
    number = names.index(best)
    pairs = compare(gains.set_axis(range(len(names)), axis=1), TEST_SHARE, ALPHA, number, tukey_p=False)
    others = pairs["a"] + pairs["b"] - number  # one of the two is the best
    return pairs.set_index(pd.Index([names[other] for other in others], tupleize_cols=False))


def _constant(tested: pd.DataFrame, metric: str) -> pd.Series | None:
    """Return the constant's score on each test part, if there is one."""
    if NOTHING in tested.columns and not tested[NOTHING].isna().any():
        return tested[NOTHING]
    score = METRICS[metric].constant
    return None if score is None else pd.Series(score, tested.index)


def _r2(scores: pd.DataFrame | None, selected: pd.DataFrame, task: str) -> pd.DataFrame:
    """Return R2 of the selected runs on the test parts, resamples x candidates; empty if it is not defined."""
    explained = TASKS[task].explained
    if scores is None or explained is None:
        return pd.DataFrame()
    rows = scores[(scores["metric"] == explained.name) & (scores["partition"] == "test") & (scores["task"] == MACRO)]
    keys = ["model", "method", "setting", "seed"]
    return rows.merge(selected[keys], on=keys).pivot(index="seed", columns=["model", "method"], values="value")


def _of_choices(values: pd.DataFrame, chosen: pd.Series) -> pd.Series:
    """Return the value of each resample in the column of what is chosen for it, NaN if there is none."""
    picked = [values[candidate].get(seed) if candidate in values else np.nan for seed, candidate in chosen.items()]
    return pd.Series(picked, chosen.index, dtype=float)


def _ranking(
    complete: pd.DataFrame,
    candidates: pd.DataFrame,
    choice: Choice,
    chosen: Candidate,
    r2: pd.DataFrame,
    cost: Mapping[Candidate, float],
    metric: str,
) -> pd.DataFrame:
    """Make the table "ranking": candidates and constant, the best mean first, then candidates without all scores.

    `complete` holds the scores of candidates and constant that have one in every resample, `candidates` those of all
    candidates, each resamples x candidates.
    """
    better = METRICS[metric].sign
    scores: dict[Any, pd.Series] = dict(complete.items())  # looking each up by its pair of names takes longer
    pairs = against(better * complete[choice.order], choice.best)
    rows: list[dict[str, Any]] = []
    for place, candidate in enumerate(sorted(scores, key=lambda one: -better * scores[one].mean()), 1):
        differences = _differences(scores, candidate, choice.best)
        half = pairs["tukey_high"].sub(pairs["tukey_low"]).div(2).get(candidate, np.nan)
        rows.append(
            {
                "place": place,
                "model": candidate[0],
                "method": candidate[1],
                "metric": metric,
                "better": better,
                "resamples": len(complete),
                **_spread(scores[candidate], metric),
                **differences,
                "r2": r2[candidate].mean() if candidate in r2 else np.nan,
                "tukey_low": differences["vs_best"] - half,
                "tukey_high": differences["vs_best"] + half,
                "holm_p": pairs.at[candidate, "corrected_p_holm"] if candidate in pairs.index else np.nan,
                "behind": candidate in choice.behind,
                "cpu_seconds": cost.get(candidate, np.nan),
                "chosen": candidate == chosen,
                "note": "",
            }
        )
    empty = dict.fromkeys(set(schemas.schema("ranking").names) - {"note"})
    left_out: list[Any] = [candidate for candidate in candidates.columns if candidate not in complete.columns]
    for candidate in left_out:
        failed = int(candidates[candidate].isna().sum())
        rows.append(
            {
                **empty,
                "place": 0,
                "model": candidate[0],
                "method": candidate[1],
                "metric": metric,
                "better": better,
                "resamples": len(candidates) - failed,
                "behind": True,
                "cpu_seconds": cost[candidate],
                "chosen": False,
                "note": f"no score in {failed} resamples",
            }
        )
    ranking = pd.DataFrame(rows)
    numbers = [field.name for field in schemas.schema("ranking") if str(field.type) == "double"]
    return ranking.astype(dict.fromkeys(numbers, float))


def _costs(timings: pd.DataFrame, resamples: int) -> dict[Candidate, float]:
    """Return the CPU seconds a resample, with the search over the grid; a method that mixes needs the fits it mixes."""
    spent: dict[Any, float] = (timings.groupby(["model", "method"])["cpu_seconds"].sum() / resamples).to_dict()
    sources = {name: method.mixing.source for name, method in METHODS.items() if method.mixing}
    return {
        (model, method): seconds + (spent[model, sources[method]] if method in sources else 0.0)
        for (model, method), seconds in spent.items()
    }


def _spread(values: pd.Series, metric: str) -> dict[str, float]:
    """Return mean, deviation and intervals, which end where the metric's range does."""
    ends = interval(values.to_numpy(), TEST_SHARE, ALPHA)
    new_ends = interval(values.to_numpy(), TEST_SHARE, ALPHA, new_test=True)
    names = ("low", "high", "new_low", "new_high")
    least, most = METRICS[metric].range
    bounds = {name: float(np.clip(end, least, most)) for name, end in zip(names, (*ends, *new_ends), strict=True)}
    return {"mean": values.mean(), "std": values.std(), **bounds}


def _differences(scores: Mapping[Any, pd.Series], candidate: Candidate, best: Candidate) -> dict[str, float]:
    """Return candidate minus best, minus full FT of the same encoder and minus the references, with intervals."""
    others = {"vs_best": best} | {f"vs_{name}": (model_of(name, candidate[0]), name) for name in COMPARED}
    differences = {}
    for name, other in others.items():
        comparable = other in scores and other != candidate
        gaps = scores[candidate].to_numpy() - scores[other].to_numpy() if comparable else np.array([np.nan])
        differences[name] = float(gaps.mean())
        differences[f"{name}_low"], differences[f"{name}_high"] = interval(gaps, TEST_SHARE, ALPHA)
    return differences


@dataclass(frozen=True, eq=False)
class _Words:
    """The verdict in words; its numbers are in the ranking, except those of the nested choice."""

    settings: VerdictSettings
    ranking: pd.DataFrame
    choice: Choice
    tested: pd.DataFrame  #: the scores, resamples x candidates
    labels: int | None
    scored: pd.Series  #: on each resample, the score of what was chosen on the others
    constant: pd.Series | None  #: on each resample, the score of the constant predictor
    r2: float  #: the mean R2 of what was chosen on the others

    @property
    def expected(self) -> dict[str, float]:
        """The score of the choice on resamples that had no part in it, with intervals."""
        return {**_spread(self.scored, self.settings.metric), "r2": self.r2}

    @property
    def of_constant(self) -> dict[str, float]:
        """The constant predictor's score with intervals; NaN if it was not fitted."""
        if self.constant is None:
            return dict.fromkeys(self.expected, float("nan"))
        row = self._rows().get(NOTHING)
        return {**_spread(self.constant, self.settings.metric), "r2": row["r2"] if row else float("nan")}

    def sentences(self) -> list[str]:
        """Say what to take, how it compares, what fine-tuning adds, and what score to expect."""
        compared = [*self._differences(), *self._network(), *self._fine_tuning()]
        return [self._take(), *self._record(), *compared, *self._cost(), self._expect()]

    def nothing_to_take(self) -> list[str]:
        """Say why there is nothing to take."""
        assert self.constant is not None
        constant = TASKS[self.settings.task].constant_title
        count = f"{self.labels} labels" if self.labels else "so many labels"
        best = self._title(self.choice.best)
        row = self._rows()[self.choice.best]
        gain = row["better"] * row[f"vs_{CONSTANT}"]
        low, high = row[f"vs_{CONSTANT}_low"], row[f"vs_{CONSTANT}_high"]
        chance = f" Among {_several(len(self.choice.order), 'candidate')} that may be chance."
        return [
            f"These labels cannot be predicted from these structures with {count}: no method is better, beyond doubt, "
            f"than predicting {constant} for every molecule. There is nothing to take.",
            f"The best of them, {best}, has {self._metric} {_with_r2(row['mean'], row['r2'])}, where {constant} has "
            f"{_with_r2(self.constant.mean(), self.of_constant['r2'])}: {_gap(gain, low, high, self._metric)}."
            + (chance if gain > 0 and low * high > 0 else ""),
            f"The model that is handed out predicts {constant} for every molecule. More labels may change the verdict, "
            f"if the structures decide about them at all.{self._missed(gain)}",
        ]

    def _missed(self, gain: float) -> str:
        """Say what finds more, where few parts may have missed that the best is better (docs/recommend.md)."""
        few = len(self.tested)
        if gain <= 0 or few >= ENOUGH:
            return ""
        return f" So may more test parts: recommend='{{resamplings: {ENOUGH}}}' finds more than these {few}."

    @property
    def _metric(self) -> str:
        return metric_title(self.settings.metric)

    def _rows(self) -> dict[Candidate, dict[str, Any]]:
        return {
            (row["model"], row["method"]): {str(key): value for key, value in row.items()}
            for row in self.ranking.to_dict("records")
        }

    def _title(self, candidate: Candidate) -> str:
        model, method = candidate
        if candidate == NOTHING:
            return TASKS[self.settings.task].constant_title
        name = METHODS[method].phrase or METHODS[method].title
        several = self.ranking.loc[~self.ranking["method"].isin(WITHOUT_ENCODER), "model"].nunique() > 1
        return name + (f" of {model}" if several and method not in WITHOUT_ENCODER else "")

    def _take(self) -> str:
        choice = self.choice
        chosen, best = self._title(choice.chosen), self._title(choice.best)
        tied = [candidate for candidate in choice.level if candidate != choice.best]
        if choice.default and choice.chosen != choice.default and self.settings.choose == "default":
            default = self._title(choice.default)
            why = (
                f"is worse than {best} beyond doubt"
                if choice.default in choice.behind
                else f"is not better than {self._title(NOTHING)} beyond doubt, and {chosen} is"
            )
            return f"Take {chosen}: {default}, which is taken by default, {why}.{self._tied()}"
        if choice.chosen == choice.best:
            if not tied:
                return f"{_capital(best)} is better than every other method beyond doubt. Take it."
            return (
                f"{_capital(best)} has the best score; {_several(len(tied), 'other method')} cannot be told apart from "
                "it. Take it."
            )
        if choice.chosen == choice.default:
            return (
                f"Take {chosen}. These labels do not tell it from the method with the best mean, {best}, so it is "
                "taken by default: for its record on other datasets, which is no evidence from yours."
            )
        return f"Take {chosen}: {best} has a better mean, but is not better than {self._title(NOTHING)} beyond doubt."

    def _record(self) -> list[str]:
        """Say how the default did elsewhere, where it is taken."""
        model, method = self.choice.chosen
        known = method == HYBRID and self.choice.chosen == self.choice.default
        return [RECORDS[model].words] if known and model in RECORDS else []

    def _tied(self) -> str:
        tied = [candidate for candidate in self.choice.level if candidate != self.choice.chosen]
        return (
            f" {_several(len(tied), 'other method').capitalize()} cannot be told apart from the best." if tied else ""
        )

    def _differences(self) -> list[str]:
        rows, chosen = self._rows(), self.choice.chosen
        references = {name: (model_of(name, chosen[0]), name) for name in reversed(COMPARED)}
        if not METHODS[chosen[1]].trains_encoder:
            del references[FULL_FT]
        return [
            _difference(rows[chosen], f"vs_{name}", self._title(reference), self._metric)
            for name, reference in references.items()
            if reference in rows and reference != chosen and not np.isnan(rows[chosen][f"vs_{name}"])
        ]

    def _network(self) -> list[str]:
        """Say what a pretrained network is worth: its lead over the best model without one."""
        chosen = self.choice.chosen
        others = [candidate for candidate in self.choice.order if candidate[1] in WITHOUT_ENCODER]
        if chosen[1] in WITHOUT_ENCODER or not others or others[0][1] in COMPARED:
            return []
        than = f" than the best model without a network, {self._title(others[0])}"
        return [f"It is {self._lead(chosen, others[0], than)}."]

    def _fine_tuning(self) -> list[str]:
        """Say what the best fine-tuned network adds to the choice, where the choice is none."""
        chosen = self.choice.chosen
        tuned = [candidate for candidate in self.choice.order if METHODS[candidate[1]].trains_encoder]
        if METHODS[chosen[1]].trains_encoder or not tuned:
            return []
        of = "fine-tuned network" if len(tuned) == 1 else f"best of {len(tuned)} fine-tuned networks"
        return [f"The {of}, {self._title(tuned[0])}, is {self._lead(tuned[0], chosen)}."]

    def _lead(self, candidate: Candidate, other: Candidate, than: str = "") -> str:
        """Say how much better or worse a candidate is than another one."""
        gaps = (self.tested[candidate] - self.tested[other]).to_numpy()
        low, high = interval(gaps, TEST_SHARE, ALPHA)
        gain = METRICS[self.settings.metric].sign * float(gaps.mean())
        return _gap(gain, low, high, self._metric).replace(" (", f"{than} (", 1)

    def _cost(self) -> list[str]:
        """Say what the choice and the best cost, from the ranking's column."""
        choice = self.choice
        seconds = {candidate: row["cpu_seconds"] for candidate, row in self._rows().items()}
        sentence = f"It took {_figure(seconds[choice.chosen])} s of CPU time a test part"
        if choice.chosen != choice.best:
            sentence += f", {self._title(choice.best)} {_figure(seconds[choice.best])} s"
        return [f"{sentence}."]

    def _expect(self) -> str:
        expected = self.expected
        constant = ""
        if self.constant is not None:
            score = _with_r2(self.constant.mean(), self.of_constant["r2"])
            constant = f", where {TASKS[self.settings.task].constant_title} has {score}"
        return (
            f"Expect {self._metric} {_with_r2(expected['mean'], expected['r2'])} on molecules like these{constant}. "
            "This is the score on test parts that had no say in the choice; a test set of the size of a part would lie "
            f"between {_figure(expected['new_low'])} and {_figure(expected['new_high'])} in 95 of 100 cases."
        )


def _plain(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Convert numbers for JSON, where undefined ones are null."""
    return {name: None if np.isnan(value) else float(value) for name, value in numbers.items()}


def _with_r2(score: float, r2: float) -> str:
    return _figure(score) + ("" if np.isnan(r2) else f" (R² {round(r2, 2) + 0.0:.2f})".replace("-", MINUS))


def _gap(gain: float, low: float, high: float, metric: str) -> str:
    """Say how much better or worse, with the interval; `low` to `high` is of the metric's difference."""
    doubt = "" if low * high > 0 else ", which may be chance"
    side = "better" if gain > 0 else "worse"
    if low + high < 0:  # the sentence gives the middle of the interval without a sign
        low, high = -high, -low
    ends = f"95% interval {_figure(low)} to {_figure(high)}"
    return f"{_figure(abs(gain))} {metric} {side} ({ends}){doubt}"


def _difference(row: Mapping[str, Any], column: str, reference: str, metric: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    gap = _gap(row["better"] * row[column], low, high, metric)
    return f"It is {gap.replace(' (', f' than {reference} (', 1)}."


def _figure(value: float) -> str:
    return f"{value:.3g}".replace("-", MINUS)


def _several(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
