"""Pretraining recipes, one file each."""

from roftmol.pretrain.attribute_masking import AttributeMasking
from roftmol.pretrain.graphmae import GraphMAE
from roftmol.pretrain.loop import Objective, PretrainSettings, pretrain
from roftmol.pretrain.supervised import Supervised

#: The objectives by name.
RECIPES: dict[str, type[Objective]] = {
    "attribute_masking": AttributeMasking,
    "graphmae": GraphMAE,
    "supervised": Supervised,
}

__all__ = ["RECIPES", "AttributeMasking", "GraphMAE", "Objective", "PretrainSettings", "Supervised", "pretrain"]
