"""Devices that a test may write to, whatever it does to them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def device(folder: Path, name: str) -> Path:
    """A device like /dev/NAME, in the folder: root could put a file in the place of the machine's own.

    Anybody else cannot make one, and cannot replace the machine's either.
    """
    machines, ours = Path("/dev", name), folder / name
    if not ours.exists():
        try:
            os.mknod(ours, 0o666 | stat.S_IFCHR, os.stat(machines).st_rdev)
        except PermissionError:
            return machines
    return ours
