"""Bring a pretrained encoder's weights, check every name and shape, and store them under our names."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from roftmol.stages.base import Code, Json, Stage

if TYPE_CHECKING:
    from roftmol.experiment.config import Experiment


def settings_from(experiment: Experiment, model: str) -> Json:
    """Return the checkpoint, without the text about it."""
    entry = replace(experiment.published[model], citation="", licence="", note="", overlaps="")
    return replace(entry, corpora=(), labelled=(), suspected=()).to_dict()


def code(experiment: Experiment, model: str) -> Code:
    """Return the code that reads one model's weights: no other encoder's counts."""
    modules = ("roftmol.encoders.checkpoints", experiment.published[model].kind.module)
    return Code(modules, ("roftmol.encoders.kinds", "roftmol.registry.encoder_kinds"))


def run(settings: Json, *, archives: Path, out: Path) -> None:
    """Write the weights."""
    from roftmol.data.download import fetch, mirror
    from roftmol.encoders.checkpoints import convert, draw
    from roftmol.registry.catalog import Checkpoint

    checkpoint = Checkpoint.from_dict(settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=".fetch-") as scratch:
        raw = Path(scratch) / "raw"
        if checkpoint.sources:
            used = fetch(checkpoint.sources, raw, mirror=mirror(), name=checkpoint.name, archives=archives)
            print(f"{checkpoint.name}: from {used}", file=sys.stderr)
        else:
            draw(checkpoint.architecture, raw)
        convert(
            raw,
            checkpoint.architecture,
            out,
            name=checkpoint.name,
            vocabulary=checkpoint.vocabulary,
            drop=checkpoint.drop,
        )


STAGE = Stage(run, "train", code, settings_from)
