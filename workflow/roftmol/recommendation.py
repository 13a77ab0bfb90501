"""Which method to take for one data set: from the scores over its resamples to a ranking and a verdict in words.

A candidate is a method on a pretrained model, or the fingerprint baseline. The best mean alone decides nothing: a
candidate is behind the best only if both comparisons of `statistics.resampled` say so. Among all others the cheapest
is taken, or the best mean where that is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from roftmol import schemas
from roftmol.errors import UserError
from roftmol.files import atomic
from roftmol.layout import FINGERPRINT, FINGERPRINT_MODEL, TEST_SHARE
from roftmol.methods import METHODS
from roftmol.metrics import BETTER
from roftmol.statistics.resampled import compare, interval

ALPHA = 0.05
#: References that a difference is told from, by method.
REFERENCES = {"full_ft": "vs_full_ft", FINGERPRINT: "vs_fingerprint"}
METRIC_TITLES = {"rmse": "RMSE", "roc_auc": "ROC-AUC"}

#: Columns of a comparison: the other candidate, and both p-values.
COLUMNS = ("b", "tukey_p", "corrected_p")

Candidate = tuple[str, str]  #: model, method


@dataclass(frozen=True)
class VerdictSettings:
    """The data set, its target, and how to choose: "cheapest" or "best"."""

    name: str
    target: str
    task: str
    metric: str
    split: str
    choose: str = "cheapest"


def decide(settings: VerdictSettings, tables: Path, out: Path) -> None:
    """Rank the candidates in the aggregated `tables`; `out` gets ranking.parquet, ranking.csv and verdict.json."""
    selected = schemas.read("selected", tables / "selected.parquet")
    timings = schemas.read("timings", tables / "timings.parquet")
    ranking, verdict = judge(selected, timings, settings)
    schemas.write("ranking", ranking, out / "ranking.parquet", settings)
    with atomic(out / "ranking.csv") as temporary:
        ranking.to_csv(temporary, index=False)
    with atomic(out / "verdict.json") as temporary:
        temporary.write_text(json.dumps(verdict, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def judge(
    selected: pd.DataFrame, timings: pd.DataFrame, settings: VerdictSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Table "ranking" and the verdict, from the tables "selected" and "timings" of one data set.

    Raises `UserError` if no candidate has a score in every resample.
    """
    better = BETTER[settings.metric]
    scores = selected.pivot(index="seed", columns=["model", "method"], values="test_value")
    whole = scores.dropna(axis=1)
    if whole.empty:
        raise UserError(
            f"{settings.name}: no method has a score in every resample; see the fits that failed in tables/"
        )
    columns: list[Any] = whole.columns.to_list()
    order: list[Candidate] = sorted(columns, key=lambda candidate: -better * whole[candidate].mean())
    best = order[0]
    gains = better * whole[order]
    pairs = _against(gains, best)
    cost = _costs(timings, len(whole))
    behind = {c for c in order[1:] if max(pairs[c]["tukey_p"], pairs[c]["corrected_p"]) < ALPHA}
    level = [candidate for candidate in order if candidate not in behind]
    # The fingerprint baseline needs no network and counts as the cheapest, whatever the search over its forest took.
    cheapest = min(level, key=lambda candidate: (candidate[1] != FINGERPRINT, cost[candidate]))
    chosen = best if settings.choose == "best" else cheapest
    left_out: list[Any] = [candidate for candidate in scores.columns if candidate not in whole.columns]
    rows = [
        {
            "place": place,
            "model": candidate[0],
            "method": candidate[1],
            "metric": settings.metric,
            "better": better,
            "resamples": len(whole),
            **_spread(whole[candidate], settings.metric),
            **_differences(whole, candidate, best),
            **{name: pairs[candidate][name] if candidate in pairs else np.nan for name in ("tukey_p", "corrected_p")},
            "behind": candidate in behind,
            "cpu_seconds": cost[candidate],
            "chosen": candidate == chosen,
            "note": "",
        }
        for place, candidate in enumerate(order, 1)
    ]
    empty = dict.fromkeys(set(schemas.schema("ranking").names) - {"note"})
    for candidate in left_out:
        failed = int(scores[candidate].isna().sum())
        known = {"model": candidate[0], "method": candidate[1], "metric": settings.metric, "better": better}
        told = {"place": 0, "resamples": len(scores) - failed, "behind": True, "chosen": False}
        rows.append(
            {**empty, **known, **told, "cpu_seconds": cost[candidate], "note": f"no score in {failed} resamples"}
        )
    ranking = pd.DataFrame(rows)
    numbers = [field.name for field in schemas.schema("ranking") if str(field.type) == "double"]
    ranking = ranking.astype(dict.fromkeys(numbers, float))
    return ranking, _verdict(settings, ranking, whole, level, best, chosen)


