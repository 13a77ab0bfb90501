"""A user's own CSV before anything is computed: which columns, which task, and whether a recommendation can be made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from roftmol.core.errors import UserError
from roftmol.data import activity_cliffs, molecules, parents, smiles_cells
from roftmol.data import target as labels_of
from roftmol.data.columns import HEADER_WITHIN, is_smiles_name, is_unnamed, listed, smiles_column
from roftmol.data.delimited import Reading, Table, load
from roftmol.data.label_texts import Values, class_names, is_missing, translated, unmatched, yaml_key
from roftmol.data.remarks import of_reading, of_records, remarks
from roftmol.registry.catalog import SUFFIXES, TABLES, Dataset
from roftmol.tasks import TASKS

#: Fewer molecules leave parts of a cross-validation with fewer than four, and training with a dozen.
MINIMUM = 20
#: So many bytes of a file of structures, unpacked, are read when a run is planned: about a second's work.
STRUCTURES = 8_000_000
#: Fewer of a class leave some part of a cross-validation, or the validation inside it, without one.
MINIMUM_OF_A_CLASS = 10


@dataclass(frozen=True)
class Columns:
    """What a file's columns mean."""

    smiles: str
    target: str
    task: str  #: a name in `tasks.TASKS`
    labels: int = field(default=0, compare=False)  #: how many records have one
    classes: tuple[str, str] | None = field(default=None, compare=False)  #: what 0 and 1 are called, where otherwise
    guessed: str = field(default="", compare=False)  #: why this is the column of SMILES, if no name says so
    values: Values = field(default_factory=dict, compare=False)  #: the translations that its labels have

    def __str__(self) -> str:
        named = "" if self.classes is None else f" (class 1 is `{self.classes[1]}`, class 0 `{self.classes[0]}`)"
        return f"target `{self.target}`, {self.task}{named}, {self.labels} labels, column `{self.smiles}`{self.guessed}"


def describe(
    path: Path,
    smiles: str | None = None,
    target: str | None = None,
    task: str | None = None,
    values: Values | None = None,
    censored: str | None = None,
    sheet: str = "",
) -> Columns:
    """Return what the columns of a CSV are; what is not given is guessed, where there is no doubt.

    `values` translate labels; where `censored` says what becomes of limits, `>10` is a label. A classification has the
    labels 0 and 1 and nothing else. Raises `UserError` if the file is missing or no CSV, a column is not in it or there
    twice, a guess is in doubt, or a label is none of the task.
    """
    table, smiles, guessed = _opened(path, smiles, sheet)
    target = target or labels_of.choose(table, smiles)
    named = [name.strip() for name in target.split(",")]
    if len(named) > 1 and target not in table.header and {*named} <= {*table.header}:
        raise UserError(
            f"{path}: no column {target!r}. Several targets are a list: target='[{', '.join(map(yaml_key, named))}]', "
            "or --target once for each."
        )
    return _described(table, smiles, guessed, target, task, values or {}, censored)


def describe_several(
    path: Path,
    smiles: str | None,
    targets: Sequence[str],
    task: str | None = None,
    values: Values | None = None,
    censored: str | None = None,
    sheet: str = "",
) -> tuple[list[Columns], int]:
    """Return what the columns are for each of several targets, and how many records have a label of all of them.

    A target has those of the `values` that one of its cells needs; `task` is that of targets whose labels leave open
    what they are. Raises `UserError` as :func:`describe` does; for a target that is named twice; for a value that no
    target has; and where a column beside several measured targets holds relations or units, for nobody says of which.
    """
    if twice := [name for name in targets if targets.count(name) > 1]:
        raise UserError(f"{path}: {twice[0]!r} is named twice among the targets; name it once.")
    table, smiles, guessed = _opened(path, smiles, sheet)
    values = values or {}
    cells = {name: table.column(name) for name in targets}
    labels_of.check_values(table, targets, values)
    found = []
    for target in targets:
        own = {key: value for key, value in values.items() if key not in unmatched(cells[target], values)}
        try:
            one = _described(table, smiles, guessed, target, None, own, censored)
        except UserError:
            if task is None:
                raise
            one = _described(table, smiles, guessed, target, task, own, censored)
        found.append(one)
    measured = [one.target for one in found if not TASKS[one.task].classes]
    beside = [name for name in dict.fromkeys(table.header) if name not in (smiles, *targets) and not is_unnamed(name)]
    for name in beside if len(measured) > 1 else []:
        if labels_of.describes_labels([record[table.header.index(name)].strip() for record in table.records]):
            raise UserError(
                f"{path}: column {name!r} holds relations or units, and does not say whether of {listed(measured)}. "
                "Write limits into the cells of the labels, as >10, and labels in one unit; or recommend for one "
                "target at a time."
            )
    labelled = [[not is_missing(translated(text, one.values)) for text in cells[one.target]] for one in found]
    return found, sum(map(all, zip(*labelled, strict=True)))


