"""Full fine-tuning: encoder and head follow the task loss."""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="full_ft",
    title="Full FT",
    mechanism="none",
    summary="Encoder and head train on the task loss.",
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, parts: (parts,),
)
