"""Vectors of a dataset's molecules under a frozen encoder: as it pools them, and the sum over their atoms.

A mean, or a maximum, does not tell how large a molecule is, and much of what is measured grows with it. Heads that are
fitted in closed form read both; it costs nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from roftmol.core.devices import device_of
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import load_encoder
from roftmol.encoders.ops import sum_by
from roftmol.features import array_file, graphs
from roftmol.features.graphs import Graphs, Indices
from roftmol.features.inputs import VECTORS
from roftmol.training.forward import EVALUATION_BATCH


@torch.no_grad()
def vectors(encoder: Encoder, data: Graphs, molecules: Indices) -> NDArray[np.float32]:
    """Return b molecules' vectors, b x (2 width): pooled, then summed; the encoder is left in eval mode."""
    encoder.eval()
    device = next(encoder.parameters()).device
    rows = []
    for batch in data.batches(molecules, EVALUATION_BATCH):
        batch = batch.to(device)
        state = encoder.state(batch)
        rows.append(torch.cat([encoder.pool(state, batch), sum_by(state.atoms, batch.graph, len(batch))], 1))
    return torch.cat(rows).cpu().numpy()


def embed(data: Path, checkpoint: Path, device: str, out: Path, own_code: str = "") -> None:
    """Write the vectors of all molecules of the graphs `data`; `own_code` as in `load_encoder`."""
    molecules = graphs.load(data)
    encoder = load_encoder(checkpoint, 0.0, own_code).to(device_of(device))
    array_file.save("vectors", vectors(encoder, molecules, np.arange(len(molecules))), VECTORS, out)
