"""The kernel head: a linear and an RBF kernel over the frozen encoder's vectors (`heads/kernel_head.py`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.methods.base import Method, NoSettings, no_grid

if TYPE_CHECKING:
    from roftmol.heads.base import HeadKind


def _head() -> HeadKind:
    from roftmol.heads import kernel_head

    return kernel_head.KIND


METHOD = Method(
    name="kernel",
    title="Kernel head",
    mechanism="closed-form head",
    summary="Kernels over the frozen encoder's vectors alone.",
    colour="#4FB3A5",
    marker="X",
    settings=NoSettings,
    grid=no_grid,
    reads=frozenset({"vectors"}),
    head=_head,
)
