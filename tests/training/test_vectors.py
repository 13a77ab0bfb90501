"""Vectors for heads in closed form: as the encoder pools them, and the sum over a molecule's atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import graphs
from roftmol.features.array_file import load
from roftmol.features.inputs import VECTORS
from roftmol.training import vectors
from roftmol.training.forward import pooled


def test_they_are_what_heads_of_networks_read_and_the_sum_over_atoms(cell: Path, tmp_path: Path):
    data, encoder = graphs.load(cell / "graphs.safetensors"), load_encoder(cell / "encoder.safetensors", 0.5)
    vectors.embed(cell / "graphs.safetensors", cell / "encoder.safetensors", "cpu", tmp_path / "vectors.safetensors")
    values = load("vectors", VECTORS, tmp_path / "vectors.safetensors")
    everything = np.arange(len(data))
    width = encoder.width
    assert values.shape == (len(data), 2 * width)
    assert values[:, :width] == pytest.approx(pooled(encoder, data, everything).numpy(), abs=1e-5)
    # GIN pools by the mean.
    atoms = np.diff(data.offsets)
    assert values[:, width:] == pytest.approx(atoms[:, None] * values[:, :width], rel=1e-4, abs=1e-4)
    some = np.array([3, 0])
    assert vectors.vectors(encoder, data, some) == pytest.approx(values[some], abs=1e-5)
