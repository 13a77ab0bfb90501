"""Joint fine-tuning, then full fine-tuning of each dataset of the panel by itself, from the joint encoder and its head.

Training in stages, first of related tasks together and then of each alone, is reported of the winner of the ExpansionRx
challenge (OpenADMET). Each fit starts from the joint fit of its seed and fold, of several weightings the one that is
the best by the dataset's own validation. See `joint_ft.py`.
"""

from roftmol.methods.base import Method, NoSettings, no_grid

METHOD = Method(
    name="joint_then_single",
    title="Joint, then single",
    mechanism="panels",
    summary="Joint FT, then full FT of each dataset alone from the joint weights.",
    colour="#C2577A",
    marker="D",
    settings=NoSettings,
    grid=no_grid,
    stages=lambda _settings, parts: (parts,),
    starts_from="joint_ft",
)
