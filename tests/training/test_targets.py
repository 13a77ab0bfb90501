"""What a student learns in distillation: made in parts, put together, read back."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from roftmol.core.errors import UserError
from roftmol.encoders.checkpoints import load_encoder
from roftmol.features import featurize
from roftmol.features.descriptors import NAMES, descriptors
from roftmol.features.fingerprints import morgan_counts
from roftmol.training import vectors
from roftmol.training.pretraining import targets
from small_dataset import SMILES


@pytest.fixture
def teacher(cell):
    return cell / "encoder.safetensors"


def test_targets_are_the_teachers_vectors_descriptors_and_folded_counts(teacher, tmp_path):
    targets.make(SMILES, teacher, "hu", tmp_path / "parts", tmp_path / "targets.safetensors", described=20)
    made = load_file(tmp_path / "targets.safetensors")
    graphs = featurize.from_smiles(SMILES, np.zeros((len(SMILES), 0), np.float32))
    expected = vectors.vectors(load_encoder(teacher, 0.0), graphs, np.arange(len(SMILES)))
    assert made["vectors"] == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert made["descriptors"][:20] == pytest.approx(descriptors(SMILES[:20]), rel=1e-3, abs=1e-3, nan_ok=True)
    assert np.isnan(made["descriptors"][20:]).all()
    counts = morgan_counts(SMILES).toarray()
    assert (made["counts"] == counts[:, :1024] + counts[:, 1024:]).all()
    values, blocks = targets.load(tmp_path / "targets.safetensors", len(SMILES))
    width = expected.shape[1] // 2
    assert blocks == (width, width, len(NAMES), 1024)
    assert values.shape == (len(SMILES), sum(blocks))
    assert (values[:, -1024:] == made["counts"]).all()


def test_a_killed_run_repeats_no_part(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "PART", 5)
    undisturbed = tmp_path / "whole.safetensors"
    targets.make(SMILES, teacher, "hu", tmp_path / "others", undisturbed)
    make_part, made = targets._make_part, []

    def dying(*arguments):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(arguments[-1].path)
        make_part(*arguments)

    monkeypatch.setattr(targets, "_make_part", dying)
    with pytest.raises(KeyboardInterrupt):
        targets.make(SMILES, teacher, "hu", tmp_path / "parts", tmp_path / "t.safetensors")
    made.clear()
    monkeypatch.setattr(targets, "_make_part", lambda *given: (made.append(given[-1].path), make_part(*given)))
    targets.make(SMILES, teacher, "hu", tmp_path / "parts", tmp_path / "t.safetensors")
    assert len(made) == 3  # of five
    assert (tmp_path / "t.safetensors").read_bytes() == undisturbed.read_bytes()


def test_other_files_and_other_molecules_are_refused(teacher, tmp_path):
    path = tmp_path / "t.safetensors"
    with pytest.raises(UserError, match="no targets of a distillation"):
        targets.load(path, 3)
    save_file({"vectors": np.zeros((3, 4), np.float16)}, path)
    with pytest.raises(UserError, match="expected roftmol-targets-1"):
        targets.load(path, 3)
    targets.make(SMILES[:3], teacher, "hu", tmp_path / "parts", path)
    with pytest.raises(UserError, match="targets of 3 molecules, and the recipe has 4"):
        targets.load(path, 4)
