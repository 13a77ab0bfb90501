"""SO3LR as an encoder: the package's own numbers, symmetries, forces, and what methods see of it."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from atoms_in_space import SMILES, TASK, conformers, geometry, molecules, numerical_force, rotation
from published_encoders import so3lr_weights
from roftmol.core.errors import UserError
from roftmol.encoders.checkpoints import convert
from roftmol.encoders.ops import all_pairs
from roftmol.encoders.so3lr import ARCHITECTURE, So3lr, pairs, read_published
from roftmol.features import featurize, graphs
from roftmol.features.featurizers.geometry import CUTOFF
from roftmol.registry import catalog
from roftmol.training.model import Model


def test_energies_forces_and_vectors_are_the_packages(so3lr: So3lr):
    """The encoder arranges the package's parts anew; the package's own forward pass must give the same."""
    from so3krates_torch.modules import models

    theirs = models.SO3LR(**ARCHITECTURE)
    theirs.load_state_dict(read_published(so3lr_weights()))
    batch = molecules().batch(range(len(SMILES)))
    numbers, (sender, receiver) = batch.atoms[:, 0].long(), batch.edges
    i, j = all_pairs(batch.sizes.long())
    b = len(batch)
    data = {
        "positions": batch.atoms[:, 1:].clone(),
        "cell": torch.zeros(3 * b, 3),
        "node_attrs": torch.nn.functional.one_hot(numbers - 1, 118).float(),
        "atomic_numbers": numbers,
        "edge_index": torch.stack([receiver, sender]),
        "edge_index_lr": torch.stack([i, j]),
        "batch": batch.graph,
        "ptr": torch.cat([torch.zeros(1), batch.sizes.cumsum(0)]).long(),
        "head": torch.zeros(b, dtype=torch.long),
        **{name: torch.zeros(b) for name in ("total_charge", "total_spin")},
        **{name: torch.zeros(len(sender), 3) for name in ("shifts", "unit_shifts")},
        **{name: torch.zeros(len(i), 3) for name in ("shifts_lr", "unit_shifts_lr")},
    }
    wanted = theirs.eval()(data, return_descriptors=True)
    energies, forces = so3lr.energies_and_forces(batch)
    assert torch.allclose(energies, wanted["energy"], rtol=1e-6, atol=0)
    assert torch.allclose(forces, wanted["forces"], atol=3e-5)
    assert torch.allclose(so3lr.nodes(batch), wanted["inv_features"], atol=1e-5)


def test_training_mode_changes_nothing(so3lr: So3lr):
    batch = molecules().batch(range(len(SMILES)))
    assert so3lr.steady
    with torch.no_grad():
        still = so3lr.eval().nodes(batch)
        assert torch.equal(so3lr.train().nodes(batch), still)
    so3lr.eval()


def test_forces_are_minus_the_gradient_of_the_energy(so3lr: So3lr):
    so3lr = copy.deepcopy(so3lr).double()
    batch = molecules(["CCO"]).batch([0])
    batch = replace(batch, atoms=batch.atoms.double())
    _, forces = so3lr.energies_and_forces(batch)
    step = 1e-5
    for atom, axis in [(0, 0), (2, 1), (5, 2)]:
        assert numerical_force(so3lr, batch, atom, axis, step) == pytest.approx(
            float(forces[atom, axis]), rel=1e-5, abs=1e-6
        )


@pytest.mark.parametrize("extensive", [False, True])
def test_properties_depend_on_neither_frame_nor_order(so3lr: So3lr, extensive: bool):
    torch.manual_seed(1)
    model = Model(so3lr, 1, replace(TASK, extensive=extensive)).eval()
    numbers, positions = conformers()
    rng = np.random.default_rng(3)
    labels = np.zeros((len(numbers), 1), np.float32)
    wanted = model.predict(featurize.from_conformers(numbers, positions, labels), range(len(numbers)))
    assert np.ptp(wanted) > 1e-3
    for turn in (rotation(), -rotation(1)):  # the second one mirrors: no property here tells hands apart
        moved = [p @ turn.T + rng.normal(0, 5, 3) for p in positions]
        found = model.predict(featurize.from_conformers(numbers, moved, labels), range(len(numbers)))
        np.testing.assert_allclose(found, wanted, atol=2e-5)
    orders = [rng.permutation(len(n)) for n in numbers]
    shuffled = zip(numbers, positions, orders, strict=True)
    mixed = [(n[order], p[order]) for n, p, order in shuffled]
    found = model.predict(featurize.from_conformers(*map(list, zip(*mixed, strict=True)), labels), range(len(numbers)))
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_forces_turn_with_the_molecule(so3lr: So3lr):
    numbers, positions = geometry("CC(=O)N")
    Q = rotation()
    here, there = (
        so3lr.energies_and_forces(featurize.from_conformers([numbers], [p], np.zeros((1, 1), np.float32)).batch([0]))
        for p in (positions, positions @ Q.T)
    )
    assert torch.allclose(here[0], there[0], rtol=1e-6)
    assert torch.allclose(here[1] @ torch.from_numpy(Q.T).float(), there[1], atol=5e-5)


def test_a_molecule_does_not_feel_its_batch(so3lr: So3lr):
    data = molecules()
    together = so3lr.energies_and_forces(data.batch(range(len(data))))
    alone = [so3lr.energies_and_forces(data.batch([m])) for m in range(len(data))]
    assert torch.allclose(together[0], torch.cat([energy for energy, _ in alone]), rtol=1e-6)
    assert torch.allclose(together[1], torch.cat([force for _, force in alone]), atol=3e-5)


def test_neighbours_are_all_within_the_cutoff():
    data = molecules()
    for m in range(len(data)):
        batch = data.batch([m])
        positions = batch.atoms[:, 1:]
        distance = torch.cdist(positions, positions) + torch.eye(len(positions)) * 99
        wanted = {tuple(pair) for pair in torch.nonzero(distance < CUTOFF).tolist()}
        assert {tuple(pair) for pair in batch.edges.t().tolist()} == wanted


def test_pairs_find_both_directions():
    batch = molecules().batch([1, 3])
    first, pair = pairs(batch.edges, len(batch.atoms))
    assert len(first) * 2 == batch.edges.size(1)
    ends = batch.edges.sort(0).values
    assert torch.equal(ends[:, first][:, pair], ends)


def test_methods_address_its_parts(so3lr: So3lr):
    assert so3lr.parts == ("embed", "blocks.0", "blocks.1", "blocks.2")
    assert sum(theta.numel() for theta in so3lr.parameters()) == 529_852
    assert {so3lr.part_of(name) for name in so3lr.state_dict()} == {*so3lr.parts, "force_field"}


def test_weights_are_under_our_names_and_nothing_else_is_built(so3lr_checkpoint: Path, tmp_path: Path):
    assert len(load_file(so3lr_checkpoint)) == len(read_published(so3lr_weights()))
    harmful = tmp_path / "so3lr.model"
    with open(harmful, "wb") as stream:
        pickle.dump(Path(tmp_path), stream)
    with pytest.raises(UserError, match="cannot be read as weights"):
        convert(harmful, {"kind": "so3lr", "layers": 3, "width": 128}, tmp_path / "out", name="so3lr")
    assert not (tmp_path / "out").exists()


def test_the_registry_names_the_weights_that_the_package_brings():
    from roftmol.core.files import sha256

    assert catalog.checkpoints()["so3lr"].sources[0].sha256 == sha256(so3lr_weights())


@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C[Si](C)(C)C", "record 41, .*it has Si; models of atoms in space are given H, C"),
        ("C[NH3+]", "record 41, .*a charge of 1"),
    ],
)
def test_strange_elements_and_charges_are_refused_by_name(smiles: str, message: str):
    numbers, positions = geometry(smiles)
    table = pd.DataFrame({"dataset": "own", "molecule": [0], "row": [41], "smiles": [smiles], "labels": [[1.0]]})
    where = pd.DataFrame({"numbers": [numbers.astype(np.int8)], "positions": [positions.ravel().astype(np.float32)]})
    with pytest.raises(UserError, match=message):
        featurize.in_space(table, where)


def test_graphs_in_space_are_kept_whole(tmp_path: Path):
    data = molecules()
    data.save(tmp_path / "graphs.safetensors")
    again = graphs.load(tmp_path / "graphs.safetensors")
    assert again.featurizer == "geometry"
    for name in graphs.ARRAYS:
        assert np.array_equal(getattr(data, name), getattr(again, name)), name
