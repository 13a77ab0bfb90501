"""Which column of a user's own table is learnt, and as what: where anything else could be meant, the user is asked.

A column is a candidate if half of its cells are numbers, be it with a sign such as > or a unit, if the others are a
few words, or if it holds two words. Names that identify records or describe molecules are never guessed to be labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from roftmol.core.errors import UserError
from roftmol.data.columns import is_no_label, is_unnamed, listed
from roftmol.data.delimited import Table, twice
from roftmol.data.label_texts import (
    LEFT_OUT,
    Values,
    holds_relations,
    holds_units,
    is_missing,
    limit,
    number,
    proposed,
    translated,
    unmatched,
    yaml_key,
)
from roftmol.data.written_numbers import Written, is_like_a_number, mend, plain
from roftmol.registry.catalog import ONE_SIDED
from roftmol.tasks import TASKS, classification, regression

#: So many words between numbers are codes, and so many words alone are classes.
WORDS = 5
CLASSES = 10
#: Whole numbers that are so few, and each so often, may be codes of classes.
CODES, OFTEN = 10, 3


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, its cells, and where each is, as a line or a row."""

    name: str
    cells: Sequence[str]
    positions: Sequence[str]

    @cached_property
    def given(self) -> list[tuple[str, str]]:
        """Return the cells in which something stands, with where they are."""
        return [(text, where) for text, where in zip(self.cells, self.positions, strict=True) if not is_missing(text)]

    @cached_property
    def written(self) -> Written:
        """Return these cells with their numbers as Python writes them."""
        return plain([text for text, _ in self.given])

    @cached_property
    def words(self) -> Counter[str]:
        """Count the cells that are not like numbers, in lower case."""
        pairs = zip(self.given, self.written.texts, strict=True)
        return Counter(text.casefold() for (text, _), read in pairs if not is_like_a_number(read))

    @property
    def holds_words(self) -> bool:
        """Return whether it holds a few words and nothing else, most of them repeated: classes, or groups."""
        few = 2 <= len(self.words) <= CLASSES and 2 * len(self.words) <= len(self.given)
        return few and self.words.total() == len(self.given)

    @property
    def is_candidate(self) -> bool:
        """Return whether it may hold labels: numbers, numbers and some words, or two words."""
        numbers = len(self.given) - self.words.total()
        if not numbers:
            return len(self.words) == 2 and self.holds_words
        return 2 * numbers >= len(self.given) or len(self.words) <= WORDS

    @property
    def describes_labels(self) -> bool:
        """Return whether it holds the relations or units of labels that stand in another column."""
        return describes_labels(self.cells)

    @property
    def counts_records(self) -> bool:
        """Return whether its whole numbers all differ, or rise or fall throughout, as those do that number records.

        What has a unit is measured.
        """
        numbers = [number(text) for text in self.written.texts]
        if self.written.unit or not all(value is not None and value.is_integer() for value in numbers):
            return False
        values = [value for value in numbers if value is not None]
        steps = [later - earlier for earlier, later in pairwise(values)]
        monotone = all(step >= 0 for step in steps) or all(step <= 0 for step in steps)
        return len(set(values)) == len(values) or (monotone and len(set(values)) > 2)


def describes_labels(cells: Sequence[str]) -> bool:
    """Return whether a column's cells are relations or units of labels that stand in another column."""
    return holds_relations(cells) or holds_units(cells)


