"""Pretraining recipes, one file each."""

from roftmol.training.pretraining.attribute_masking import AttributeMasking
from roftmol.training.pretraining.distillation import Distillation
from roftmol.training.pretraining.graphmae import GraphMAE
from roftmol.training.pretraining.loop import Objective, PretrainSettings, pretrain
from roftmol.training.pretraining.supervised import Supervised

#: The objectives by name.
RECIPES: dict[str, type[Objective]] = {
    "attribute_masking": AttributeMasking,
    "distillation": Distillation,
    "graphmae": GraphMAE,
    "supervised": Supervised,
}

__all__ = [
    "RECIPES",
    "AttributeMasking",
    "Distillation",
    "GraphMAE",
    "Objective",
    "PretrainSettings",
    "Supervised",
    "pretrain",
]
