"""`roftmol list`: what an experiment can name, a line each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A name, what stands beside it in a line, and what else is known of it."""

    name: str
    line: str
    more: Mapping[str, Any]


def add(commands: Any) -> None:
    """Add the command to the parser's."""
    one = commands.add_parser("list", help=show.__doc__, description=show.__doc__)
    one.set_defaults(run=show)
    one.add_argument("kind", choices=tuple(KINDS), help="what is listed")
    one.add_argument("--json", action="store_true", help="a list of objects, with what else is known of each")


def show(options: argparse.Namespace) -> None:
    """List what an experiment can name: datasets, models, methods or splits."""
    entries = list(KINDS[options.kind]())
    if options.json:
        print(json.dumps([{"name": one.name, **one.more} for one in entries], indent=2, ensure_ascii=False))
        return
    width = max(len(one.name) for one in entries)
    for one in entries:
        print(f"{one.name:{width}}  {one.line}")


def datasets() -> Iterator[Entry]:
    """Yield the registered datasets: task, records, what the labels are."""
    from roftmol.registry import catalog

    for name, dataset in catalog.datasets().items():
        records = next((source.rows for source in dataset.sources if source.rows), None)
        # Where all columns are labels, the note begins with how many.
        labels = dataset.note.split(".")[0] if dataset.labels == ("*",) else ", ".join(dataset.labels)
        more = {"task": dataset.task, "labels": list(dataset.labels), "records": records}
        line = f"{dataset.task}, {records or 0:,} records: {labels}"
        yield Entry(name, line, more | _origin(dataset))


def models() -> Iterator[Entry]:
    """Yield the registered models: architecture, and what they were pretrained on."""
    from roftmol.registry import catalog

    for name, checkpoint in catalog.checkpoints().items():
        kind = checkpoint.architecture["kind"]
        corpora = ", ".join(checkpoint.corpora)
        how = "not pretrained" if checkpoint.pretraining == "none" else f"pretrained on {corpora}"
        how += "" if checkpoint.pretraining == "none" else f" ({_PRETRAINING[checkpoint.pretraining]})"
        more = {
            "architecture": dict(checkpoint.architecture),
            "pretraining": checkpoint.pretraining,
            "corpora": list(checkpoint.corpora),
        }
        yield Entry(name, f"{kind}, {how}", more | _origin(checkpoint))


def methods() -> Iterator[Entry]:
    """Yield the methods; with `+kernel` and the like behind it, one that trains is judged by another head."""
    from roftmol.methods import METHODS

    for name, method in METHODS.items():
        more = {"title": method.title, "summary": method.summary, "paper": method.paper}
        yield Entry(name, f"{method.title}: {method.summary}", more)


def splits() -> Iterator[Entry]:
    """Yield the splits."""
    from roftmol.registry.splits import SPLITS

    for name, split in SPLITS.items():
        needs = split.need.otherwise.partition(", and ")[0] if split.need else ""
        line = f"{split.title}; {needs}" if needs else split.title
        yield Entry(name, line, {"title": split.title, "needs": needs})


_PRETRAINING = {
    "self-supervised": "without labels",
    "supervised": "with labels",
    "both": "without labels, then with labels",
}
#: What can be listed.
KINDS: dict[str, Callable[[], Iterator[Entry]]] = {
    "datasets": datasets,
    "models": models,
    "methods": methods,
    "splits": splits,
}


def _origin(entry: Any) -> dict[str, str]:
    return {"citation": entry.citation, "licence": entry.licence, "note": entry.note}