def choose(table: Table, smiles: str) -> str:
    """Return the column of labels: the only one that can be it.

    Raises `UserError` that names the columns and the key `target` where there is none, or any doubt.
    """
    positions = _positions(table)
    columns = [
        Column(name, [record[table.header.index(name)].strip() for record in table.records], positions)
        for name in dict.fromkeys(table.header)
        if name != smiles and not is_unnamed(name)
    ]
    likely = [column for column in columns if not is_no_label(column.name) and not column.describes_labels]
    if len(columns) == len(likely) == 1:
        return likely[0].name  # with whatever labels, which is said later
    candidates = [column for column in likely if column.is_candidate]
    if not candidates:
        others = [column.name for column in columns if column not in likely and column.is_candidate]
        named = f", and {listed(others)} by the name is none that is learnt" if others else ""
        beside = f"no column beside {smiles!r} holds numbers or two words{named}; "
        raise UserError(f"{table.path}: {beside}name the one to predict with `target`{_for_example(likely or columns)}")
    one = candidates[0]
    if len(candidates) > 1:
        which = listed(column.name for column in candidates)
        kinds = "of numbers or of two words" if any(column.holds_words for column in candidates) else "of numbers"
        raise UserError(
            f"{table.path}: {which} are columns {kinds}; name the one to predict with "
            f"`target`{_for_example(candidates)} Several are learnt as target='{_as_list(candidates)}'."
        )
    if table.header.count(one.name) > 1:
        raise UserError(f"{table.path}: {twice(one.name, table.header.count(one.name))}")
    rivals = [column.name for column in likely if column is not one and column.holds_words]
    # Numbers that have relations or units are measured values; what those mean is the next question.
    described = any(column.describes_labels for column in columns)
    if rivals or (one.counts_records and not described):
        why = f"{listed(rivals)} may be the labels" if rivals else "its whole numbers may count or identify the records"
        text, first = one.given[0]
        raise UserError(
            f"{table.path}: column {one.name!r} ({first}: {text!r}) holds numbers, but {why}; name the one to "
            f"predict with `target`{_for_example([one])}"
        )
    return one.name


def _positions(table: Table) -> list[str]:
    return [table.position(row) for row in range(len(table.records))]


def _as_list(columns: Sequence[Column]) -> str:
    """Return two columns as a list is typed."""
    return "[" + ", ".join(yaml_key(column.name) for column in columns[:2]) + "]"


def _for_example(columns: Sequence[Column]) -> str:
    """Return an example of `target`: the first column whose numbers do not count records."""
    one = next((column for column in columns if not column.counts_records), columns[0] if columns else None)
    return f", for example target={one.name!r}." if one else "."


def task_of(table: Table, target: str, task: str | None, values: Values, censored: str | None = None) -> str:
    """Return the name of the task that the column of labels is: `task` where given, else what its labels say.

    Raises `UserError` for a label that is none of the task, with its line, and for what may be codes of classes. A
    label that only limits the value is one where `censored` says what becomes of it; where it is learnt as a limit, the
    task is the kind whose labels may be limits.
    """
    column = Column(target, table.column(target), _positions(table))
    if task is not None and TASKS[task].limits:
        censored = ONE_SIDED
    check_values(table, [target], values)
    texts = plain([translated(text, values) for text in column.cells]).texts
    labels = zip(texts, column.cells, column.positions, strict=True)
    given = [
        _Given(_value(label, task, censored), label, text, position)
        for label, text, position in labels
        if not is_missing(label)
    ]
    where = f"{table.path}: column {target!r}"
    if not given:
        raise UserError(f"{where} holds no label; name another `target`.")
    _check_words(where, column, given, values)
    numbers = {one.value for one in given if one.value is not None}
    classes = task is not None and TASKS[task].classes
    if numbers <= {0.0, 1.0}:
        return task or classification.TASK.name
    other = next(one for one in given if one.value not in (0, 1))
    codes = sorted(numbers)
    example = _codes(codes)
    if classes:
        raise UserError(
            f"{where}, {other.position}: {other.text!r} is neither of the classes 0 and 1. Say which is which, "
            f"for example {example}; a label may be `missing`. More than two classes cannot be learnt."
        )
    few = len(codes) <= CODES and all(code.is_integer() for code in codes) and len(given) >= OFTEN * len(codes)
    if task is None and len(codes) > 1 and few:
        raise UserError(
            f"{where} holds only {', '.join(f'{code:g}' for code in codes)} ({other.position}: {other.text!r}). If "
            f"these are codes of classes, say what each means, for example {example}; more than two classes cannot be "
            f"learnt. If they are measured values, say task={regression.TASK.name}."
        )
    task = task or regression.TASK.name
    return (censored == ONE_SIDED and TASKS[task].with_limits) or task


