"""What to do, over all conditions: a few plain sentences, and a row for each condition.

Every sentence that prefers a method rests on the comparisons that the stage `statistics` corrected together, over the
whole experiment, so that at most one experiment in twenty without a difference gets any. Where nothing is known, the
page says so and names a default, which is no claim.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from roftmol.evaluation.contamination import worst
from roftmol.figures.cells import Results, budget_title, rows_of
from roftmol.figures.style import in_order, look
from roftmol.methods import BASELINES, CONSTANT, FINGERPRINT, FULL_FT, WITHOUT_PRETRAINING
from roftmol.report.answers import NAMES, Answer
from roftmol.report.results import TITLES, constant_caption, difference, identity, identity_columns, mark
from roftmol.report.statistics import Claim, beyond_chance, claims, power
from roftmol.report.table import Cell, Table, number_cell, word

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
#: So many places, or methods, are named where there are not more.
PLACES_NAMED = 4
METHODS_NAMED = 4


def verdict(results: Results, given: Sequence[Answer]) -> list[str]:
    """What to do and why, the advice first; empty without any fine-tuned model's score."""
    scored = [answer for answer in given if answer.tuned]
    if not scored:
        return []
    asked = [answer for answer in scored if answer.predictable is not None]
    if asked and not any(answer.predictable for answer in asked):
        return [*_unpredictable(asked), *_below(asked)]
    known = claims(results)
    advice, rest = _advice(results, known)
    counted = filter(None, [beyond_chance(results, known), power(results)])
    return [advice, *_findings(rest), *_predictable(asked), *counted, *_below(asked)]


def _advice(results: Results, known: Sequence[Claim]) -> tuple[str, list[Claim]]:
    """What is known of fine-tuning against the references, or else the default, which claims nothing.

    Also what is known besides.
    """
    tuned = [claim for claim in known if claim.method not in WITHOUT_PRETRAINING]
    ahead = [claim for claim in tuned if (claim.reference, claim.verdict) == (FINGERPRINT, "better")]
    behind = _all_behind(tuned)
    over_full_ft = [claim for claim in tuned if (claim.reference, claim.verdict) == (FULL_FT, "better")]
    said = []
    if ahead:
        said.append(f"Fine-tune {_with(ahead)}: better than {NAMES[FINGERPRINT]}, beyond doubt.")
    if behind:
        where = _places(list(dict.fromkeys(claim.place for claim in behind)))
        said.append(f"Use {NAMES[FINGERPRINT]} {where}: better than every fine-tuned model there, beyond doubt.")
    told = [*ahead, *behind]
    if over_full_ft and not said:
        told = over_full_ft
        if FINGERPRINT in set(results.summary["method"]):
            said.append(
                f"If you fine-tune, do so {_with(told)}: better than full FT, beyond doubt. Whether that is better "
                f"than {NAMES[FINGERPRINT]} is not known."
            )
        else:
            said.append(f"Fine-tune {_with(told)}: better than full FT, beyond doubt.")
    rest = [claim for claim in known if claim not in told]
    return " ".join(said) or f"No method is known to be better than the others. {_default(results)}", rest


def _all_behind(tuned: Sequence[Claim]) -> list[Claim]:
    """What says that the fingerprint baseline is better than every fine-tuned model that was compared at a place."""
    found = []
    for place in dict.fromkeys(claim.place for claim in tuned):
        here = [claim for claim in tuned if (claim.place, claim.reference) == (place, FINGERPRINT)]
        if here and len(here) == here[0].compared and all(claim.verdict == "worse" for claim in here):
            found += here
    return found


def _default(results: Results) -> str:
    ran = set(results.summary["method"])
    default = {FINGERPRINT: "which needs no network", FULL_FT: "which is the plainest"}
    for name, why in default.items():
        if name in ran:
            return f"By default take {NAMES[name]}, {why}: that is no claim that it is better."
    return "Take whichever is cheapest for you."


def _findings(known: Sequence[Claim]) -> list[str]:
    """What else is known beyond doubt, in one sentence."""
    said = [
        f"{_titles(methods)} {_are(len(methods))} {which} than {NAMES[reference]} {_places(places)}"
        for reference in BASELINES
        for which in ("better", "worse")
        for methods, places in _grouped(
            [claim for claim in known if (claim.reference, claim.verdict) == (reference, which)]
        ).items()
    ]
    if not said:
        return []
    left = len(said) - PLACES_NAMED
    listed = [*said[:PLACES_NAMED], f"and {in_words(left)} more such findings (Comparisons)"] if left > 0 else said
    return [f"Known beyond doubt: {'; '.join(listed)}."]


def _predictable(asked: Sequence[Answer]) -> list[str]:
    """Where the labels can be predicted, where some can."""
    if not asked:
        return []
    without = [answer for answer in asked if not answer.predictable]
    if not without:
        where = "" if len(asked) == 1 else f" in {_all(len(asked))}"
        return [f"The labels can be predicted: some method is better than {NAMES[CONSTANT]}{where}, beyond doubt."]
    names = list(dict.fromkeys(answer.condition.dataset for answer in without))
    several = len(names) < len(without) or len(names) > PLACES_NAMED
    where = f"In {in_words(len(without))} of {_conditions(len(asked))}" if several else f"On {_joined(names)}"
    return [
        f"{where} no method is better than {NAMES[CONSTANT]}, beyond doubt: there the labels cannot be predicted from "
        f"the structures {_labels(without)}, as far as these test molecules can tell."
    ]


