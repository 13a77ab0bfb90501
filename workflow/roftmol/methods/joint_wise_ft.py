"""Joint fine-tuning followed by WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903): a straight line to the joint encoder.

    theta = (1 - alpha) theta_0 + alpha theta_joint

One alpha is selected for each dataset. See `joint_ft.py` and `wise_ft.py`.
"""

from __future__ import annotations

from roftmol.methods.base import Method, Mixing
from roftmol.methods.wise_ft import Settings

METHOD = Method(
    name="joint_wise_ft",
    title="Joint WiSE-FT",
    mechanism="panels",
    summary="As WiSE-FT, between the pretrained encoder and that of joint FT.",
    paper="Wortsman et al. 2022, arXiv 2109.01903",
    colour="#D98BA3",
    marker="s",
    settings=Settings,
    grid=lambda _layers: tuple(Settings(step / 10) for step in range(11)),
    mixing=Mixing(
        source="joint_ft",
        group=lambda _settings, _name, _part: "encoder",
        start=lambda settings: settings.alpha,
        learned=False,
    ),
)
