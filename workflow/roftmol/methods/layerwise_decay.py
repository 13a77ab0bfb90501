"""Layer-wise learning-rate decay (ELECTRA, Clark et al. 2020, arXiv 2003.10555): the lower a part, the slower it
trains.

    rate of part k = rate * decay^(P - k),    k = 0, ..., P - 1 from the bottom up

of the encoder's P parts, the embedding first; the head, part P, has the full rate. JMP (arXiv 2310.16802) fine-tunes
atomistic models so, with factors by hand for its own blocks (0.3 for the embedding, then 0.55, 0.40, 0.30, 0.40, 0.55,
0.625).
"""

from __future__ import annotations

from dataclasses import dataclass

from roftmol.methods.base import Method, Parts


@dataclass(frozen=True)
class Settings:
    """The factor from one part to the next lower one."""

    decay: float


def rate(settings: Settings, part: str, parts: Parts) -> float:
    """Return the factor of a part's learning rate."""
    return settings.decay ** (len(parts) - parts.index(part))


METHOD = Method(
    name="layerwise_decay",
    title="Layer-wise decay",
    mechanism="partial",
    summary="Full FT in which each block learns more slowly than the one above it.",
    paper="Clark et al. 2020, arXiv 2003.10555",
    colour="#7FB7D9",
    marker="<",
    settings=Settings,
    grid=lambda _layers: tuple(Settings(decay) for decay in (0.9, 0.65, 0.4)),
    stages=lambda _settings, parts: (parts,),
    rate=rate,
)
