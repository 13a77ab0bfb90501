"""What to do, over all conditions: a few plain sentences, and a row for each condition.

Every sentence that prefers a method rests on comparisons that the stage `statistics` corrected together, over the whole
experiment. So of the experiments without a difference, at most one in twenty gets such a sentence. If nothing is known,
the page says so and names a default, which is not a claim.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from roftmol.evaluation.contamination import worst
from roftmol.figures.cells import Condition, Results, budget_title, rows_of
from roftmol.figures.style import in_order, look
from roftmol.methods import (
    ALL_METHODS,
    BASELINES,
    CLASSICAL,
    CONSTANT,
    FINGERPRINT,
    FULL_FT,
    HYBRID,
    METHODS,
    WITHOUT_ENCODER,
    WITHOUT_PRETRAINING,
)
from roftmol.report.answers import NAMES, Answer, named
from roftmol.report.results import TITLES, better_than, constant_caption, identity, identity_columns, lead, mark
from roftmol.report.statistics import Claim, beyond_chance, claims, power
from roftmol.report.table import Cell, Table, number_cell, word

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
#: The title of the column that says what pretraining is worth.
OVER_REFERENCE = "Pretrained better than best reference by"
#: What makes a recommendation and a model from a file of one's own.
OWN_FILE = "roftmol recommend mine.csv"
#: A sentence names at most so many places or methods; of more, it gives the number.
PLACES_NAMED = 4
METHODS_NAMED = 4


def verdict(results: Results, given: Sequence[Answer]) -> list[str]:
    """Say what to do and why, the advice first; nothing if no fine-tuning method has a score."""
    scored = [answer for answer in given if answer.tuned]
    if not scored:
        return []
    with_constant = [answer for answer in scored if answer.predictable is not None]
    places = _places_of(with_constant)
    if places and not any(answer.predictable for answer in places):
        return [*_unpredictable(places), *_below(with_constant)]
    differences = claims(results)
    advice, _, rest = _advice(results, differences)
    counted = filter(None, [beyond_chance(results, differences), *power(results)])
    return [advice, *_findings(rest), *_predictable(places), *counted, *_below(with_constant)]


def _places_of(compared: Sequence[Answer]) -> list[Answer]:
    """Return an answer for each protocol, dataset, split and budget, one in which the labels can be predicted if any.

    References are one fit beside all models: six conditions of two models are three places.
    """
    places: dict[Condition, Answer] = {}
    for answer in compared:
        place = answer.condition._replace(model="")
        if place not in places or answer.predictable:
            places[place] = answer
    return list(places.values())


def advised(results: Results, given: Sequence[Answer]) -> list[str]:
    """Return the methods that the advice says to take, a few at most; none if the labels cannot be predicted."""
    with_constant = [answer for answer in given if answer.tuned and answer.predictable is not None]
    nothing = with_constant and not any(answer.predictable for answer in with_constant)
    if nothing or not any(answer.tuned for answer in given):
        return []
    _, methods, _ = _advice(results, claims(results))
    return methods if len(methods) <= METHODS_NAMED else []


def _advice(results: Results, differences: Sequence[Claim]) -> tuple[str, list[str], list[Claim]]:
    """Return the advice, the methods that it says to take, and the differences that it does not mention.

    The advice says which fine-tuning is better than the references, or names the default, which claims nothing.
    """
    tuned = [claim for claim in differences if claim.method not in WITHOUT_PRETRAINING]
    ahead = [claim for claim in tuned if (claim.reference, claim.verdict) == (FINGERPRINT, "better")]
    behind = _all_behind(tuned)
    over_full_ft = [claim for claim in tuned if (claim.reference, claim.verdict) == (FULL_FT, "better")]
    sentences = []
    heads = [claim for claim in ahead if not ALL_METHODS[claim.method].trains_encoder]
    for verb, alike in (("Use", heads), ("Fine-tune", [claim for claim in ahead if claim not in heads])):
        if alike:
            what = _with(alike).removeprefix("with ") if verb == "Use" else _with(alike)
            sentences.append(f"{verb} {what}: better than {NAMES[FINGERPRINT]}, beyond doubt.")
    if behind:
        where = _places(list(dict.fromkeys(claim.where for claim in behind)))
        sentences.append(f"Use {NAMES[FINGERPRINT]} {where}: better than every fine-tuned model there, beyond doubt.")
    mentioned = [*ahead, *behind]
    methods = in_order([*(claim.method for claim in ahead), *([FINGERPRINT] if behind else [])])
    if over_full_ft and not sentences:
        mentioned = over_full_ft
        methods = in_order(claim.method for claim in over_full_ft)
        if FINGERPRINT in set(results.summary["method"]):
            sentences.append(
                f"If you fine-tune, do so {_with(mentioned)}: better than full FT, beyond doubt. Whether that is also "
                f"better than {NAMES[FINGERPRINT]} is not known."
            )
        else:
            sentences.append(f"Fine-tune {_with(mentioned)}: better than full FT, beyond doubt.")
    rest = [claim for claim in differences if claim not in mentioned]
    if sentences:
        return " ".join(sentences), methods, rest
    default, said = _default(results)
    return f"No method is known to be better than the others. {said}", default, rest


def _all_behind(tuned: Sequence[Claim]) -> list[Claim]:
    """Return the claims of those places where every fine-tuning method compared is worse than the fingerprint."""
    behind = []
    for where in dict.fromkeys(claim.where for claim in tuned):
        here = [claim for claim in tuned if (claim.where, claim.reference) == (where, FINGERPRINT)]
        if here and len(here) == here[0].compared and all(claim.verdict == "worse" for claim in here):
            behind += here
    return behind


def _default(results: Results) -> tuple[list[str], str]:
    """Return the method that is taken where nothing is known, and the sentence that says so."""
    ran = set(results.summary["method"])
    default = {
        HYBRID: "for its record on other datasets",
        CLASSICAL: "which needs no network",
        FINGERPRINT: "which needs no network",
        FULL_FT: "which is the plainest",
    }
    for name, why in default.items():
        if name in ran:
            title = METHODS[name].phrase or METHODS[name].title
            return [name], f"By default, take {title}, {why}. That is not a claim that it is better here."
    return [], "Take whichever is cheapest for you."


def _findings(differences: Sequence[Claim]) -> list[str]:
    """Say in one sentence what else is known beyond doubt."""
    findings = []
    for reference in BASELINES:
        for verdict in ("better", "worse"):
            alike = [claim for claim in differences if (claim.reference, claim.verdict) == (reference, verdict)]
            for methods, places in _grouped(alike).items():
                comparison = f"{_are(len(methods))} {verdict} than {named(reference)}"
                findings.append(f"{_titles(methods)} {comparison} {_places(places)}")
    if not findings:
        return []
    left = len(findings) - PLACES_NAMED
    if left > 0:
        findings = [*findings[:PLACES_NAMED], f"and {in_words(left)} more such findings (Comparisons)"]
    return [f"Known beyond doubt: {'; '.join(findings)}."]


def _predictable(compared: Sequence[Answer]) -> list[str]:
    """Say where the labels can be predicted, given that they can be somewhere."""
    if not compared:
        return []
    without = [answer for answer in compared if not answer.predictable]
    if not without:
        number = len(compared)
        of_datasets = len({answer.condition.dataset for answer in compared}) == number
        everywhere = f" on {_all(number, 'dataset')}" if of_datasets else f" in {_all(number)}"
        where, there = ("", "") if number == 1 else (everywhere, " there")
        return [
            f"The labels can be predicted from the structures{where}. Some method is better{there} than "
            f"{NAMES[CONSTANT]} for every molecule, beyond doubt."
        ]
    names = list(dict.fromkeys(answer.condition.dataset for answer in without))
    several = len(names) < len(without) or len(names) > PLACES_NAMED
    where = f"In {in_words(len(without))} of {_conditions(len(compared))}" if several else f"On {_joined(names)}"
    return [
        f"{where}, no method is better than {NAMES[CONSTANT]} for every molecule, beyond doubt. So the labels there "
        f"cannot be predicted from the structures {_labels(without)}, as far as these test molecules can tell."
    ]


def _unpredictable(compared: Sequence[Answer]) -> list[str]:
    where = {1: "", 2: " in either condition"}.get(len(compared), f" in any of the {_conditions(len(compared))}")
    return [
        f"These labels cannot be predicted from these structures {_labels(compared)}: no method is better than "
        f"{NAMES[CONSTANT]}{where}, beyond doubt.",
        "Take no model.",
        "More labels may change that. Or the labels may be wrong, or depend on something that a structure does not "
        "show.",
        "These test molecules can tell no more: a few of them do not reveal a weak relation.",
    ]


def _below(compared: Sequence[Answer]) -> list[str]:
    """Say how many mean scores are worse than that of the mean label, which reads no structure."""
    rows = len({score for answer in compared for score in answer.scores})
    below = len({score for answer in compared for score in answer.scores_below})
    if not below:
        return []
    return [
        f"{_capital(in_words(below))} of {rows} mean test scores {_are(below)} worse than that of {NAMES[CONSTANT]}."
    ]


def _labels(answers: Sequence[Answer]) -> str:
    """Say with how many labels that was."""
    budgets = {answer.condition.budget for answer in answers}
    return f"with {budget_title(budgets.pop())}" if len(budgets) == 1 else "with so many labels"


def _grouped(alike: Sequence[Claim]) -> dict[tuple[str, ...], list[str]]:
    """Map the methods of claims with one verdict to the places where exactly these methods have it."""
    methods: dict[str, list[str]] = {}
    for claim in alike:
        methods.setdefault(claim.where, []).append(claim.method)
    places: dict[tuple[str, ...], list[str]] = {}
    for where, names in methods.items():
        places.setdefault(tuple(in_order(names)), []).append(where)
    return places


def _with(alike: Sequence[Claim]) -> str:
    groups = _grouped(alike)
    if len(groups) > PLACES_NAMED:
        return f"as the comparisons below say, {in_words(len(groups))} of them"
    return _joined([f"with {_titles(methods)} {_places(places)}" for methods, places in groups.items()])


def _titles(methods: Sequence[str]) -> str:
    if len(methods) > METHODS_NAMED:
        return f"any of {in_words(len(methods))} methods"
    return _joined([look(name).title for name in methods])


def _places(places: Sequence[str]) -> str:
    return _joined(places) if len(places) <= PLACES_NAMED else f"in {in_words(len(places))} comparisons"


def in_words(number: int) -> str:
    """Write a small number as a word."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def _conditions(number: int, what: str = "condition") -> str:
    return f"{in_words(number)} {what}{'' if number == 1 else 's'}"


