"""Tests run side by side, so each process keeps to one thread; set before anything imports torch."""

import os

for library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
