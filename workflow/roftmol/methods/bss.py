"""Batch spectral shrinkage (Chen et al. 2019, NeurIPS): the smallest singular values of the features are suppressed.

    penalty = lambda * sum over the k smallest singular values sigma_i of F of sigma_i^2

F (b x d) are a batch's molecule vectors. Directions of small singular values carry what does not transfer. In the
honest protocol the sum is divided by b, so that lambda means the same for every batch size. In the protocol `paper`,
lambda / 2 * ||phi||^2 is added for the head phi, as in the released scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roftmol.methods.base import STRENGTHS, Method, Step, head_decay

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """Strength, and how many singular values."""

    lam: float
    k: int = 1


def penalty(settings: Settings, step: Step) -> Tensor:
    """Return the penalty, a scalar."""
    from torch.linalg import eigvalsh

    F = step.features
    # sigma^2 are the eigenvalues of the smaller Gram matrix; eigvalsh gives them in rising order.
    gram = F @ F.T if F.shape[0] <= F.shape[1] else F.T @ F
    shrunk = eigvalsh(gram)[: settings.k].clamp(min=0).sum()
    value = settings.lam * shrunk / (len(F) if step.normalise else 1)
    return value + head_decay(settings.lam, step) if step.decay_head else value


METHOD = Method(
    name="bss",
    title="BSS",
    mechanism="representation-based",
    summary="Full FT with a penalty on the smallest singular values of the pooled features of a batch.",
    paper="Chen et al. 2019, NeurIPS",
    colour="#009E73",
    marker="X",
    by_default=True,
    settings=Settings,
    grid=lambda _layers: tuple(Settings(lam) for lam in STRENGTHS),
    stages=lambda _settings, parts: (parts,),
    penalty=penalty,
)
