"""L2-SP (Li et al. 2018, arXiv 1802.01483): weight decay towards the starting point.

    penalty = lambda / 2 * ||theta - theta_0||^2 + lambda_head / 2 * ||phi||^2

theta is the encoder, theta_0 its pretrained weights; phi, the head, has no pretrained value and is drawn to zero. The
sum is the negative log density of a Gaussian prior on the weights and does not depend on the batch. Where lambda_head
is not given, it is 0.01 in the protocol `honest` and lambda in `paper`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roftmol.methods.base import STRENGTHS, Method, Step, head_decay, squared_distance

if TYPE_CHECKING:
    from torch import Tensor

#: The strength on the head, where it is the same for every strength on the encoder.
LAM_HEAD = 0.01


@dataclass(frozen=True)
class Settings:
    """Strengths on the encoder and on the head; None is the protocol's."""

    lam: float
    lam_head: float | None = None


def penalty(settings: Settings, step: Step) -> Tensor:
    """Return the penalty, a scalar; its part on the encoder is zero at theta_0."""
    from torch import stack

    drift = stack([squared_distance(theta, step.theta_0[name]) for name, theta in step.theta.items()]).sum()
    usual = settings.lam if step.decay_head else LAM_HEAD
    lam_head = usual if settings.lam_head is None else settings.lam_head
    return settings.lam / 2 * drift + head_decay(lam_head, step)


METHOD = Method(
    name="l2_sp",
    title="L2-SP",
    mechanism="weight-based",
    summary="Full FT with a penalty on the squared distance from the pretrained weights θ₀.",
    paper="Li et al. 2018, arXiv 1802.01483",
    colour="#8F6200",
    marker="P",
    by_default=True,
    settings=Settings,
    grid=lambda _layers: tuple(Settings(lam) for lam in STRENGTHS),
    stages=lambda _settings, parts: (parts,),
    penalty=penalty,
)
