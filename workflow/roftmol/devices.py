"""Which processor a process computes on. Where several GPUs are visible, each process takes one that no other has."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch

#: Where processes of one machine meet.
LOCKS = Path(tempfile.gettempdir())


def device_of(name: str) -> torch.device:
    """The device that a setting names; "auto" is a GPU where there is one, and a free one where there are several.

    A scheduler that gives each job its own GPU shows it that one alone. Snakemake on one machine only counts them
    (profile `workstation`), so its jobs share them out among themselves.
    """
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        ids = tuple(str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count()))
        device = torch.device("cuda", claim(ids))
    else:
        device = torch.device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@cache  # a process has one
def claim(ids: Sequence[str], folder: Path = LOCKS) -> int:
    """The place of the first of these devices that no other process of this user has claimed, else the first.

    The claim is a lock on a file, which the system takes back when the process ends, however it ends.
    """
    for place, name in enumerate(ids if len(ids) > 1 else ()):
        # Left open: the lock lasts as long as the process.
        lock = os.open(folder / f"roftmol-{os.getuid()}-{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return place
    return 0
