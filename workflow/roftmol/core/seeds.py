"""Random numbers whose seed is a hash of what they are for.

Each purpose has its own stream, so drawing more for one never changes another (as in DomainBed).
"""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(*purpose: object) -> int:
    """Return a seed below 2**63 from any words and numbers, the same on every machine and in every process."""
    text = "\x1f".join(str(part) for part in purpose)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*purpose: object) -> np.random.Generator:
    """Return a NumPy generator for this purpose."""
    return np.random.default_rng(seed_of(*purpose))