def _unpredictable(asked: Sequence[Answer]) -> list[str]:
    where = {1: "", 2: " in either condition"}.get(len(asked), f" in any of the {_conditions(len(asked))}")
    return [
        f"These labels cannot be predicted from these structures {_labels(asked)}: no method is better than "
        f"{NAMES[CONSTANT]}{where}, beyond doubt.",
        "Take no model. More labels may change that; or else the labels may be mistaken, or depend on what a structure "
        "does not show. That is as far as these test molecules can tell: few of them do not show a weak relation.",
    ]


def _below(asked: Sequence[Answer]) -> list[str]:
    """How many rows are worse than no structure at all, by their means."""
    rows = sum(answer.methods - 1 for answer in asked)
    below = sum(len(answer.below) for answer in asked)
    if not below:
        return []
    return [
        f"{_capital(in_words(below))} of {rows} mean test scores {_are(below)} worse than that of {NAMES[CONSTANT]}."
    ]


def _labels(answers: Sequence[Answer]) -> str:
    """With how many labels that was."""
    budgets = {answer.condition.budget for answer in answers}
    return f"with {budget_title(budgets.pop())}" if len(budgets) == 1 else "with so many labels"


def _grouped(known: Sequence[Claim]) -> dict[tuple[str, ...], list[str]]:
    """The methods of these claims: those that share their places, and these."""
    methods: dict[str, list[str]] = {}
    for claim in known:
        methods.setdefault(claim.place, []).append(claim.method)
    places: dict[tuple[str, ...], list[str]] = {}
    for place, names in methods.items():
        places.setdefault(tuple(in_order(names)), []).append(place)
    return places


def _with(known: Sequence[Claim]) -> str:
    where = _grouped(known)
    if len(where) > PLACES_NAMED:
        return f"as the comparisons below say, {in_words(len(where))} of them"
    return _joined([f"with {_titles(methods)} {_places(places)}" for methods, places in where.items()])


def _titles(methods: Sequence[str]) -> str:
    if len(methods) > METHODS_NAMED:
        return f"any of {in_words(len(methods))} methods"
    return _joined([look(name).title for name in methods])


def _places(places: Sequence[str]) -> str:
    return _joined(places) if len(places) <= PLACES_NAMED else f"in {in_words(len(places))} comparisons"


def in_words(number: int) -> str:
    """A small number as a word."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def _conditions(number: int) -> str:
    return f"{in_words(number)} condition{'' if number == 1 else 's'}"


def _all(number: int) -> str:
    return "both conditions" if number == 2 else f"all {_conditions(number)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")


def answers_table(given: Sequence[Answer], runs: pd.DataFrame, advice: bool = True) -> Table:
    """One row a condition: whether the labels can be predicted, the best means, and what differs beyond doubt.

    Without `advice`, the first and the last are left out: another page says so, of what it hands out.
    """
    conditions = [answer.condition for answer in given]
    varying = identity_columns(conditions)
    unknown = number_cell("–", float("nan"), "soft")
    rows = []
    for answer in given:
        cells = [*identity(answer.condition, varying), *([_predicted(answer)] * advice)]
        if answer.best is None:
            rows.append([*cells, word("no score", "soft"), *[unknown] * 2, word(""), unknown])
        else:
            here = rows_of(runs, answer.condition)
            chosen = here[here["method"] == answer.best.method]
            score = f"{answer.metric} {_unbroken(answer.best.score)}{mark(worst(chosen['contamination']))}"
            score += f", {_unbroken(f'R² {answer.best.r2}')}" if answer.best.r2 else ""
            tuned = "none" if answer.tuned is None else f"{answer.tuned.title} {_unbroken(answer.tuned.score)}"
            full_ft, fingerprint = (
                difference(versus[NAMES[name]], answer.better) if NAMES[name] in versus else unknown
                for versus, name in ((answer.best_versus, FULL_FT), (answer.versus, FINGERPRINT))
            )
            rows.append(
                [
                    *cells,
                    word(answer.best.title, "best"),
                    number_cell(score, float(chosen["test_value"].mean()), "wrap"),
                    full_ft,
                    word("the same" if answer.tuned == answer.best else tuned, "wrap"),
                    fingerprint,
                ]
            )
        if advice:
            nothing = "nothing" if answer.told else "too few seeds to tell"
            rows[-1].append(word("; ".join(answer.beyond) or nothing, "long" if answer.beyond else "soft"))
    columns = [*(TITLES[name] for name in varying), *(["Better than the mean label"] * advice), "Best mean"]
    columns += [
        "#Test score",
        "#− Full FT",
        "Best fine-tuning",
        "#Fine-tuning − fingerprint",
        *(["Known beyond doubt"] * advice),
    ]
    facets = [condition._asdict() for condition in conditions]
    return Table(constant_caption(conditions, varying), columns, rows, facets)


def _predicted(answer: Answer) -> Cell:
    if answer.predictable is None:
        return word("not compared", "soft")
    if not answer.predictable:
        return word("nothing", "flag")
    return word(f"{len(answer.predicts)} of {answer.methods - 1}")
