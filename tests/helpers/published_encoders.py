"""Published encoders: from the mirror, the package index or an installed package, where they can be had."""

import importlib.resources
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.data.download import fetch
from roftmol.registry.catalog import Source, checkpoints


def fetched(name, pytestconfig, tmp_path_factory) -> Path:
    """The registered encoder `name`, converted; the test is skipped, with the reason, if it cannot be had here.

    Addresses are not tried: what only they have is listed as not checked.
    """
    checkpoint = checkpoints()[name]
    mirror = os.environ.get("ROFTMOL_MIRROR")
    near = [
        source
        for source in checkpoint.sources
        if source.kind in ("shipped", "package")
        or (source.kind == "mirror" and mirror and Path(mirror, source.file).is_file())
    ]
    if checkpoint.sources and not near:
        pytest.skip(f"{name} not checked: no source at hand")
    folder = tmp_path_factory.mktemp("published")
    brought = ()
    if checkpoint.sources:
        try:
            archives = Path(pytestconfig.cache.mkdir("archives"))
            fetch(near, folder / "raw", mirror=Path(mirror) if mirror else None, name=name, archives=archives)
        except UserError as error:
            if any(source.kind != "package" for source in near):
                raise
            pytest.skip(f"{name} not checked: {error}")
        brought = (Source(kind="path", file=str(folder / "raw")),)
    out = folder / f"{name}.safetensors"
    settings = json.dumps(replace(checkpoint, sources=brought).to_dict())
    main(["fetch-checkpoint", "--settings", settings, "--archives", str(folder), "--out", str(out)])
    return out


def so3lr_weights() -> Path:
    """The file of weights that SO3LR's package brings."""
    return Path(str(importlib.resources.files("so3krates_torch"))) / "pretrained" / "so3lr" / "so3lr.model"
