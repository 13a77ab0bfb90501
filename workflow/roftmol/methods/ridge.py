"""Linear probing in closed form: ridge regression, or logistic regression, on the frozen encoder's vectors.

    ridge      min_w  ||y - X w - b||^2 + alpha ||w||^2      alpha has the least squared error of leave-one-out, exactly
    logistic   min_w  sum log loss + alpha / 2 ||w||^2       alpha has the least log loss of a cross-validation of five

X is standardised. No molecule is left for validation, and no epoch is chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from roftmol.methods.base import Method, NoSettings, no_grid

if TYPE_CHECKING:
    from roftmol.heads.base import HeadKind


def _head() -> HeadKind:
    from roftmol.heads import linear_head

    return linear_head.KIND


METHOD = Method(
    name="ridge",
    title="Ridge head",
    mechanism="closed-form head",
    summary="Ridge or logistic regression on the frozen encoder's vectors, in closed form.",
    colour="#8CCFC2",
    marker="D",
    settings=NoSettings,
    grid=no_grid,
    reads=frozenset({"vectors"}),
    head=_head,
)
