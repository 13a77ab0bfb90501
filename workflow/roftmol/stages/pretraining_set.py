"""Put corpora together and label them: what one recipe is pretrained on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
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


def settings_from(_experiment: object, recipe: str) -> Json:
    """Return the corpora with their labels; none where the objective learns none."""
    entry, corpora = catalog.recipes()[recipe], catalog.corpora()
    learns = entry.objective == "supervised"
    labels = {name: list(corpora[name].labels) if learns else [] for name in entry.corpora}
    return {"labels": labels, "computed": entry.computed, "per_atom": list(entry.per_atom)}


def run(settings: Json, *, corpora: Path, out: Path, processes: int = 1) -> None:
    """Write the table "pretraining"."""
    import pandas as pd

    from roftmol.data.corpora import with_labels
    from roftmol.tables import schemas

    parsed = build(Settings, settings)
    tables = {name: schemas.read("corpora", corpora / f"{name}.parquet") for name in parsed.labels}
    smiles, labels, tasks = with_labels(tables, parsed.labels, parsed.computed, parsed.per_atom, processes)
    schemas.write("pretraining", pd.DataFrame({"smiles": smiles, "labels": list(labels)}), out, parsed)
    print(f"{len(smiles):,} molecules; tasks: {', '.join(tasks) or 'none'}", file=sys.stderr)


STAGE = Stage(run, "data", Code(("roftmol.data.corpora",)), settings_from)
