"""Bring a dataset's file from the first of its sources that works, and verify it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roftmol.core.files import atomic, sha256
from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


@dataclass(frozen=True)
class Settings:
    """A name for messages, and the sources as the registry writes them."""

    name: str
    sources: tuple[dict[str, Any], ...]


def settings_from(experiment: Experiment, dataset: str) -> Json:
    """Return where the dataset's file can be had."""
    return {"name": dataset, "sources": experiment.datasets[dataset].to_dict()["sources"]}


def run(settings: Json, *, archives: Path, out: Path) -> None:
    """Fetch the file, and note beside it what came, for whoever reads it later."""
    from roftmol.data.download import fetch, mirror
    from roftmol.registry.catalog import Source

    parsed = build(Settings, settings)
    sources = [Source.from_dict(source, parsed.name) for source in parsed.sources]
    sum_of(out).unlink(missing_ok=True)
    used = fetch(sources, out, mirror=mirror(), name=parsed.name, archives=archives)
    with atomic(sum_of(out)) as temporary:
        temporary.write_text(sha256(out), encoding="utf-8")
    print(f"{parsed.name}: from {used}", file=sys.stderr)


def sum_of(source: Path) -> Path:
    """Return the file that holds the SHA-256 of a dataset's file as it was brought."""
    return source.with_name(f".{source.name}.sha256")


#: The checksum says what comes, so no code counts.
STAGE = Stage(run, "data", Code(()), settings_from)
