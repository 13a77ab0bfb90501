"""What a chemist writes first: a random forest on Morgan counts and RDKit's descriptors.

A descriptor that RDKit cannot compute is 0. A task with one value in training is predicted by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.methods.base import DescriptorSettings, Method, rdkit_descriptors

if TYPE_CHECKING:
    from roftmol.heads.base import HeadKind


def _head() -> HeadKind:
    from roftmol.heads import forest

    return forest.KIND


METHOD = Method(
    name="descriptors",
    title="Descriptors",
    mechanism="reference",
    summary="A random forest on Morgan counts and RDKit's descriptors: what a chemist writes first.",
    colour="#D08BB4",
    marker="X",
    model="rdkit",
    phrase="the forest on descriptors",
    by_default=True,
    settings=DescriptorSettings,
    grid=rdkit_descriptors,
    reads=frozenset({"counts", "descriptors"}),
    head=_head,
)
