"""Vectors for heads in closed form: as the encoder pools them, and the sum over a molecule's atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from roftmol.core.errors import UserError
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import graphs
from roftmol.features.vectors import load
from roftmol.training import vectors
from roftmol.training.forward import pooled


def test_they_are_what_heads_of_networks_read_and_the_sum_over_atoms(cell: Path, tmp_path: Path):
    data, encoder = graphs.load(cell / "graphs.safetensors"), load_encoder(cell / "encoder.safetensors", 0.5)
    vectors.embed(cell / "graphs.safetensors", cell / "encoder.safetensors", "cpu", tmp_path / "vectors.safetensors")
    values = load(tmp_path / "vectors.safetensors")
    everything = np.arange(len(data))
    width = encoder.width
    assert values.shape == (len(data), 2 * width)
    assert values[:, :width] == pytest.approx(pooled(encoder, data, everything).numpy(), abs=1e-5)
    # GIN pools by the mean.
    atoms = np.diff(data.offsets)
    assert values[:, width:] == pytest.approx(atoms[:, None] * values[:, :width], rel=1e-4, abs=1e-4)
    some = np.array([3, 0])
    assert vectors.vectors(encoder, data, some) == pytest.approx(values[some], abs=1e-5)


def test_another_file_is_refused(tmp_path: Path):
    path = tmp_path / "vectors.safetensors"
    path.write_bytes(b"no tensors")
    with pytest.raises(UserError, match="no file of vectors"):
        load(path)
    save_file({"vectors": torch.zeros(2, 3).numpy()}, path, metadata={"format": "another"})
    with pytest.raises(UserError, match=r"no vectors of this version.*Delete it"):
        load(path)