def _against(gains: pd.DataFrame, best: Candidate) -> dict[Candidate, dict[str, float]]:
    """Every other candidate's comparison with the best; Tukey's corrects for all pairs."""
    if gains.shape[1] < 2 or len(gains) < 2:
        return {}
    names: list[Any] = gains.columns.to_list()
    pairs = compare(gains.set_axis(range(len(names)), axis=1), TEST_SHARE, ALPHA)
    mine = pairs[pairs["a"] == names.index(best)]
    return {names[b]: {"tukey_p": t, "corrected_p": p} for b, t, p in zip(*(mine[k] for k in COLUMNS), strict=True)}


def _costs(timings: pd.DataFrame, resamples: int) -> dict[Candidate, float]:
    """CPU seconds a resample, the search over settings included; a method that mixes needs the fits it mixes."""
    spent = timings.groupby(["model", "method"])["cpu_seconds"].sum() / resamples
    own: dict[Any, float] = spent.to_dict()

    sources = {name: method.mixing.source for name, method in METHODS.items() if method.mixing}
    return {
        (model, method): seconds + (own[model, sources[method]] if method in sources else 0.0)
        for (model, method), seconds in own.items()
    }


def _spread(values: pd.Series, metric: str) -> dict[str, float]:
    """Mean, deviation and intervals, which end where the metric does."""
    most = {"rmse": np.inf}.get(metric, 1.0)
    ends = interval(values.to_numpy(), TEST_SHARE, ALPHA)
    new_ends = interval(values.to_numpy(), TEST_SHARE, ALPHA, new_test=True)
    names = ("low", "high", "new_low", "new_high")
    bounds = {name: float(np.clip(end, 0, most)) for name, end in zip(names, (*ends, *new_ends), strict=True)}
    return {"mean": values.mean(), "std": values.std(), **bounds}


def _differences(whole: pd.DataFrame, candidate: Candidate, best: Candidate) -> dict[str, float]:
    """Candidate minus the best, minus its own model's full FT and minus the fingerprint, each with its interval."""
    model = candidate[0]
    others = {"vs_best": best, "vs_full_ft": (model, "full_ft"), "vs_fingerprint": (FINGERPRINT_MODEL, FINGERPRINT)}
    found = {}
    for name, other in others.items():
        known = other in whole.columns and other != candidate
        gaps = (whole[candidate] - whole[other]).to_numpy() if known else np.array([np.nan])
        found[name] = float(gaps.mean())
        found[f"{name}_low"], found[f"{name}_high"] = interval(gaps, TEST_SHARE, ALPHA)
    return found


