"""WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903): a straight line between the pretrained and fine-tuned encoder.

    theta = (1 - alpha) theta_0 + alpha theta_ft

over the encoder's weights, with the head of theta_ft; alpha is swept over a grid that holds both ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from roftmol.methods.base import Method, Mixing


@dataclass(frozen=True)
class Settings:
    """0 is the pretrained encoder, 1 the fine-tuned one."""

    alpha: float


METHOD = Method(
    name="wise_ft",
    title="WiSE-FT",
    mechanism="weight-based",
    summary="No training: the encoder is (1 − α) θ₀ + α θ_ft, the head full FT's; one α is selected.",
    paper="Wortsman et al. 2022, arXiv 2109.01903",
    colour="#E69F00",
    marker="s",
    by_default=True,
    default_heads=("hybrid",),
    settings=Settings,
    grid=lambda _layers: tuple(Settings(step / 10) for step in range(11)),
    mixing=Mixing(
        source="full_ft",
        group=lambda _settings, _name, _part: "encoder",
        start=lambda settings: settings.alpha,
        learned=False,
    ),
)
