"""Which processor a process computes on. Where several GPUs are visible, processes share them out among themselves."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from roftmol.core.errors import UserError

if TYPE_CHECKING:
    import torch

#: Where processes of one machine meet.
LOCKS = Path(tempfile.gettempdir())


def device_of(name: str) -> torch.device:
    """Return the device of this name; "auto" is a GPU if there is one, "cuda" the freest if there are several.

    A scheduler that gives each job its own GPU shows it that one alone. Snakemake on one machine only counts them
    (profile `workstation`), so its jobs share them out among themselves. Raises `UserError` for
    a GPU where there is none.
    """
    import torch  # a second or two, and a claim needs none of it

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device: {name}, and torch sees no GPU here. Say `device: auto` or `device: cpu`.")
    if name == "cuda":
        ids = tuple(str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count()))
        device = torch.device("cuda", claim(ids))
    else:
        device = torch.device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


@cache  # a process has one
def claim(ids: Sequence[str], folder: Path = LOCKS) -> int:
    """Return the index in `ids` of the device that this process takes: one that no other process of this user has.

    Where all are taken each gets a second process before any gets a third. The claim is a lock on a file, which the
    system takes back when the process ends, however it ends. Where there are no such locks (Windows), it is the first.
    """
    if len(ids) < 2 or find_spec("fcntl") is None:
        return 0
    number = 0  # of the processes that each device has already
    while True:
        for index, name in enumerate(ids):
            if _lock(folder / f"roftmol-{os.getuid()}-{name}-{number}.lock"):
                return index
        number += 1


def _lock(path: Path) -> bool:
    """Lock a file for as long as this process lasts, unless another has it; return whether it is locked."""
    import fcntl

    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)  # left open: closing it would unlock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return False
    return True
