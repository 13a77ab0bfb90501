"""Surgical fine-tuning (Lee et al. 2023, arXiv 2210.11466): one block of the encoder trains, with the head.

Which block is a hyperparameter: low blocks suit shifts of the input, high ones shifts of the task. In the protocol
`paper` the block's BatchNorm keeps its weight and bias, as in the released script.
"""

from dataclasses import dataclass

from roftmol.core.errors import UserError
from roftmol.methods.base import Method, Parts


@dataclass(frozen=True)
class Settings:
    """`block` counts the encoder's layers from 0."""

    block: int


def stages(settings: Settings, parts: Parts) -> tuple[Parts, ...]:
    """Return one stage of one block; raise `UserError` if the encoder does not have it."""
    part = f"blocks.{settings.block}"
    if part not in parts:
        last = sum(part.startswith("blocks.") for part in parts) - 1
        raise UserError(f"surgical_ft: there is no block {settings.block}; the encoder has blocks 0 to {last}")
    return ((part,),)


METHOD = Method(
    name="surgical_ft",
    title="Surgical FT",
    mechanism="partial",
    summary="One block of the encoder and the head are trained; which block is selected.",
    paper="Lee et al. 2023, arXiv 2210.11466",
    colour="#0072B2",
    marker="v",
    by_default=True,
    settings=Settings,
    grid=lambda layers: tuple(Settings(block) for block in range(layers)),
    stages=stages,
)
