"""Which models are one under several names, by what is known of their files."""

from __future__ import annotations

from collections.abc import Iterable

from roftmol.registry.catalog import Checkpoint


def same_models(checkpoints: Iterable[Checkpoint]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of two or more models that are one file: a checksum of their sources is the same.

    A file of the user's own has no checksum: only its content tells what it is, once it is there.
    """
    marked: list[tuple[str, set[str]]] = []
    for checkpoint in checkpoints:
        checksums = [source.sha256 or source.git_blob for source in checkpoint.sources]
        marked.append((checkpoint.name, set(checksums) if all(checksums) else set()))
    return groups_of(marked)


def groups_of(marked: Iterable[tuple[str, set[str]]]) -> tuple[tuple[str, ...], ...]:
    """Return the groups of two or more names that share a mark, also by way of others.

    `marked` gives each name with its marks.
    """
    groups: list[tuple[list[str], set[str]]] = []
    for name, marks in marked:
        names = [name]
        joined = set(marks)
        for group in list(groups):
            members, their_marks = group
            if name in members or their_marks & marks:
                groups.remove(group)
                names = [*members, *names]
                joined |= their_marks
        groups.append((list(dict.fromkeys(names)), joined))
    return tuple(tuple(names) for names, _ in groups if len(names) > 1)
