"""Molecular graph encoders, their published weights, and the model that fine-tuning trains."""

from roftmol.encoders.gnn import CONVOLUTIONS, Architecture, Encoder, part_of

__all__ = ["CONVOLUTIONS", "Architecture", "Encoder", "part_of"]
