"""Tests run side by side, so each process keeps to one thread; set before anything imports torch."""

import os
from pathlib import Path

import pytest

for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs of the workflow come first: a worker that began one last would work alone at the end."""
    items.sort(key=lambda item: not item.path.stem.endswith("workflow"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a dataset's graphs, its splits and an encoder."""
    import torch
    from molecules_for_tests import corpus, split_table

    from roftmol.encoders.checkpoints import convert
    from roftmol.encoders.kinds import new_encoder
    from roftmol.tables import schemas

    corpus().save(tmp_path / "graphs.safetensors")
    schemas.write("splits", split_table(), tmp_path / "splits.parquet")
    torch.manual_seed(0)
    architecture = {"kind": "gin", "layers": 2, "width": 16}
    torch.save(new_encoder(architecture).state_dict(), tmp_path / "raw.pth")
    convert(tmp_path / "raw.pth", architecture, tmp_path / "encoder.safetensors", name="tiny")
    return tmp_path
