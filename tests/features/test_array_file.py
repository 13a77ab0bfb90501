"""A file of one array a dataset: what was saved comes back, and what was made otherwise is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roftmol.core.errors import UserError
from roftmol.features import array_file, descriptors

VALUES = np.arange(6, dtype=np.float32).reshape(2, 3)


def test_it_comes_back(tmp_path: Path):
    array_file.save("vectors", VALUES, {"format": "one"}, tmp_path / "a.safetensors")
    assert np.array_equal(array_file.load("vectors", {"format": "one"}, tmp_path / "a.safetensors"), VALUES)


def test_another_file_is_refused(tmp_path: Path):
    path = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="no file of vectors"):
        array_file.load("vectors", {}, path)
    path.write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"no file of vectors .*Delete it"):
        array_file.load("vectors", {}, path)
    array_file.save("vectors", VALUES, {"format": "another"}, path)
    with pytest.raises(UserError, match=r"no vectors of this version.*Delete it"):
        array_file.load("vectors", {"format": "one"}, path)
    with pytest.raises(UserError, match="no file of descriptors"):
        array_file.load("descriptors", {"format": "another"}, path)


def test_descriptors_of_another_rdkit_are_refused(tmp_path: Path):
    """Its list of names is another."""
    made = descriptors.MADE | {"names": descriptors.MADE["names"].replace("MolWt,", "")}
    array_file.save("descriptors", VALUES, made, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="no descriptors of this version"):
        array_file.load("descriptors", descriptors.MADE, tmp_path / "a.safetensors")
