"""Surgical fine-tuning (Lee et al. 2023, arXiv 2210.11466): one block of the encoder trains, with the head.

Which block is a hyper-parameter: low blocks suit shifts of the input, high ones shifts of the task.
"""

from dataclasses import dataclass

from roftmol.methods.base import Method


@dataclass(frozen=True)
class Settings:
    """`block` counts the encoder's layers from 0."""

    block: int


METHOD = Method(
    name="surgical_ft",
    title="Surgical FT",
    mechanism="partial",
    summary="One encoder block trains with the head; which one is selected.",
    settings=Settings,
    grid=lambda layers: tuple(Settings(block) for block in range(layers)),
    stages=lambda settings, _parts: ((f"blocks.{settings.block}",),),
)
