"""Pretraining recipes, one file each."""

from roftmol.training.pretraining.attribute_masking import AttributeMasking
from roftmol.training.pretraining.graphmae import GraphMAE
from roftmol.training.pretraining.loop import Objective, PretrainSettings, pretrain
from roftmol.training.pretraining.supervised import Supervised

#: The objectives by name.
RECIPES: dict[str, type[Objective]] = {
    "attribute_masking": AttributeMasking,
    "graphmae": GraphMAE,
    "supervised": Supervised,
}

__all__ = ["RECIPES", "AttributeMasking", "GraphMAE", "Objective", "PretrainSettings", "Supervised", "pretrain"]
