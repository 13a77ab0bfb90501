"""MFT with as many steps in all as full fine-tuning: those of the pretraining task take the place of the property's.

See `mft.py`. This is the comparison at equal total steps; at equal cost in steps it sees each label half as often.
"""

from __future__ import annotations

from roftmol.methods.base import Alternation, Method
from roftmol.methods.mft import Settings

METHOD = Method(
    name="mft_same_steps",
    title="MFT (same steps)",
    mechanism="multi-task",
    summary="The same, but in place of the property's steps, so that there are as many in all.",
    paper="MFT, arXiv 2601.08486",
    colour="#B48BD0",
    marker="h",
    settings=Settings,
    grid=lambda _layers: (Settings(),),
    stages=lambda _settings, parts: (parts,),
    alternation=lambda settings: Alternation(settings.probability, extra=False),
)
