"""The jobs of one small cell: their settings, and the runs that they leave in the folder of the fixture `cell`."""

from __future__ import annotations

from pathlib import Path

import torch

from roftmol.encoders.checkpoints import convert
from roftmol.encoders.kinds import new_encoder
from roftmol.tables import schemas
from roftmol.training import jobs
from roftmol.training.fit import TrainSettings
from small_dataset import corpus, split_table

#: Of full fine-tuning; other jobs are this with something replaced.
FULL_FT = jobs.RunSettings(
    protocol="honest",
    model="tiny",
    dataset="sizes",
    split="random",
    budget="all",
    method="full_ft",
    task="regression",
    metric="rmse",
    seeds=(0, 1),
    grid=({},),
    training=TrainSettings(epochs=3, batch_size=8),
    device="cpu",
)


def write_cell(folder: Path) -> Path:
    """Write what the jobs of a small cell read: a dataset's graphs, its splits and an encoder; return the folder."""
    corpus().save(folder / "graphs.safetensors")
    schemas.write("splits", split_table(), folder / "splits.parquet")
    torch.manual_seed(0)
    architecture = {"kind": "gin", "layers": 2, "width": 16}
    torch.save(new_encoder(architecture).state_dict(), folder / "raw.pth")
    convert(folder / "raw.pth", architecture, folder / "encoder.safetensors", name="tiny")
    return folder


def finetune(cell: Path, settings: jobs.RunSettings, out: str = "run") -> Path:
    jobs.finetune(
        settings, cell / "graphs.safetensors", cell / "splits.parquet", cell / "encoder.safetensors", cell / out
    )
    return cell / out


def interpolate(cell: Path, settings: jobs.RunSettings, source: Path, out: str = "mixed") -> Path:
    paths = (cell / "graphs.safetensors", cell / "splits.parquet", cell / "encoder.safetensors", source, cell / out)
    jobs.interpolate(settings, *paths)
    return cell / out


def parts(run: Path) -> dict[str, int]:
    """The finished fits of a run, with the times when they were written."""
    return {path.name: path.stat().st_mtime_ns for path in (run / "parts").iterdir()}
