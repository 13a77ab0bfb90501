"""Pretraining recipes, one file each."""

from roftmol.pretrain.attribute_masking import AttributeMasking
from roftmol.pretrain.loop import Objective, PretrainSettings, pretrain

#: The objectives by name.
RECIPES: dict[str, type[Objective]] = {"attribute_masking": AttributeMasking}

__all__ = ["RECIPES", "Objective", "PretrainSettings", "pretrain"]
