"""What the models were pretrained on, and which are one: the same file, or the same weights, under several names.

What is one is judged by content alone: by the checksums of the registry, which need no file, and by the tensors of
converted files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from roftmol.core.weights_digest import content_digest
from roftmol.registry.same_models import groups_of


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
    twins = {name: group for group in groups_of(known) for name in group}
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
