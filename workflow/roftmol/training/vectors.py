"""Vectors of a dataset's molecules under a frozen encoder: as it pools them, and the sum over their atoms.

A mean, or a maximum, does not tell how large a molecule is, and much of what is measured grows with it. Heads that are
fitted in closed form read both; it costs nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from roftmol.core.devices import device_of
from roftmol.core.errors import UserError
from roftmol.core.files import atomic
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import load_encoder
from roftmol.encoders.ops import sum_by
from roftmol.features import graphs
from roftmol.features.graphs import Graphs, Indices
from roftmol.training.forward import EVALUATION_BATCH

FORMAT = "roftmol-vectors-1"


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


def embed(data: Path, checkpoint: Path, device: str, out: Path) -> None:
    """Write the vectors of all molecules of the graphs `data`."""
    molecules = graphs.load(data)
    encoder = load_encoder(checkpoint, 0.0).to(device_of(device))
    values = vectors(encoder, molecules, np.arange(len(molecules)))
    with atomic(out) as temporary:
        save_file({"vectors": values}, temporary, metadata={"format": FORMAT})


def load(path: Path) -> NDArray[np.float32]:
    """Return the vectors that :func:`embed` wrote, n x (2 width).

    Raises `UserError` if it is no such file.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            values = file.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: no file of vectors ({error}). Delete it and run the workflow again.") from error
    if metadata.get("format") != FORMAT:
        raise UserError(f"{path}: no vectors of this version of the program. Delete it and run the workflow again.")
    return np.asarray(values, np.float32)
