"""Tests run side by side, so each process keeps to one thread; set before anything imports torch."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from roftmol.encoders.so3lr import So3lr

HELPERS = Path(__file__).with_name("helpers")
pytest.register_assert_rewrite(*(path.stem for path in HELPERS.glob("*.py")))

for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
#: What tests start in processes of their own would otherwise compile the package anew each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
#: Tests of defaults take the encoder that comes with the package, whatever network there is.
os.environ["ROFTMOL_OFFLINE"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first: a worker that began one last would end up alone."""
    items.sort(key=lambda item: (item.path.parent.name != "report", item.path.stem != "test_workflow"))


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A folder with what the jobs of a small cell read: a dataset's graphs, its splits and an encoder."""
    from cell_jobs import write_cell

    return write_cell(tmp_path)


@pytest.fixture(scope="session")
def drawn_experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables and figures of a made-up experiment of three seeds, drawn by the first worker that asks for them."""
    import made_up_tables
    from roftmol import figures

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "drawn-experiment"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "figures" / "figures.json").exists():  # written last
            tables = made_up_tables.write_tables(folder / "tables", **made_up_tables.quickly_drawn())
            figures.draw(tables, folder / "figures")
    return folder


@pytest.fixture(scope="session")
def so3lr_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SO3LR's published weights under our names."""
    from published_encoders import so3lr_weights
    from roftmol.encoders.checkpoints import convert
    from roftmol.registry import catalog

    path = tmp_path_factory.mktemp("so3lr") / "so3lr.safetensors"
    convert(so3lr_weights(), catalog.checkpoints()["so3lr"].architecture, path, name="so3lr")
    return path


@pytest.fixture
def so3lr(so3lr_checkpoint: Path) -> So3lr:
    """SO3LR with its published weights, in eval mode."""
    from roftmol.encoders.checkpoints import load_encoder
    from roftmol.encoders.so3lr import So3lr

    encoder = load_encoder(so3lr_checkpoint, 0.0)
    assert isinstance(encoder, So3lr)
    return encoder.eval()
