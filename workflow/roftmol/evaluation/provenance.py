"""What encoders were pretrained on, and which names are one encoder: the same file, or the same weights.

That is judged by content alone: by the checksums of the registry, which need no file, and by the tensors of converted
files.
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
    """The encoders of an experiment with what table "models" says of them, and the groups that share a checksum."""

    models: dict[str, dict[str, Any]]
    same_files: tuple[tuple[str, ...], ...]


def table(settings: ProvenanceSettings, checkpoints: Path) -> pd.DataFrame:
    """Make table "models": each encoder's pretraining, and the other names that it has.

    Names are of one encoder if they have the same checksum or the same weights in `checkpoints`.
    """
    digests = {name: content_digest(checkpoints / f"{name}.safetensors") for name in settings.models}
    marks = [(name, {f"content {digest}"}) for name, digest in digests.items()]
    marks += [(name, {f"file {number}"}) for number, group in enumerate(settings.same_files) for name in group]
    group_of = {name: group for group in groups_of(marks) for name in group}
    rows = []
    for name, about in settings.models.items():
        same_as = [other for other in group_of.get(name, ()) if other != name]
        rows.append({"model": name, **about, "content": digests[name], "same_as": same_as})
    return pd.DataFrame(rows)