class _Given(NamedTuple):
    """A label: its number if it has one, the text that it is read from, and the cell with its position."""

    value: float | None
    label: str
    text: str
    position: str


def check_values(table: Table, targets: Sequence[str], values: Values) -> None:
    """Raise `UserError` for a key of `values` that means no cell of the columns of labels."""
    cells = {text: text for name in targets for text in table.column(name)}
    if not (wrong := unmatched(cells, values)):
        return
    columns = f"column {targets[0]!r}" if len(targets) == 1 else f"the columns {listed(targets)}"
    spelt = {text.casefold(): text for text in cells}
    # Of numbers, another one is no slip of the pen.
    near = get_close_matches(wrong[0].casefold(), spelt, n=1) if number(wrong[0]) is None else []
    mend = f"Did you mean {spelt[near[0]]!r}?" if near else "Correct it, or leave it out."
    raise UserError(f"{table.path}: no cell of {columns} is {wrong[0]!r}, which `values` names. {mend}")


def _value(label: str, task: str | None, censored: str | None) -> float | None:
    """Return the number of a label, be it of the task's own spelling or a limit; None for what is none."""
    value = number(label)
    if value is None and task is not None:
        try:
            return TASKS[task].read(label)
        except ValueError:
            pass
    return _limit(label) if value is None and censored else value


def _limit(text: str) -> float | None:
    """Return the number of a label such as `>10000`; None for any other."""
    bound = limit(text)
    return number(bound.number) if bound else None


def _codes(codes: Sequence[float]) -> str:
    """Return codes as `values`: the two highest are classes, lower ones are left out."""
    texts = [f"{code:g}" for code in codes[-10:]]
    return proposed(texts[-2:], texts[:-2])


def _check_words(where: str, column: Column, given: Sequence[_Given], values: Values) -> None:
    """Raise `UserError` for labels that are no numbers; classes in words are asked for."""
    wrong = [one for one in given if one.value is None]
    if not wrong:
        return
    first = wrong[0]
    text, where = first.text, f"{where}, {first.position}"
    spelt = list({one.text.casefold(): one.text for one in reversed(wrong)}.values())
    if not values and len(wrong) == len(given) and column.holds_words:
        words = sorted(spelt, key=str.casefold)
        if len(words) == 2:
            asked = f"the words {words[0]!r} and {words[1]!r}. If these are two classes, say which is 1"
        else:
            asked = f"{len(words)} classes: {listed(words)}. Two can be learnt, so say which are 0, 1 or missing"
        raise UserError(
            f"{where}: {text!r} is not a number; the column holds {asked}, for example "
            f"{proposed(words[:2], words[2:])}; or name another `target`."
        )
    limits = [one for one in wrong if _limit(one.label) is not None]
    others = list({one.text.casefold(): one.text for one in reversed(wrong) if one not in limits}.values())
    if first in limits:
        advice = (
            f"{len(limits)} of {len(given)} labels only limit the value. Say what becomes of them: censored=drop "
            "leaves them out, censored=limit takes the number for the value, censored=one_sided learns that the value "
            "lies beyond it"
        )
    elif as_a_number := mend(first.label):
        advice = as_a_number
    else:
        advice = "Give numbers, for two classes 0 and 1, or leave the cell empty where nothing was measured"
        if len(others) <= WORDS and not any(map(is_like_a_number, others)):
            # What was said before is to be said again.
            said = {key: meaning if meaning == LEFT_OUT else f"{meaning:g}" for key, meaning in values.items()}
            said |= dict.fromkeys(others, LEFT_OUT)
            advice += "; or say values='{" + ", ".join(f"{yaml_key(key)}: {said[key]}" for key in said) + "}'"
    raise UserError(f"{where}: {text!r} is not a number. {advice}, or name another `target`.")
