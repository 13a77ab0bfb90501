"""Which models are one under several names, by what is known of their files."""

from __future__ import annotations

from collections.abc import Iterable

from roftmol.registry.catalog import Checkpoint


def same_models(checkpoints: Iterable[Checkpoint]) -> tuple[tuple[str, ...], ...]:
    """The groups of two or more models that are one file: a checksum of their sources is the same.

    A file of the user's own has no checksum: only its content tells what it is, once it is there.
    """
    known: list[tuple[str, set[str]]] = []
    for checkpoint in checkpoints:
        checksums = [source.sha256 or source.git_blob for source in checkpoint.sources]
        known.append((checkpoint.name, set(checksums) if all(checksums) else set()))
    return groups_of(known)


def groups_of(known: Iterable[tuple[str, set[str]]]) -> tuple[tuple[str, ...], ...]:
    """The groups of two or more names that share something that is known of them, also by way of others."""
    groups: list[tuple[list[str], set[str]]] = []
    for name, marks in known:
        names, joined = [name], set(marks)
        for group in [group for group in groups if name in group[0] or group[1] & marks]:
            groups.remove(group)
            names = [*group[0], *names]
            joined |= group[1]
        groups.append((list(dict.fromkeys(names)), joined))
    return tuple(tuple(names) for names, _ in groups if len(names) > 1)
