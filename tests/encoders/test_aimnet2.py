"""AIMNet2 as an encoder: the published network's own numbers, symmetries, forces, and what methods see of it."""

from __future__ import annotations

import copy
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from atoms_in_space import SMILES, TASK, conformers, geometry, molecules, numerical_force, rotation
from published_encoders import fetched
from roftmol.core.errors import UserError
from roftmol.encoders.aimnet2 import CUTOFF, Aimnet2, read_published
from roftmol.encoders.checkpoints import convert, load_encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.features import featurize
from roftmol.features.graphs import Batch, Graphs
from roftmol.methods import METHODS
from roftmol.methods.protocols import PROTOCOLS
from roftmol.training.fit import Fit, Fold, TrainSettings
from roftmol.training.loop import train
from roftmol.training.model import new_model

ARCHITECTURE = {"kind": "aimnet2", "layers": 3, "width": 256}


@pytest.fixture(scope="module")
def checkpoint(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published weights under our names; the file they come from lies beside them as `raw`."""
    return fetched("aimnet2", pytestconfig, tmp_path_factory)


@pytest.fixture
def published(checkpoint: Path) -> Aimnet2:
    found = load_encoder(checkpoint, 0.0)
    assert isinstance(found, Aimnet2)
    return found.eval()


@pytest.fixture
def encoder() -> Aimnet2:
    """With weights drawn at random, for what must hold of any."""
    torch.manual_seed(0)
    found = new_encoder(ARCHITECTURE).eval()
    assert isinstance(found, Aimnet2)
    for theta in found.blocks.parameters():
        theta.data *= 2.0  # drawn ones are so small that little of the surroundings is left after three passes
    return found


def in_double(encoder: Aimnet2) -> Aimnet2:
    return copy.deepcopy(encoder).double()


def batch_of(data: Graphs) -> Batch:
    batch = data.batch(range(len(data)))
    return replace(batch, atoms=batch.atoms.double())


def padded(smiles: list[str]) -> tuple[Tensor, Tensor]:
    """Numbers (b x N) and positions (b x N x 3) of molecules as the published network takes them."""
    numbers, positions = conformers(smiles)
    largest = max(map(len, numbers))
    z, r = torch.zeros(len(smiles), largest, dtype=torch.long), torch.zeros(len(smiles), largest, 3)
    for row, (atoms, places) in enumerate(zip(numbers, positions, strict=True)):
        z[row, : len(atoms)], r[row, : len(atoms)] = torch.from_numpy(atoms), torch.from_numpy(places).float()
    return z, r


def test_energies_forces_charges_and_vectors_are_the_published_networks(checkpoint: Path, published: Aimnet2):
    """The archive's code runs here, of a file whose checksum is the registry's, and nowhere else.

    The shifts of elements are left out at first: the archive adds them in float32, which knows a carbon's to 1e-4 eV.
    """
    theirs = torch.jit.load(str(checkpoint.with_name("raw")))
    smiles = [*SMILES, "CS(=O)(=O)C"]  # a sulphur with more neighbours than its references in D3
    z, r = padded(smiles)
    real, batch = z > 0, molecules(smiles).batch(range(len(smiles)))
    shifts = theirs.state_dict()["outputs.atomic_shift.shifts.weight"], published.force_field.shifts.weight
    kept = shifts[0].clone()
    for shift, tolerance in ((torch.zeros_like(kept), 1e-5), (kept, 5e-4)):
        for weight in shifts:
            weight.data.copy_(shift)
        wanted = theirs({"coord": r.clone().requires_grad_(), "numbers": z, "charge": torch.zeros(len(z))})
        (gradient,) = torch.autograd.grad(wanted["energy"].sum(), [wanted["coord"]])
        energies, forces = published.energies_and_forces(batch)
        assert wanted["energy"].abs().min() > 1
        torch.testing.assert_close(energies, wanted["energy"], rtol=0, atol=tolerance)
        torch.testing.assert_close(forces, -gradient[real], rtol=0, atol=1e-5)
    torch.testing.assert_close(published.charges(batch), wanted["charges"][real], rtol=0, atol=1e-6)
    torch.testing.assert_close(published.nodes(batch), wanted["aim"][real], rtol=0, atol=1e-4)  # up to 20


def test_forces_are_minus_the_gradient_of_the_energy(published: Aimnet2):
    encoder, batch = in_double(published), batch_of(molecules(["CC(=O)N"]))
    _, forces = encoder.energies_and_forces(batch)
    assert forces.abs().max() > 0.1
    step = 1e-4
    for atom, axis in [(0, 0), (2, 1), (5, 2)]:
        assert numerical_force(encoder, batch, atom, axis, step) == pytest.approx(
            float(forces[atom, axis]), rel=1e-4, abs=1e-4
        )


def test_every_weight_takes_a_finite_gradient_from_energy_and_forces(published: Aimnet2):
    """In a batch of molecules of different sizes, where the published file's own parameters give NaN."""
    batch = molecules().batch(range(len(SMILES)))
    energies, forces = published.energies_and_forces(batch, training=True)
    (energies.sum() + forces.square().sum()).backward()
    for name, theta in published.named_parameters():
        assert theta.grad is not None, name
        assert theta.grad.isfinite().all(), name
        assert theta.grad.any(), name


def test_full_fine_tuning_learns_ten_molecules(published: Aimnet2):
    smiles = ["CCO", "Oc1ccoc1", "CC(=O)N", "O", "C#CC", "CC1CC1N", "C1CCOC1", "OCC=O", "N#CCC", "CNC=O"]
    data = molecules(smiles)
    fold = Fold(np.arange(10), np.arange(10), np.arange(10))
    # Ten molecules are one batch, so an epoch is a step.
    training = TrainSettings(60, patience=60, learning_rate=1e-4)
    method = METHODS["full_ft"]
    fit = Fit(method, method.parse({}), data, fold, TASK, PROTOCOLS["honest"], training)
    model = new_model(published, fit)
    train(model, fit)
    assert all(theta.isfinite().all() for theta in model.parameters())
    error = np.sqrt(np.mean((model.predict(data, range(10)) - data.labels) ** 2))
    assert error < 0.1 * data.labels.std()


def test_the_dispersion_of_two_far_atoms_is_that_of_their_coefficient(published: Aimnet2):
    """At a distance nothing damps: -C6 / r^6 of free atoms, in Hartree and Bohr, and a little more by the next term."""
    numbers, length = np.array([6, 6]), 40.0
    where = np.array([[0.0, 0.0, 0.0], [length, 0.0, 0.0]])
    batch = featurize.from_conformers([numbers], [where], np.zeros((1, 1), np.float32)).batch([0])
    i, j, far = torch.tensor([0, 1]), torch.tensor([1, 0]), torch.full((2,), length * 1.8897261258369282)
    found = published.force_field._dispersion(batch.atoms[:, 0].long(), i, j, far)
    c6 = float(published.force_field.c6ab[6, 6, 0, 0, 0])
    assert published.force_field.c6ab[6, 6, 0, 0, 1:].tolist() == [0, 0]  # the reference without neighbours
    assert c6 == pytest.approx(49.1, abs=0.1)  # the free carbon atom's in D3
    assert float(found[0]) == pytest.approx(-27.2114 * c6 / float(far[0]) ** 6, rel=0.01)


def test_a_molecules_charges_add_up_to_zero(published: Aimnet2):
    batch = molecules().batch(range(len(SMILES)))
    charges = published.charges(batch).detach()
    assert charges.abs().max() > 0.1
    total = torch.zeros(len(SMILES)).index_add_(0, batch.graph, charges)
    assert total.abs().max() < 1e-5
    water = batch.graph == SMILES.index("O")
    assert charges[water & (batch.atoms[:, 0] == 8)] < 0


def test_weights_are_under_our_names_and_constants_are_the_files(checkpoint: Path, published: Aimnet2):
    raw = read_published(checkpoint.with_name("raw"))
    assert len(load_file(checkpoint)) == len(raw) - 3  # the second radial basis, which is not used
    assert sum(theta.numel() for theta in published.parameters()) == 2_205_557
    drawn = dict(Aimnet2().named_buffers())
    for name, constant in published.named_buffers():
        if not name.startswith("force_field.") or name.endswith("short_range"):
            torch.testing.assert_close(drawn[name], constant)


def test_properties_depend_on_neither_frame_nor_order(encoder: Aimnet2):
    numbers, positions = conformers()
    rng = np.random.default_rng(3)
    labels = np.zeros((len(numbers), 1), np.float32)
    encoder = in_double(encoder)

    def vectors(numbers: list[np.ndarray], positions: list[np.ndarray]) -> Tensor:
        with torch.no_grad():
            return encoder(batch_of(featurize.from_conformers(numbers, positions, labels)))

    wanted = vectors(numbers, positions)
    scale = wanted.std(0).max()
    for turn in (rotation(), -rotation(1)):  # the second one mirrors: no property here tells hands apart
        moved = [p @ turn.T + rng.normal(0, 5, 3) for p in positions]
        assert (vectors(numbers, moved) - wanted).abs().max() < 1e-5 * scale  # positions are kept in float32
    orders = [rng.permutation(len(n)) for n in numbers]
    mixed = vectors(
        [n[order] for n, order in zip(numbers, orders, strict=True)],
        [p[order] for p, order in zip(positions, orders, strict=True)],
    )
    assert (mixed - wanted).abs().max() < 1e-9 * scale
    longer = vectors(numbers, [1.05 * p for p in positions])
    assert (longer - wanted).abs().max() > 1e-3 * scale


def test_forces_turn_with_the_molecule(encoder: Aimnet2):
    numbers, positions = geometry("CC(=O)N")
    encoder, Q = in_double(encoder), rotation()
    here, there = (
        encoder.energies_and_forces(batch_of(featurize.from_conformers([numbers], [p], np.zeros((1, 1), np.float32))))
        for p in (positions, positions @ Q.T)
    )
    scale = here[1].abs().max()
    assert torch.allclose(here[0], there[0], rtol=1e-6)
    assert (here[1] @ torch.from_numpy(Q.T) - there[1]).abs().max() < 1e-4 * scale


def test_a_molecule_does_not_feel_its_batch(encoder: Aimnet2):
    encoder, data = in_double(encoder), molecules()
    together = encoder.energies_and_forces(batch_of(data))
    alone = []
    for m in range(len(data)):
        batch = data.batch([m])
        alone.append(encoder.energies_and_forces(replace(batch, atoms=batch.atoms.double())))
    assert torch.allclose(together[0], torch.cat([energy for energy, _ in alone]), rtol=1e-10)
    assert torch.allclose(together[1], torch.cat([force for _, force in alone]), rtol=1e-8, atol=1e-10)


def test_neighbours_are_all_within_its_own_cutoff(encoder: Aimnet2):
    """5 Angstrom, though the dataset's neighbours are those of another model; and smoothly so."""
    numbers = np.array([8, 8])

    def vectors(length: float) -> Tensor:
        where = np.array([[0.0, 0.0, 0.0], [length, 0.0, 0.0]])
        data = featurize.from_conformers([numbers], [where], np.zeros((1, 1), np.float32))
        with torch.no_grad():
            return in_double(encoder).nodes(batch_of(data))

    apart = vectors(50.0)
    assert torch.equal(vectors(CUTOFF + 0.01), apart)
    inside, at_edge = ((vectors(CUTOFF - step) - apart).abs().max() for step in (0.3, 0.01))
    assert 0 < at_edge < 1e-2 * inside


def test_methods_address_its_parts(encoder: Aimnet2):
    assert encoder.parts == ("embed", "blocks.0", "blocks.1", "blocks.2")
    assert {encoder.part_of(name) for name in encoder.state_dict()} == {*encoder.parts, "force_field"}


def test_fresh_weights_are_others_and_constants_the_same(encoder: Aimnet2):
    encoder.force_field.r4r2 += 1
    fresh = encoder.fresh()
    assert not any(torch.equal(a, b) for a, b in zip(encoder.parameters(), fresh.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(encoder.buffers(), fresh.buffers(), strict=True))


def archive_of(path: Path, pickled: bytes) -> Path:
    """A file that looks like a TorchScript archive, with this pickle in it."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", pickled)
        archive.writestr("model/code/__torch__/model.py", "raise RuntimeError")
        archive.writestr("model/data/0", bytes(8))
    return path


@pytest.mark.parametrize("pickled", [pickle.dumps(Path.unlink), b"not a pickle", pickle.dumps(3)])
def test_nothing_but_tensors_is_built_of_an_archive(tmp_path: Path, pickled: bytes):
    harmful = archive_of(tmp_path / "model.jpt", pickled)
    with pytest.raises(UserError, match="cannot be read as weights"):
        convert(harmful, ARCHITECTURE, tmp_path / "out", name="aimnet2")
    assert not (tmp_path / "out").exists()


def test_tensors_of_an_archive_are_those_that_torch_saved(tmp_path: Path):
    torch.manual_seed(2)
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ModuleList([torch.nn.Linear(2, 4, bias=False)])[0])
    torch.jit.script(module).save(str(tmp_path / "module.jpt"))
    found = read_published(tmp_path / "module.jpt")
    assert found.keys() == module.state_dict().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in module.state_dict().items())
