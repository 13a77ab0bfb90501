"""Bring the sets that a pretraining recipe keeps its molecules apart from, and list theirs."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from roftmol.core.files import atomic
from roftmol.core.records import build
from roftmol.registry import catalog
from roftmol.stages.base import Code, Json, Stage


@dataclass(frozen=True)
class Settings:
    """The sets as the registry writes corpora: where their files are and which column has the SMILES."""

    sets: tuple[dict[str, Any], ...]


def settings_from(_experiment: object, recipe: str) -> Json:
    """Return where the recipe's sets are."""
    datasets, sets = catalog.datasets(), catalog.evaluated()
    entries = [
        replace(sets[name], title="", citation="", licence="", note="")
        if name in sets
        else catalog.Corpus(name, "", None, (datasets[name].sources,), datasets[name].smiles)
        for name in catalog.recipes()[recipe].without
    ]
    return {"sets": [entry.to_dict() for entry in entries]}


def run(settings: Json, *, archives: Path, out: Path, processes: int = 1) -> None:
    """Write the molecules' canonical SMILES, each once, one a line."""
    from roftmol.data import corpora
    from roftmol.data.download import fetch, mirror

    molecules: set[str] = set()
    out.parent.mkdir(parents=True, exist_ok=True)
    for entry in build(Settings, settings).sets:
        of = catalog.Corpus.from_dict(entry)
        for sources in of.files:
            with TemporaryDirectory(dir=out.parent, prefix=".fetch-") as scratch:
                path = Path(scratch) / "source"
                used = fetch(sources, path, mirror=mirror(), name=of.name, archives=archives)
                column = used.columns.get(of.smiles, of.smiles) if of.smiles else None
                table = corpora.read([path], replace(of, smiles=column, labels=()), processes)
            molecules.update(table["canonical"])
    with atomic(out) as temporary:
        temporary.write_text("".join(f"{text}\n" for text in sorted(molecules)), encoding="utf-8")
    print(f"{len(molecules):,} molecules to keep apart from", file=sys.stderr)


STAGE = Stage(run, "data", Code(("roftmol.data.corpora",)), settings_from)