def _all(number: int, what: str = "condition") -> str:
    return f"both {what}s" if number == 2 else f"all {_conditions(number, what)}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _unbroken(text: str) -> str:
    return text.replace(" ", "\u00a0")


def answers_table(given: Sequence[Answer], runs: pd.DataFrame, advice: bool = True) -> Table:
    """Make a row a condition: whether the labels can be predicted, the best means, and what differs beyond doubt.

    Without `advice`, the first and the last are left out: the page of a recommendation says them instead.
    """
    conditions = [answer.condition for answer in given]
    varying = identity_columns(conditions)
    unknown = number_cell("–", float("nan"), "soft")
    rows = []
    told: set[Condition] = set()
    for answer in given:
        cells = identity(answer.condition, varying)
        if advice:
            cells.append(_predicted(answer))
        if answer.best is None:
            cells += [word("no score", "soft"), unknown, unknown, word(""), unknown]
        else:
            here = rows_of(runs, answer.condition)
            chosen = here[here["method"] == answer.best.method]
            score = f"{answer.metric} {_unbroken(answer.best.score)}{mark(worst(chosen['contamination']))}"
            score += f", {_unbroken(f'R² {answer.best.r2}')}" if answer.best.r2 else ""
            tuned = "none" if answer.tuned is None else f"{answer.tuned.title} {_unbroken(answer.tuned.score)}"
            over_full_ft = answer.best_versus.get(NAMES[FULL_FT])
            repeated = answer.best.method in WITHOUT_ENCODER and answer.condition._replace(model="") in told
            told.add(answer.condition._replace(model=""))
            cells += [
                word(answer.best.title + (", the same fits" if repeated else ""), "" if repeated else "best"),
                number_cell(score, float(chosen["test_value"].mean())),
                lead(over_full_ft) if over_full_ft else unknown,
                word("the same" if answer.tuned == answer.best else tuned),
                _over_reference(answer) or unknown,
            ]
        if advice:
            nothing = "nothing" if answer.enough else "too few seeds to tell"
            cells.append(word("; ".join(answer.beyond) or nothing, "long" if answer.beyond else "soft"))
        rows.append(cells)
    columns = [TITLES[name] for name in varying]
    columns += ["Better than the mean label"] if advice else []
    columns += ["Best mean", "#Test score", f"#{better_than(FULL_FT)}", "Best pretrained", f"#{OVER_REFERENCE}"]
    columns += ["Known beyond doubt"] if advice else []
    facets = [condition._asdict() for condition in conditions]
    return Table(constant_caption(conditions, varying), columns, rows, facets)


def _over_reference(answer: Answer) -> Cell | None:
    """Return what the best pretrained method is worth beside the best that needs no network, which it names."""
    if answer.over_reference is None or answer.reference is None:
        return None
    cell = lead(answer.over_reference)
    return cell._replace(text=f"{cell.text} ({answer.reference.title})")


def _predicted(answer: Answer) -> Cell:
    if answer.predictable is None:
        return word("not compared", "soft")
    if not answer.predictable:
        return word("nothing", "flag")
    return word(f"{len(answer.predicts)} of {answer.methods - 1}")
