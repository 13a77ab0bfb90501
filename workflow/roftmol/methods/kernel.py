"""The kernel head: a linear and an RBF kernel over the frozen encoder's vectors (`heads/kernel_head.py`)."""

from __future__ import annotations

from roftmol.methods.base import Learner, Method, NoSettings, no_grid
from roftmol.methods.classical import fit_predict

METHOD = Method(
    name="kernel",
    title="Kernel head",
    mechanism="closed-form head",
    summary="Kernels over the frozen encoder's vectors alone.",
    colour="#4FB3A5",
    marker="X",
    settings=NoSettings,
    grid=no_grid,
    kernels=True,
    reads=frozenset({"vectors"}),
    learner=lambda: Learner(lambda inputs: inputs, fit_predict, selects=False),
)
