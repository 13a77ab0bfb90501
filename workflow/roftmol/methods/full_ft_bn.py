"""Full fine-tuning whose BatchNorm statistics are estimated anew, as those of mixed weights are.

    theta = theta_ft; every BatchNorm's mean and variance are those of the training molecules under theta_ft

Training leaves running averages over batches with dropout, under weights that moved meanwhile. WiSE-FT and DWiSE-FT
have theirs estimated under the weights they end with (Izmailov et al. 2018, arXiv 1803.05407), so a part of their
difference from full FT is statistics. Next to this method, the rest is weights. In the protocol `paper`, which mixes
statistics like weights, and for networks without BatchNorm it is full FT to the bit.
"""

from __future__ import annotations

from roftmol.methods.base import Method, Mixing, NoSettings, no_grid

METHOD = Method(
    name="full_ft_bn",
    title="Full FT + BN",
    mechanism="none",
    summary="Full fine-tuning with BatchNorm statistics estimated anew on the training molecules.",
    settings=NoSettings,
    grid=no_grid,
    mixing=Mixing(
        source="full_ft",
        group=lambda _settings, _name, _part: "encoder",
        start=lambda _settings: 1.0,
        learned=False,
        estimate_ends=True,
    ),
)