def _opened(path: Path, smiles: str | None, sheet: str) -> tuple[Table, str, str]:
    """Return a table, its column of SMILES, and why it is taken for that where its name does not say so."""
    if not path.is_file():
        raise UserError(f"{path}: there is no such file (from {Path.cwd()}).")
    form = SUFFIXES.get(path.suffix.lower(), "csv")
    if form not in TABLES:
        raise UserError(f"{path}: a recommendation is made from a table; name structures in `own_datasets`.")
    table, guessed = load(path, Reading(smiles, sheet, form == "smi")), ""
    if smiles is None:
        smiles, guessed = _guessed_smiles(table)
    table.column(smiles)
    return table, smiles, guessed


def _described(
    table: Table, smiles: str, guessed: str, target: str, task: str | None, values: Values, censored: str | None
) -> Columns:
    if target == smiles:
        raise UserError(f"{table.path}: {target!r} is named as the SMILES and as the target; name another `target`.")
    task = labels_of.task_of(table, target, task, values, censored)
    given = sum(not is_missing(translated(text, values)) for text in table.column(target))
    classes = class_names(values) if TASKS[task].classes else None
    return Columns(smiles, target, task, given, classes, guessed, values)


def audit(path: Path, dataset: Dataset, max_rejected: float, settle_duplicates: bool) -> list[str]:
    """Return what is worth a word of a file, in sentences; refuse one that no recommendation can be made from.

    Raises `UserError` for what :func:`molecules.read` refuses; for molecules that are there twice with different
    labels, unless `settle_duplicates` says that `dataset.duplicates` was the user's choice; for too few molecules or
    too few of a class; and if all labels are equal.
    """
    # Whatever contradicts itself is told, and not dropped, before the user has said what to do.
    rules = dataset if settle_duplicates else replace(dataset, duplicates="keep")
    kept, rejects, tasks = molecules.read(path, rules, max_rejected=max_rejected)
    table = load(path, molecules.reading(dataset, dataset.smiles))
    target = dataset.labels[0]
    contradicting = rejects[rejects["reason"] == "contradicting_duplicate"]
    if len(contradicting) and not settle_duplicates:
        texts = table.column(target)
        names = table.column(dataset.smiles)
        rows = contradicting["row"].tolist()
        parsed = {row: molecules.parse(names[row]) for row in rows}
        same = [row for row in rows if parsed[row] == parsed[rows[0]]]
        differing = " and ".join(f"{texts[row]} in {table.position(row)}" for row in same)
        raise UserError(
            f"{path}: {names[rows[0]]!r} has different labels: {differing}. Remove all but one, or say "
            "`duplicates=average` or `duplicates=drop`"
            + (f" ({len(rows)} {table.word}s are of such molecules)." if len(rows) > len(same) else ".")
        )
    if dataset.duplicates != "keep":
        kept = kept.drop_duplicates("canonical")
    every = np.array(kept["labels"].tolist(), np.float64).reshape(len(kept), -1)
    values = TASKS[dataset.task].values(every)[:, :1]
    labels = values[~np.isnan(values)].tolist()
    if len(labels) < MINIMUM:
        what = "a label" if len(labels) == len(kept) else "a label that is a value, no limit,"
        raise UserError(
            f"{path}: {len(labels)} molecules with {what} can be used, and a recommendation needs {MINIMUM}: with "
            "fewer, no method's score is known well enough to choose. Add molecules."
        )
    if (different := parents.groups(kept).max() + 1) < MINIMUM:
        raise UserError(
            f"{path}: the {len(kept)} molecules with a label are forms of {different} substances (salts, charges, "
            f"stereoisomers, tautomers), and a recommendation needs {MINIMUM}: forms are dealt together. Add molecules."
        )
    if len(set(labels)) == 1:
        raise UserError(f"{path}: all labels in column {target!r} are {labels[0]:g}; there is nothing to learn.")
    if TASKS[dataset.task].classes:
        for value in (0, 1):
            if (count := labels.count(value)) < MINIMUM_OF_A_CLASS:
                raise UserError(
                    f"{path}: {count} molecules have the label {value} in column {target!r}, and a recommendation "
                    f"needs {MINIMUM_OF_A_CLASS} of each class. Add molecules, or give a measured value as the target."
                )
    return [
        *of_reading(table, dataset.labels, dataset.values),
        *of_records(table, len(kept), rejects, dataset.duplicates),
        *remarks(kept, rejects, tasks),
    ]


