"""LP-FT (Kumar et al. 2022, arXiv 2202.10054): linear probing, then full fine-tuning from the best head.

A random head sends large gradients into the encoder in the first steps and distorts it; a probed head does not.
"""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="lp_ft",
    title="LP-FT",
    mechanism="partial",
    summary="Linear probing first, then everything is trained from the head found.",
    paper="Kumar et al. 2022, arXiv 2202.10054",
    colour="#003F66",
    marker="d",
    by_default=True,
    default_heads=("hybrid",),
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, parts: ((), parts),
)
