"""Linear probing: the encoder is frozen, a linear head is trained on its molecule vectors."""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="linear_probing",
    title="Linear probing",
    mechanism="partial",
    summary="The encoder is frozen; only the linear head trains.",
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, _parts: ((),),
)
