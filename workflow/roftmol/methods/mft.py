"""Multi-task fine-tuning (MFT, arXiv 2601.08486): the pretraining task goes on beside the property.

    each step:  with probability p   theta <- theta - grad of the pretraining loss, on other molecules
                otherwise            theta <- theta - grad of the property's loss

No weighted sum: the two losses never meet. For atomistic models the second task is a force field
(`auxiliary/force_field.py`), whose heads start from the checkpoint; for molecular graphs it is masking of atoms
(`auxiliary/pretraining.py`). Here its steps come on top, so that the property has as many as in full fine-tuning;
`mft_same_steps` has as many steps in all. What else is published, a learning rate that falls from 1e-3 to 1e-5 and
gradients cut at a norm of 5, is how models of atoms in space train in the protocol `paper`, whatever the method.
"""

from __future__ import annotations

from dataclasses import dataclass

from roftmol.core.errors import UserError
from roftmol.methods.base import Alternation, Method


@dataclass(frozen=True)
class Settings:
    """The probability that a step is on the second task; 0 is full fine-tuning."""

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise UserError(f"mft: probability is {self.probability}; give a number from 0 on and below 1")


METHOD = Method(
    name="mft",
    title="MFT",
    mechanism="multi-task",
    summary="Full FT in turn with the pretraining task (a force field's, or masking) on other molecules, on top.",
    paper="MFT, arXiv 2601.08486",
    colour="#7A3E9D",
    marker="H",
    settings=Settings,
    grid=lambda _layers: (Settings(),),
    stages=lambda _settings, parts: (parts,),
    alternation=lambda settings: Alternation(settings.probability, extra=True),
)
