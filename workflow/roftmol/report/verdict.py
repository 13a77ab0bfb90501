"""What to do, over all settings: a few plain sentences, and a row for each setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from roftmol.contamination import worst
from roftmol.figures.cells import rows_of
from roftmol.figures.style import look
from roftmol.report.answers import REFERENCES, Answer
from roftmol.report.results import TITLES, constant_caption, difference, identity, identity_columns, mark
from roftmol.report.table import Table, number_cell, word

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
DATASETS_NAMED = 4
LEADERS_NAMED = 3
#: How the best fine-tuning method stands to a reference, in words that may name the reference.
STANDINGS = {
    "better": "ahead",
    "itself": "{reference} itself",
    "worse": "behind",
    "within": "within the spread of the seeds",
    "unknown": "of unknown spread",
}


def verdict(given: Sequence[Answer]) -> list[str]:
    """What to do and why, in three sentences, the advice first; empty without any fine-tuned model's score.

    It says what the scores say and no more. The reference is the fingerprint baseline, or full FT where that was not
    run; "ahead" and "behind" are differences of more than the spread of the seeds.
    """
    scored = [answer for answer in given if answer.tuned]
    if not scored:
        return []
    reference = "fingerprint" if any(answer.versus_fingerprint for answer in scored) else "full_ft"
    standings = [(answer, kind) for answer in scored if (kind := _standing(answer, reference))]
    title = "the fingerprint baseline" if reference == "fingerprint" else "full FT"
    return [_advice(standings, title), _leaders(scored), *_against(standings, title)]


def _standing(answer: Answer, reference: str) -> str:
    """One of `STANDINGS`, or "" where the reference shares no seed with the best fine-tuning method."""
    if answer.tuned and answer.tuned.method == reference:
        return "itself"
    versus = answer.versus_fingerprint if reference == "fingerprint" else answer.versus_full_ft
    return versus.verdict if versus and versus.verdict in STANDINGS else ""


def _advice(standings: Sequence[tuple[Answer, str]], title: str) -> str:
    told = [answer for answer, kind in standings if kind != "unknown"]
    won = [answer for answer, kind in standings if kind == "better"]
    if not told:
        return "Nothing can be told apart yet: it takes at least two seeds to know their spread."
    if not won:
        any_of = "either setting" if len(told) == 2 else f"any of the {_settings(len(told))}"
        where = "" if len(told) == 1 else f" in {any_of}"
        return f"Use {title}: nothing else was ahead of it by more than the spread of the seeds{where}."
    methods = dict.fromkeys(answer.tuned.title for answer in won if answer.tuned)
    how = f"with {next(iter(methods))}" if len(methods) == 1 else "with the methods of the table"
    if len(won) == len(told):
        where = "" if len(won) == 1 else f" in {_all(len(won))}"
        return f"Fine-tune, {how}: ahead of {title} by more than the spread of the seeds{where}."
    others = _settings(len(told) - len(won)).replace(" ", " other ")
    return (
        f"Fine-tune {_where(won)}, {how}: ahead of {title} by more than the spread of the seeds. "
        f"Not so in {others}: use {title}."
    )


def _leaders(scored: Sequence[Answer]) -> str:
    """Which methods have the best mean, and in how many settings."""
    leaders = Counter(answer.best.method for answer in scored if answer.best).most_common()
    first, times = leaders[0]
    name = _name(first)
    if len(leaders) == 1:
        where = "" if times == 1 else f" in {_all(times)}"
        return f"{name[0].upper()}{name[1:]} has the best mean score{where}."
    others = [f"{_name(method)} in {in_words(number)}" for method, number in leaders[1:LEADERS_NAMED]]
    if rest := sum(number for _, number in leaders[LEADERS_NAMED:]):
        others.append(f"others in {in_words(rest)}")
    most = f"{name} has the best mean score in {in_words(times)} of {_settings(len(scored))}"
    return f"No method is best everywhere: {_joined([most, *others])}."


def _against(standings: Sequence[tuple[Answer, str]], title: str) -> list[str]:
    """How often the best fine-tuned model was ahead of the reference, behind it, or neither."""
    if not standings:
        return []
    kinds, total = Counter(kind for _, kind in standings), len(standings)
    words = {kind: text.format(reference=title) for kind, text in STANDINGS.items() if kinds[kind]}
    if len(words) > 1:
        told = _joined([f"{text} in {in_words(kinds[kind])}" for kind, text in words.items()])
        told += f" of {_settings(total)}"
    else:
        told = next(iter(words.values())) + ("" if total == 1 else f" in {_all(total)}")
    return [f"Against {title}, the best fine-tuned model is {told}."]


def _name(method: str) -> str:
    return REFERENCES.get(method, look(method).title)


def in_words(number: int) -> str:
    """A small number as a word."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def _settings(number: int) -> str:
    return f"{in_words(number)} setting{'' if number == 1 else 's'}"


def _all(number: int) -> str:
    return "both settings" if number == 2 else f"all {_settings(number)}"


def _where(answers: Sequence[Answer]) -> str:
    """On which datasets these settings are, with their number where it is not one a dataset."""
    names = list(dict.fromkeys(answer.setting.dataset for answer in answers))
    if len(names) > DATASETS_NAMED:
        return f"in {_settings(len(answers))}"
    several = len(names) < len(answers)
    return f"in {_settings(len(answers))} of {_joined(names)}" if several else f"on {_joined(names)}"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")


def answers_table(given: Sequence[Answer], runs: pd.DataFrame) -> Table:
    """One row a setting: the method with the best mean, its lead over full FT, and what cannot be told apart from it.

    Beside it stands the best fine-tuning method, which may be the same, and its difference to the fingerprint.
    """
    settings = [answer.setting for answer in given]
    varying = identity_columns(settings)
    unknown = number_cell("–", float("nan"), "soft")
    rows = []
    for answer in given:
        if answer.best is None:
            rows.append(
                [
                    *identity(answer.setting, varying),
                    word("no score", "soft"),
                    *[unknown] * 2,
                    word(""),
                    unknown,
                    word(""),
                ]
            )
            continue
        here = rows_of(runs, answer.setting)
        chosen = here[here["method"] == answer.best.method]
        score = f"{answer.best.score}{mark(worst(chosen['contamination']))}"
        tuned = "none" if answer.tuned is None else f"{answer.tuned.title} {_unbroken(answer.tuned.score)}"
        full_ft, fingerprint = (
            difference(versus, answer.better) if versus else unknown
            for versus in (answer.best_versus_full_ft, answer.versus_fingerprint)
        )
        rows.append(
            [
                *identity(answer.setting, varying),
                word(answer.best.title, "best"),
                number_cell(f"{answer.metric} {_unbroken(score)}", float(chosen["test_value"].mean()), "wrap"),
                full_ft,
                word("the same" if answer.tuned == answer.best else tuned, "wrap"),
                fingerprint,
                word(", ".join(answer.not_told_apart) or "nothing", "long"),
            ]
        )
    columns = [*(TITLES[name] for name in varying), "Best mean", "#Test score", "#− Full FT"]
    columns += ["Best fine-tuning", "#Fine-tuning − fingerprint", "Not told apart from the best"]
    facets = [setting._asdict() for setting in settings]
    return Table(constant_caption(settings, varying), columns, rows, facets)
