"""From scratch: the same network and training as full fine-tuning, from random weights. What pretraining is worth."""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="scratch",
    title="From scratch",
    mechanism="reference",
    summary="Reference point: the same network trained from random weights.",
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, parts: (parts,),
    pretrained=False,
)
