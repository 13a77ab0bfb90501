"""The best classical model: kernels over Morgan counts and RDKit's descriptors, and no network.

Values by a Gaussian process on a sum of kernels, probabilities by kernel logistic regression with the same weights
(`heads/kernel_head.py`). What a pretrained encoder is worth is what it adds to this.
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
    name="classical",
    title="Classical",
    mechanism="reference",
    summary="Kernels over Morgan counts and RDKit's descriptors: the best that needs no network.",
    colour="#7A3B69",
    marker="P",
    model="rdkit",
    phrase="the classical model",
    by_default=True,
    settings=DescriptorSettings,
    grid=rdkit_descriptors,
    reads=frozenset({"counts", "descriptors"}),
    head=_head,
)
