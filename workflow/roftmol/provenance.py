"""What the models were pretrained on, and which are one: the same file, or the same weights, under several names.

What is one is judged by content alone: by the checksums of the registry, which need no file, and by the tensors of
converted files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from roftmol.registry import Checkpoint
from roftmol.tensors import content_digest


@dataclass(frozen=True)
class ProvenanceSettings:
    """The models of an experiment with what table "models" tells of them, and the groups that are one by checksum."""

    models: dict[str, dict[str, Any]]
    same_files: tuple[tuple[str, ...], ...]


def table(settings: ProvenanceSettings, checkpoints: Path) -> pd.DataFrame:
    """Table "models": each model's pretraining, and its twins by checksum or by the weights in `checkpoints`."""
    digests = {name: content_digest(checkpoints / f"{name}.safetensors") for name in settings.models}
    known = [(name, {f"content {digest}"}) for name, digest in digests.items()]
    known += [(name, {f"file {number}"}) for number, group in enumerate(settings.same_files) for name in group]
    twins = {name: group for group in _groups(known) for name in group}
    rows = [
        {
            "model": name,
            **about,
            "content": digests[name],
            "same_as": [other for other in twins.get(name, ()) if other != name],
        }
        for name, about in settings.models.items()
    ]
    return pd.DataFrame(rows)


def same_models(checkpoints: Iterable[Checkpoint]) -> tuple[tuple[str, ...], ...]:
    """The groups of two or more models that are one file: a checksum of their sources is the same.

    A file of the user's own has no checksum: only its content tells what it is, once it is there.
    """
    known: list[tuple[str, set[str]]] = []
    for checkpoint in checkpoints:
        checksums = [source.sha256 or source.git_blob for source in checkpoint.sources]
        known.append((checkpoint.name, set(checksums) if all(checksums) else set()))
    return _groups(known)


def _groups(known: Iterable[tuple[str, set[str]]]) -> tuple[tuple[str, ...], ...]:
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
