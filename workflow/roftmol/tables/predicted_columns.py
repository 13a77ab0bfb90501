"""The columns in which a model to use predicts, by the kind of label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roftmol.core.errors import UserError

#: Of a value: itself and its interval.
VALUE = ("prediction", "low", "high")
#: Of two classes: the probability of class 1.
PROBABILITY = ("probability",)
#: The most targets that a bundle holds.
TARGETS = 100
#: What is said of the molecule, whatever is predicted.
OF_MOLECULE = ("similarity", "in_domain", "problem")


def named(column: str, classes: Sequence[str] | None) -> str:
    """Return a column's name with the class that a probability is of, where classes 0 and 1 have names."""
    return f"{column}_{classes[1]}" if column in PROBABILITY and classes else column


def predicted(of_classes: bool, classes: Sequence[str] | None) -> list[str]:
    """Return the columns of a target, by whether its labels are classes and what these are called."""
    return [named(column, classes) for column in (*(PROBABILITY if of_classes else VALUE), *OF_MOLECULE)]


def check_together(where: object, targets: Iterable[tuple[str, Sequence[str]]]) -> None:
    """Raise `UserError` unless one bundle can hold the targets, names with columns.

    Each target, and each of their columns `{target}_{column}`, has a name of its own, and they are not too many.
    """
    owner: dict[str, str] = {}
    together = list(targets)
    if not 1 <= len(together) <= TARGETS:
        raise UserError(
            f"{where}: a bundle holds 1 to {TARGETS} targets, and not {len(together)}. Make several, of fewer each."
        )
    for target, columns in together:
        if not target.strip():
            raise UserError(f"{where}: a target's name is blank. Name its column.")
        for name in (target, *(f"{target}_{column}" for column in columns)):
            if name in owner:
                raise UserError(
                    f"{where}: {name!r} would be the name of two things, of the target {owner[name]!r} or what is "
                    f"predicted of it, and of {target!r}. Rename a target."
                )
            owner[name] = target
