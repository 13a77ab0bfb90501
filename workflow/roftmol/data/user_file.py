"""A user's own CSV before anything is computed: which columns, which task, and whether a recommendation can be made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from roftmol.core.errors import UserError
from roftmol.data import labels, molecules, parents
from roftmol.data.columns import listed, smiles_column
from roftmol.data.molecules import MISSING, Table
from roftmol.data.remarks import remarks
from roftmol.registry.catalog import SUFFIXES, Dataset
from roftmol.tasks import TASKS, classification, regression

#: Fewer molecules leave parts of a cross-validation with fewer than four, and training with a dozen.
MINIMUM = 20
#: Fewer of a class leave some part of a cross-validation, or the validation inside it, without one.
MINIMUM_OF_A_CLASS = 10


@dataclass(frozen=True)
class Columns:
    """What a file's columns mean."""

    smiles: str
    target: str
    task: str  #: a name in `tasks.TASKS`


def describe(path: Path, smiles: str | None = None, target: str | None = None, task: str | None = None) -> Columns:
    """Return what the columns of a CSV are; what is not given is guessed.

    The target is the one other column of numbers; it is a classification if its labels are 0 and 1 and nothing else.
    Raises `UserError` if the file is missing or no CSV, a column is not in it, or there is no single guess.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file (from {Path.cwd()}).")
    if path.suffix.lower() in SUFFIXES:
        raise UserError(f"{path}: a recommendation is made from a CSV; name structures in `own_datasets`.")
    table = molecules.load(path)
    smiles = smiles or smiles_column(table.header, str(path))
    table.column(smiles)
    target = target or _target(table, smiles)
    labels = table.column(target)
    if target == smiles:
        raise UserError(f"{path}: {target!r} is named as the SMILES and as the target; name another `target`.")
    given = {text for text in labels if text.casefold() not in MISSING}
    if not given:
        raise UserError(f"{path}: column {target!r} holds no label; name another `target`.")
    no_numbers = {text for text in given if _number(text) is None}
    if no_numbers:
        wrong = next(row for row, text in enumerate(labels) if text in no_numbers)
        raise UserError(
            f"{path}: column {target!r}, line {table.lines[wrong]}: {labels[wrong]!r} is not a number. Give "
            "numbers, for two classes 0 and 1, or leave the cell empty where nothing was measured."
        )
    values = {_number(text) for text in given}
    return Columns(smiles, target, task or (classification if values <= {0.0, 1.0} else regression).TASK.name)


def audit(path: Path, dataset: Dataset, max_rejected: float, settle_duplicates: bool) -> list[str]:
    """Refuse a file that no recommendation can be made from; return what is worth a word of any other, in sentences.

    Raises `UserError` for what :func:`molecules.read` refuses; for molecules that are there twice with different
    labels, unless `settle_duplicates` says that `dataset.duplicates` was the user's choice; for too few molecules or
    too few of a class; and if all labels are equal.
    """
    kept, rejects, tasks = molecules.read(path, dataset, max_rejected=max_rejected)
    table = molecules.load(path)
    target = dataset.labels[0]
    values = [label[0] for label in kept["labels"]]
    contradicting = rejects[rejects["reason"] == "contradicting_duplicate"]
    if len(contradicting) and not settle_duplicates:
        texts = table.column(target)
        names = table.column(dataset.smiles)
        rows = contradicting["row"].tolist()
        parsed = {row: molecules.parse(names[row]) for row in rows}
        same = [row for row in rows if parsed[row] == parsed[rows[0]]]
        differing = " and ".join(f"{texts[row]} in line {table.lines[row]}" for row in same)
        raise UserError(
            f"{path}: {names[rows[0]]!r} has different labels: {differing}. Remove all but one, or say "
            "`duplicates=average` or `duplicates=drop`"
            + (f" ({len(rows)} lines are of such molecules)." if len(rows) > len(same) else ".")
        )
    if len(kept) < MINIMUM:
        raise UserError(
            f"{path}: {len(kept)} molecules with a label can be used, and a recommendation needs {MINIMUM}: with "
            "fewer, no method's score is known well enough to choose. Add molecules."
        )
    if (different := parents.groups(kept).max() + 1) < MINIMUM:
        raise UserError(
            f"{path}: the {len(kept)} molecules with a label are forms of {different} substances (salts, charges, "
            f"stereoisomers, tautomers), and a recommendation needs {MINIMUM}: forms are dealt together. Add molecules."
        )
    if len(set(values)) == 1:
        raise UserError(f"{path}: all labels in column {target!r} are {values[0]:g}; there is nothing to learn.")
    if TASKS[dataset.task].classes:
        for value in (0, 1):
            if (count := values.count(value)) < MINIMUM_OF_A_CLASS:
                raise UserError(
                    f"{path}: {count} molecules have the label {value} in column {target!r}, and a recommendation "
                    f"needs {MINIMUM_OF_A_CLASS} of each class. Add molecules, or give a measured value as the target."
                )
    return remarks(kept, rejects, tasks)


def _target(table: Table, smiles: str) -> str:
    """Return the one column of numbers beside the SMILES; raise `UserError` if there is none or more than one."""
    numeric = []
    for name in dict.fromkeys(table.header):
        if name == smiles or table.header.count(name) > 1:
            continue
        texts = [text for text in table.column(name) if text.casefold() not in MISSING]
        if texts and all(_number(text) is not None for text in texts):
            numeric.append(name)
    if len(numeric) == 1:
        return numeric[0]
    others = [name for name in table.header if name != smiles]
    if len(others) == 1:
        return others[0]  # with labels that are no numbers, which is said later by name
    if numeric:
        raise UserError(
            f"{table.path}: {listed(numeric)} are columns of numbers; name the one to predict with `target`."
        )
    raise UserError(f"{table.path}: no column beside {smiles!r} holds numbers alone; name one with `target`.")


def _number(text: str) -> float | None:
    limit = labels.limit(text)
    try:
        return float(limit.number if limit else text)
    except ValueError:
        return None
