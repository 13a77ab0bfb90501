"""Full fine-tuning: encoder and head follow the task loss."""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="full_ft",
    title="Full FT",
    mechanism="full fine-tuning",
    summary="Encoder and head are trained on the task.",
    colour="#000000",
    marker="o",
    by_default=True,
    default_heads=("hybrid",),
    compared=True,
    phrase="full FT",
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, parts: (parts,),
)
