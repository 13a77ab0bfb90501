"""Joint fine-tuning: the datasets of a panel share one encoder, which all their losses train; each has its own head.

    L = sum_t w_t L_t

L_t is the mean loss of dataset t's labelled entries in the batch, n_t the number of its training labels, r_t = n_t /
sum n, and T the number of datasets. The weights:

    pooled              the share of the batch's labelled entries that are t's, so that L is their mean
    equal               1
    size                T r_t^beta / sum r^beta
    uncertainty         exp(-s_t) for classes, exp(-s_t) / 2 for values, and L has s_t / 2 more
                        (Kendall et al. 2018, arXiv 1705.07115)
    learned             r_t^beta_t, beta_t = softplus(b_t), as others have implemented QW-MTL, arXiv 2509.04601
    learned_normalised  the same times a number, so that their sum is T

s and b are learned with the weights, from 0. The derivative of `learned` in beta_t is w_t ln(r_t) L_t, which is
negative whatever the datasets are worth: every exponent rises, and every weight falls, for as long as it is trained.
`learned_normalised` keeps the sum. A dataset alone has weight 1: a panel of one is full fine-tuning.

A head may read descriptors of the molecule beside its vector, W [x, d] + b: RDKit's, those of GFN2-xTB, both, or `qw4`,
as published. They are standardised on the panel's training molecules, and 0 with a mark where missing
(`heads/gfn2.py`). The columns of W for d start from 0, so that every fit of a seed starts from the same predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from roftmol.core.errors import UserError
from roftmol.methods.base import UNSAID, JointStep, Method, check_descriptors

if TYPE_CHECKING:
    from torch import Tensor

#: The exponent of `size` where none is given.
BETA = 0.5


@dataclass(frozen=True)
class Settings:
    """How losses are weighted, and what heads read beside vectors; `beta` is of `size`, None for other weightings."""

    weighting: Literal["pooled", "equal", "size", "uncertainty", "learned", "learned_normalised"] = "equal"
    beta: float | None = None
    descriptors: Literal["none", "rdkit", "gfn2", "both", "qw4"] = field(default="none", metadata=UNSAID)

    def __post_init__(self) -> None:
        check_descriptors(self.descriptors)
        if self.weighting != "size":
            # In a grid of several weightings, an exponent is that of `size` alone, and others are tried once.
            object.__setattr__(self, "beta", None)
        elif self.beta is None:
            object.__setattr__(self, "beta", BETA)
        elif not math.isfinite(self.beta):
            raise UserError(f"joint_ft: beta is {self.beta}; give a number, as 0 (equal) or 1 (in proportion)")


def uncertainty(_settings: Settings, step: JointStep) -> Tensor:
    """Return exp(-s), halved for values."""
    return (-step.b).exp() * step.classes.to(step.b.dtype).add(1).div(2)


def size(settings: Settings, step: JointStep) -> Tensor:
    """Return T r^beta / sum r^beta."""
    assert settings.beta is not None
    return normalised(step.r**settings.beta)


def learned(_settings: Settings, step: JointStep) -> Tensor:
    """Return r^softplus(b)."""
    from torch.nn.functional import softplus

    return step.r ** softplus(step.b)


def normalised(w: Tensor) -> Tensor:
    """Return weights in the same proportions whose sum is their number."""
    return len(w) * w / w.sum()


WEIGHTS: dict[str, Callable[[Settings, JointStep], Tensor]] = {
    "pooled": lambda _settings, step: step.share,
    "equal": lambda _settings, step: step.share.new_ones(len(step.share)),
    "size": size,
    "uncertainty": uncertainty,
    "learned": learned,
    "learned_normalised": lambda settings, step: normalised(learned(settings, step)),
}


def joint(settings: Settings, step: JointStep) -> tuple[Tensor, Tensor]:
    """Return the loss of a step and the weights of its datasets, T."""
    weighting = settings.weighting if len(step.L) > 1 else "equal"
    w = WEIGHTS[weighting](settings, step)
    loss = (w * step.L).sum()
    return (loss + step.b.sum() / 2 if weighting == "uncertainty" else loss), w


METHOD = Method(
    name="joint_ft",
    title="Joint FT",
    phrase="joint FT",
    mechanism="panels",
    summary="The datasets of a panel are trained together: one encoder, a head each, their losses weighted.",
    paper="QW-MTL, arXiv 2509.04601",
    colour="#8C1C3F",
    marker="o",
    settings=Settings,
    grid=lambda _layers: (Settings(),),
    stages=lambda _settings, parts: (parts,),
    joint=joint,
    reads=frozenset({"descriptors"}),
)
