"""Put corpora together and label them: what one recipe is pretrained on."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from roftmol.core.records import build
from roftmol.registry import catalog
from roftmol.stages.base import Code, Json, Stage


@dataclass(frozen=True)
class Settings:
    """The label columns of each corpus, in their order, and the properties to calculate."""

    labels: dict[str, list[str]]
    computed: dict[str, list[str]]
    per_atom: tuple[str, ...]
    at_most: dict[str, int] = field(default_factory=dict)


def settings_from(_experiment: object, recipe: str) -> Json:
    """Return the corpora with their labels; none where the objective learns none."""
    entry, corpora = catalog.recipes()[recipe], catalog.corpora()
    learns = entry.objective == "supervised"
    labels = {name: list(corpora[name].labels) if learns else [] for name in entry.corpora}
    return {"labels": labels, "computed": entry.computed, "per_atom": list(entry.per_atom), "at_most": entry.at_most}


def run(settings: Json, *, corpora: Path, out: Path, evaluated: Path | None = None, processes: int = 1) -> None:
    """Write the table "pretraining"; of a list of evaluated molecules it shares none, and it has no labels then."""
    import numpy as np
    import pandas as pd

    from roftmol.data.corpora import with_labels
    from roftmol.data.kept_apart import apart
    from roftmol.tables import schemas

    parsed = build(Settings, settings)
    tables = {name: schemas.read("corpora", corpora / f"{name}.parquet") for name in parsed.labels}
    if evaluated is None:
        smiles, labels, tasks = with_labels(tables, parsed.labels, parsed.computed, parsed.per_atom, processes)
    else:
        smiles = apart(tables, evaluated.read_text(encoding="utf-8").split(), parsed.at_most, processes)
        labels, tasks = np.zeros((len(smiles), 0), np.float32), []
    schemas.write("pretraining", pd.DataFrame({"smiles": smiles, "labels": list(labels)}), out, parsed)
    print(f"{len(smiles):,} molecules; tasks: {', '.join(tasks) or 'none'}", file=sys.stderr)


STAGE = Stage(run, "data", Code(("roftmol.data.corpora", "roftmol.data.kept_apart")), settings_from)
