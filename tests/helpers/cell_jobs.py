"""The jobs of one small cell: their settings, and the runs that they leave in the folder of the fixture `cell`."""

from __future__ import annotations

from pathlib import Path

from roftmol.training import jobs
from roftmol.training.fit import TrainSettings

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
