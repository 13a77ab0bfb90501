"""From scratch: the same network and training as full fine-tuning, from random weights. What pretraining is worth."""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="scratch",
    title="From scratch",
    mechanism="reference",
    summary="The same network from random weights: what pretraining is worth.",
    colour="#8C8C8C",
    marker="o",
    by_default=True,
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, parts: (parts,),
    pretrained=False,
)
