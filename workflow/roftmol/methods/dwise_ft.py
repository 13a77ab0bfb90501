"""DWiSE-FT (RoFt-Mol, arXiv 2509.00614): one learned mixing coefficient for every block of the encoder.

    theta_l = (1 - alpha_l) theta_0,l + alpha_l theta_ft,l

Block 0 is the atom embedding, block l + 1 the l-th layer with its bond embeddings and BatchNorm; the head of theta_ft
stays. alpha is fitted by gradient on held-out labels with the task loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roftmol.methods.base import Method, Mixing


@dataclass(frozen=True)
class Settings:
    """How many coefficients, and where they start.

    `granularity`: "global" has one, "block" one a block, "parameter" one a tensor.
    """

    start: float
    granularity: Literal["global", "block", "parameter"] = "block"


def group(settings: Settings, name: str, part: str) -> str:
    """Return the name of a parameter's coefficient: "encoder", its block, or the parameter itself."""
    return {"global": "encoder", "block": part, "parameter": name}[settings.granularity]


METHOD = Method(
    name="dwise_ft",
    title="DWiSE-FT",
    mechanism="weight ensemble",
    summary="As WiSE-FT with one α for each block, learned by gradient on held-out labels.",
    paper="RoFt-Mol, arXiv 2509.00614",
    colour="#D55E00",
    marker="*",
    by_default=True,
    settings=Settings,
    grid=lambda _layers: (Settings(0.5), Settings(0.9)),
    mixing=Mixing(source="full_ft", group=group, start=lambda settings: settings.start, learned=True),
)
