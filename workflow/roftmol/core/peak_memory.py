"""How much memory this process has held."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec


def peak_mib() -> float:
    """Return the largest resident size of this process so far, in MiB; NaN where the system does not say (Windows)."""
    if find_spec("resource") is None:
        return math.nan
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10  # getrusage(2): macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
