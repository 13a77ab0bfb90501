"""Linear probing: the encoder is frozen, a linear head is trained on its molecule vectors."""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="linear_probing",
    title="Linear probing",
    mechanism="partial",
    summary="Only the head is trained; the encoder stays as pretrained.",
    colour="#56B4E9",
    marker="^",
    by_default=True,
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, _parts: ((),),
)
