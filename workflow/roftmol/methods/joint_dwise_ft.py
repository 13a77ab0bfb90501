"""Joint fine-tuning followed by DWiSE-FT (RoFt-Mol, arXiv 2509.00614): a learned coefficient for every block.

    theta_l = (1 - alpha_l) theta_0,l + alpha_l theta_joint,l

Coefficients are each dataset's own. See `joint_ft.py` and `dwise_ft.py`.
"""

from __future__ import annotations

from roftmol.methods.base import Method, Mixing
from roftmol.methods.dwise_ft import Settings, group

METHOD = Method(
    name="joint_dwise_ft",
    title="Joint DWiSE-FT",
    mechanism="panels",
    summary="As DWiSE-FT, between the pretrained encoder and that of joint FT.",
    paper="RoFt-Mol, arXiv 2509.00614",
    colour="#5E1029",
    marker="*",
    settings=Settings,
    grid=lambda _layers: (Settings(0.5), Settings(0.9)),
    mixing=Mixing(source="joint_ft", group=group, start=lambda settings: settings.start, learned=True),
)
