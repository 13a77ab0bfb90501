"""Jobs as Snakemake starts them, in processes of their own: killed, and two of them in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

from cell_jobs import FULL_FT, finetune
from roftmol.core.files import canonical_json
from roftmol.encoders import products
from roftmol.training import jobs
from roftmol.training.fit import TrainSettings

WORKFLOW = Path(jobs.__file__).parents[2]


def test_a_killed_job_goes_on_where_it_was(cell):
    """SIGKILL in the middle: the repeated job keeps the finished fits and ends with an undisturbed one's tables."""
    settings = replace(FULL_FT, method="l2_sp", grid=tuple({"lam": 10.0**-k} for k in range(6)))
    settings = replace(settings, seeds=(0,), training=TrainSettings(epochs=15, batch_size=4, patience=15))
    command = [
        *(sys.executable, "-m", "roftmol", "finetune", "--settings", canonical_json(asdict(settings))),
        *("--data", cell / "graphs.safetensors", "--splits", cell / "splits.parquet"),
        *("--checkpoint", cell / "encoder.safetensors", "--out", cell / "killed"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(Path(jobs.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    environment["ROFTMOL_PRODUCTS"] = products.chosen().name  # a trial of its own may end otherwise
    job = subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.DEVNULL)
    folder = cell / "killed" / "parts"
    deadline = time.monotonic() + 120
    while not (folder.exists() and len(list(folder.glob("*.safetensors"))) >= 2):
        assert job.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    job.wait()
    finished = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    assert 2 <= len(finished) < 6
    assert not (cell / "killed" / "fits.parquet").exists()
    finetune(cell, settings, "killed")
    assert all(path.stat().st_mtime_ns == time_ns for path, time_ns in finished.items())
    undisturbed = finetune(cell, settings, "undisturbed")
    for name in ("predictions", "curves"):
        assert (cell / "killed" / f"{name}.parquet").read_bytes() == (undisturbed / f"{name}.parquet").read_bytes()


def test_two_jobs_in_one_folder_give_whole_tables(cell: Path):
    settings = replace(FULL_FT, method="l2_sp", grid=tuple({"lam": 10.0**-k} for k in range(4)))
    command = [
        *(sys.executable, "-m", "roftmol", "finetune", "--settings", canonical_json(asdict(settings))),
        *("--data", cell / "graphs.safetensors", "--splits", cell / "splits.parquet"),
        *("--checkpoint", cell / "encoder.safetensors", "--out", cell / "both"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(WORKFLOW), "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(list(map(str, command)), env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for job in started:
        _, said = job.communicate(timeout=120)
        assert job.returncode == 0, said
    alone = finetune(cell, settings, "alone")
    for name in ("predictions", "curves", "changes"):
        assert (cell / "both" / f"{name}.parquet").read_bytes() == (alone / f"{name}.parquet").read_bytes()
    assert not list((cell / "both").rglob("*.tmp"))