def audit_labels(path: Path, dataset: Dataset) -> list[str]:
    """Return what is worth a word of how a file of `own_datasets` is read; refuse labels that its jobs would refuse.

    Of structures as many are read as stand in the first `STRUCTURES` bytes. Raises `UserError` for what
    :func:`molecules.labels_of` refuses, for a column that is not there, for a key of `values` that means no label, and
    for potencies that are no logarithms. Molecules are not looked at.
    """
    told = []
    whole = True
    if dataset.format in TABLES:
        table = load(path, molecules.reading(dataset, dataset.smiles))
        table.column(dataset.smiles)
    elif dataset.format == "xyz" and find_spec("ase") is None:  # which is in the environment of the jobs alone
        return ["ASE, which reads an XYZ, is not installed here, so its labels are looked at by its first job."]
    else:
        records, whole = molecules.first_structures(path, dataset, STRUCTURES)
        table = molecules.property_table(path, records)
        if not whole and not {*dataset.labels, *filter(None, [dataset.split_column])} - {"*"} <= {*table.header}:
            # What the first records lack, another one may have.
            table, whole = molecules.property_table(path, molecules.structures(path, dataset)), True
        if not whole:
            told.append(
                f"{len(records):,} records, which stand in the first {STRUCTURES:,} bytes, are looked at when the run "
                "is planned; the others are by its first job."
            )
    for name in filter(None, (dataset.split_column, *dataset.geometry)):
        table.column(name)
    names = molecules.label_names(table, dataset)
    if whole:
        labels_of.check_values(table, names, dataset.values)
    labels, _, _ = molecules.labels_of(table, names, dataset, dataset.values)
    if dataset.potency:
        activity_cliffs.demand_logarithms(labels[:, 0], np.arange(len(labels)), dataset, table.position)
    return [*told, *of_reading(table, names, dataset.values)]


def _guessed_smiles(table: Table) -> tuple[str, str]:
    """Return the column of SMILES, and behind what it is said by which it is guessed where its name says nothing.

    Raises `UserError` if a name says so and what is in it is no SMILES, and if no name does and not one column alone
    holds SMILES.
    """
    names = [name for name in table.header if not is_unnamed(name)]
    columns = {
        name: [record[table.header.index(name)].strip() for record in table.records[: smiles_cells.TRIED]]
        for name in names
    }
    try:
        guess = smiles_column(names, str(table.path))
    except UserError as error:
        holding = smiles_cells.columns_of(columns)
        if len(holding) == 1 and not any(map(is_smiles_name, names)):
            return holding[0], smiles_cells.WHY
        raise UserError(f"{error}{_smiles_hint(table, holding)}") from None
    cells = [(text, row) for row, text in enumerate(table.column(guess)) if text][: smiles_cells.TRIED]
    wrong = [(text, row) for text, row in cells if not smiles_cells.is_one(text)]
    if 2 * len(wrong) <= len(cells):
        return guess, ""
    text, row = wrong[0]
    better = next((name for name in smiles_cells.columns_of(columns) if name != guess), "")
    hint = f", for example smiles={better!r}" if better else ""
    raise UserError(
        f"{table.path}: column {guess!r} was taken for the SMILES, but {text!r} in {table.position(row)} is none; name "
        f"the column of SMILES with `smiles`{hint}."
    )


def _smiles_hint(table: Table, holding: Sequence[str]) -> str:
    """Return what helps where no column is called SMILES: those that hold some, or the header in a line below."""
    if holding:
        holds = "holds" if len(holding) == 1 else "hold"
        return f" {' and '.join(map(repr, holding))} {holds} some: smiles={holding[0]!r}."
    for record, line in zip(table.records[:HEADER_WITHIN], table.lines, strict=False):
        if any(map(is_smiles_name, record)):
            return f" {table.word.capitalize()} {line} looks like the header: remove the {table.word}s above it."
    if sum(map(bool, table.header)) < sum(map(bool, table.records[0])):
        return " If that is a title, name a column of the header below it; what stands above that is then skipped."
    return ""
