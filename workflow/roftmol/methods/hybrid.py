"""The hybrid head: kernels over the frozen encoder's vectors, Morgan counts and RDKit's descriptors together.

The weights of the kernels say what each source is good for, given the labels (`heads/kernel_head.py`). What it is
better than the classical model is what the encoder knows that cannot be computed.
"""

from __future__ import annotations

from roftmol.methods.base import Learner, Method, NoSettings, no_grid
from roftmol.methods.classical import fit_predict

METHOD = Method(
    name="hybrid",
    title="Hybrid head",
    mechanism="closed-form head",
    summary="Kernels over the frozen encoder's vectors, Morgan counts and descriptors.",
    colour="#1B7F79",
    marker="P",
    settings=NoSettings,
    grid=no_grid,
    kernels=True,
    reads=frozenset({"counts", "descriptors", "vectors"}),
    learner=lambda: Learner(lambda inputs: inputs, fit_predict, selects=False),
)
