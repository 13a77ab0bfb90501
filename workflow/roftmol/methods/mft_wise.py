"""MFT followed by WiSE-FT: a straight line between the pretrained encoder and that of multi-task fine-tuning.

    theta = (1 - alpha) theta_0 + alpha theta_mft

See `mft.py` and `wise_ft.py`.
"""

from __future__ import annotations

from roftmol.methods.base import Method, Mixing
from roftmol.methods.wise_ft import Settings

METHOD = Method(
    name="mft_wise",
    title="MFT + WiSE",
    mechanism="multi-task",
    summary="As WiSE-FT, between the pretrained encoder and that of MFT.",
    paper="MFT, arXiv 2601.08486",
    colour="#4B1F66",
    marker=">",
    settings=Settings,
    grid=lambda _layers: tuple(Settings(step / 10) for step in range(11)),
    mixing=Mixing(
        source="mft",
        group=lambda _settings, _name, _part: "encoder",
        start=lambda settings: settings.alpha,
        learned=False,
    ),
)
