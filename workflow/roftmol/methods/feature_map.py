"""Feature-map regularisation (DELTA, Li et al. 2019, arXiv 1901.09229, without attention): stay near the old vectors.

    penalty = lambda / 2 * ||Z - Z_0||_F^2

Z (n x d) are the atoms' vectors that the last layer's convolution gives, before BatchNorm and dropout; Z_0 are the
frozen pretrained encoder's. A penalty on what a network computes must compute both in one way, or it measures the
difference of the ways: with dropout below Z alone, it is large at theta_0 and smallest elsewhere.

- `honest`: the pretrained encoder reads each batch right before, with the same dropout and the batch's statistics. The
  penalty and its gradient are zero at theta_0, whatever is drawn. A pass of its own without dropout would do too, at
  the cost of a second backward pass. The sum is divided by n, so that lambda means the same for every batch and size of
  molecule.
- `paper`: Z_0 is that of eval mode, computed once, and lambda / 2 * ||phi||^2 is added for the head phi, as in the
  released scripts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from roftmol.methods.base import STRENGTHS, Method, Step, head_decay, squared_distance

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Settings:
    """Strength."""

    lam: float


def penalty(settings: Settings, step: Step) -> Tensor:
    """Return the penalty, a scalar."""
    assert step.Z_0 is not None
    value = settings.lam / 2 * squared_distance(step.Z, step.Z_0) / (len(step.Z) if step.normalise else 1)
    return value + head_decay(settings.lam, step) if step.decay_head else value


METHOD = Method(
    name="feature_map",
    title="Feature-map",
    mechanism="representation-based",
    summary="Full FT with a penalty on the distance of the node features from the pretrained encoder's (DELTA "
    "without attention).",
    paper="Li et al. 2019, arXiv 1901.09229",
    colour="#00543D",
    marker="p",
    by_default=True,
    settings=Settings,
    grid=lambda _layers: tuple(Settings(lam) for lam in STRENGTHS),
    stages=lambda _settings, parts: (parts,),
    penalty=penalty,
    needs_Z_0=True,
)
