"""Read a dataset's molecules and list what is rejected."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from roftmol.core.errors import UserError
from roftmol.core.files import sha256
from roftmol.core.records import build
from roftmol.stages.base import Code, Json, Stage
from roftmol.stages.fetch_data import sum_of

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment
    from roftmol.registry.catalog import Dataset


@dataclass(frozen=True)
class Settings:
    """A dataset as the registry writes it, and the largest share of its records that may be dropped."""

    dataset: dict[str, Any]
    max_rejected: float


def settings_from(experiment: Experiment, dataset: str) -> Json:
    """Return the rules of reading, without the text about them, and the share that may be rejected."""
    return {"dataset": reading_rules(experiment, dataset).to_dict(), "max_rejected": experiment.max_rejected}


def reading_rules(experiment: Experiment, dataset: str) -> Dataset:
    """Return a dataset without what changes nothing in how its molecules are read."""
    entry = experiment.datasets[dataset]
    entry = replace(entry, citation="", licence="", note="", cliff_column=None, potency=False, extensive=False)
    if entry.labels != ("*",):  # which are no columns of geometry
        entry = replace(entry, geometry=())
    # A source tells how to read its file by its checksum; a file of the user's own changes nothing in that.
    sources = tuple(source for source in entry.sources if source.kind != "path")
    return replace(entry, sources=sources or entry.sources)


def run(settings: Json, *, source: Path, out: Path, processes: int = 1) -> None:
    """Write the tables "molecules", "rejects" and "tasks"."""
    from roftmol.data import molecules
    from roftmol.data.remarks import remarks
    from roftmol.registry.catalog import Dataset
    from roftmol.tables import schemas

    parsed = build(Settings, settings)
    dataset = Dataset.from_dict(parsed.dataset)
    check_source(source, dataset.name)
    kept, rejects, tasks = molecules.read(source, dataset, max_rejected=parsed.max_rejected, processes=processes)
    for name, table in {"molecules": kept, "rejects": rejects, "tasks": tasks}.items():
        schemas.write(name, table, out / f"{name}.parquet", settings, source)
    print(f"{dataset.name}: {len(kept)} molecules kept, {len(rejects)} remarks on records", file=sys.stderr)
    for remark in remarks(kept, rejects, tasks):
        print(f"{dataset.name}: {remark}", file=sys.stderr)


def check_source(source: Path, name: str) -> None:
    """Raise `UserError` for a file that is not what was brought: it was verified then, and may have been cut since."""
    brought = sum_of(source)
    if brought.is_file() and brought.read_text(encoding="utf-8") != (digest := sha256(source)):
        raise UserError(
            f"{source}: it is no longer the file that was brought for {name}: {source.stat().st_size:,} bytes with "
            f"SHA-256 {digest}. Delete it and run the workflow again; a file of your own is named by `files`."
        )


STAGE = Stage(run, "data", Code(("roftmol.data.molecules",)), settings_from)