def _verdict(
    settings: VerdictSettings,
    ranking: pd.DataFrame,
    whole: pd.DataFrame,
    level: list[Candidate],
    best: Candidate,
    chosen: Candidate,
) -> dict[str, Any]:
    row = ranking[ranking["chosen"]].iloc[0]
    after = after_choosing(BETTER[settings.metric] * whole)
    return {
        **{"name": settings.name, "target": settings.target, "task": settings.task, "metric": settings.metric},
        "split": settings.split,
        "resamples": len(whole),
        "candidates": whole.shape[1],
        "choose": settings.choose,
        "choice": {"model": chosen[0], "method": chosen[1]},
        "best": {"model": best[0], "method": best[1]},
        "not_behind": [{"model": model, "method": method} for model, method in level],
        "expected": {name: float(row[name]) for name in ("mean", "low", "high", "new_low", "new_high")},
        "best_chosen_on_other_resamples": BETTER[settings.metric] * after,
        "sentences": _sentences(settings, ranking, level, best, chosen),
    }


def after_choosing(gains: pd.DataFrame) -> float:
    """What the best mean of all resamples but one gives on that one, on average: the best's score without its luck."""
    if len(gains) < 2:
        return float("nan")
    left_out = [(gains.drop(index=seed).mean().idxmax(), seed) for seed in gains.index]
    return float(np.mean([gains.loc[seed, candidate] for candidate, seed in left_out]))


def _sentences(
    settings: VerdictSettings, ranking: pd.DataFrame, level: list[Candidate], best: Candidate, chosen: Candidate
) -> list[str]:
    several = ranking.loc[ranking["method"] != FINGERPRINT, "model"].nunique() > 1
    metric = METRIC_TITLES.get(settings.metric, settings.metric)

    def title(candidate: Candidate) -> str:
        model, method = candidate
        if method == FINGERPRINT:
            return "the fingerprint baseline"
        return METHODS[method].title + (f" of {model}" if several else "")

    rows: dict[Candidate, dict[str, Any]] = {
        (row["model"], row["method"]): {str(key): value for key, value in row.items()}
        for row in ranking.to_dict("records")
    }
    row = rows[chosen]
    told = []
    tied = [candidate for candidate in level if candidate != best]
    baseline = (FINGERPRINT_MODEL, FINGERPRINT)
    if chosen == baseline and best != baseline:
        told.append(
            f"No method is better than the fingerprint baseline beyond doubt, not even the best, {title(best)}: the "
            "fingerprint baseline is as good as far as these labels can tell. Take it, it is the cheapest."
        )
    elif chosen == baseline:
        told.append("The fingerprint baseline has the best score of all. Take it.")
    elif not tied:
        told.append(f"{_capital(title(best))} is better than every other method. Take it.")
    elif chosen == best:
        told.append(
            f"{_capital(title(best))} has the best score; {_several(len(tied), 'other method')} cannot be told apart "
            "from it. Take it" + (", it is also the cheapest of these." if settings.choose == "cheapest" else ".")
        )
    else:
        told.append(
            f"No detectable difference between the best, {title(best)}, and {_several(len(tied), 'other method')}: "
            f"take the cheapest of them, {title(chosen)}."
        )
    for reference, column in ((baseline, "vs_fingerprint"), ((chosen[0], "full_ft"), "vs_full_ft")):
        if reference in rows and chosen != reference and chosen != baseline:
            told.append(_difference(row, column, title(reference), metric))
    told.append(
        f"Expect {metric} {_figure(row['mean'])} on molecules like these; a test set of the size of a part would lie "
        f"between {_figure(row['new_low'])} and {_figure(row['new_high'])} in 95 of 100 cases."
    )
    return told


def _difference(row: Mapping[str, Any], column: str, reference: str, metric: str) -> str:
    gain = row["better"] * row[column]
    ends = f"95% interval of the difference {_figure(row[f'{column}_low'])} to {_figure(row[f'{column}_high'])}"
    amount = f"{_figure(abs(gain))} {metric} {'better' if gain > 0 else 'worse'} than {reference}"
    doubt = "" if row[f"{column}_low"] * row[f"{column}_high"] > 0 else ", which may be chance"
    return f"It is {amount} ({ends}){doubt}."


def _figure(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _several(count: int, what: str) -> str:
    return f"one {what}" if count == 1 else f"{count} {what}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
