"""The hybrid head: kernels over the frozen encoder's vectors, Morgan counts and RDKit's descriptors together.

The weights of the kernels say what each source is good for, given the labels (`heads/kernel_head.py`). What it is
better than the classical model is what the encoder knows that cannot be computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.methods.base import DescriptorSettings, Method, rdkit_descriptors

if TYPE_CHECKING:
    from roftmol.heads.base import HeadKind


def _head() -> HeadKind:
    from roftmol.heads import kernel_head

    return kernel_head.KIND


METHOD = Method(
    name="hybrid",
    title="Hybrid head",
    mechanism="closed-form head",
    summary="Kernels over the frozen encoder's vectors, Morgan counts and descriptors.",
    colour="#1B7F79",
    marker="P",
    phrase="the hybrid head",
    by_default=True,
    settings=DescriptorSettings,
    grid=rdkit_descriptors,
    reads=frozenset({"counts", "descriptors", "vectors"}),
    head=_head,
)
