"""DPA-3 as an encoder: deepmd-kit's own numbers, symmetries, forces, and what methods see of it.

Without deepmd-kit all is skipped but what is said where it is missing. The networks are small ones of the make of the
published file, which is nowhere but at an address.
"""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from atoms_in_space import (
    FOLD,
    HONEST,
    SMILES,
    TASK,
    conformers,
    molecules,
    numerical_force,
    rotation,
    still_parts,
)
from roftmol.core.errors import UserError
from roftmol.encoders.checkpoints import architecture_of, convert, load_encoder
from roftmol.encoders.dpa import Dpa
from roftmol.encoders.kinds import new_encoder
from roftmol.features import featurize
from roftmol.features.featurizers.geometry import ELEMENTS
from roftmol.methods import METHODS
from roftmol.training.fit import Fit, TrainSettings
from roftmol.training.loop import train
from roftmol.training.model import new_model

installed = pytest.mark.skipif(importlib.util.find_spec("deepmd") is None, reason="deepmd-kit is not installed")
#: What the registry says of a model such as the one below.
ARCHITECTURE = {"kind": "dpa", "layers": 3, "width": 16, "branch": "organic"}


def parameters(case: int) -> dict:
    """Of one branch, as published files have it: one network for all branches, told which of them it is."""
    repflow = {
        "n_dim": 16, "e_dim": 8, "a_dim": 8, "nlayers": 3, "e_rcut": 6.0, "e_rcut_smth": 5.3, "e_sel": 60,
        "a_rcut": 4.0, "a_rcut_smth": 3.5, "a_sel": 20, "axis_neuron": 4, "update_angle": True,
        "smooth_edge_update": True, "use_dynamic_sel": True, "use_exp_switch": True, "sel_reduce_factor": 10.0,
    }  # fmt: skip
    common = {"precision": "float32", "activation_function": "silut:3.0", "seed": 1}
    return {
        "type_map": ["H", "B", "C", "N", "O", "F", "P", "S", "Cl", "Br"],
        "descriptor": {"type": "dpa3", "repflow": repflow, **common},
        "fitting_net": {"neuron": [24, 24], "dim_case_embd": 2, **common},
        "model_branch_alias": ["molecules"] if case else ["metals"],
    }


def saved(path: Path) -> Path:
    """A checkpoint of two branches, as deepmd-kit's training writes it, with large shifts of elements."""
    from deepmd.pt.model.model import get_model

    known = {name: parameters(case) for case, name in enumerate(("alloys", "organic"))}
    state = {"_extra_state": {"model_params": {"model_dict": known}, "train_infos": {"step": 3}}}
    for case, (name, about) in enumerate(known.items()):
        torch.manual_seed(case)
        model = get_model(copy.deepcopy(about))
        model.atomic_model.fitting_net.set_case_embd(case)
        model.atomic_model.out_bias[:] = -1e4 * torch.rand(model.atomic_model.out_bias.shape, dtype=torch.float64)
        state |= {f"model.{name}.{key}": tensor for key, tensor in model.state_dict().items()}
    torch.save({"model": state, "optimizer": {"step": 3}}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Converted; what it was made of lies beside it as `raw.pt`."""
    folder = tmp_path_factory.mktemp("dpa")
    convert(saved(folder / "raw.pt"), ARCHITECTURE, folder / "dpa.safetensors", name="dpa")
    return folder / "dpa.safetensors"


@pytest.fixture
def encoder(checkpoint: Path) -> Dpa:
    found = load_encoder(checkpoint, 0.0)
    assert isinstance(found, Dpa)
    return found.eval()


@installed
def test_energies_forces_and_vectors_are_deepmd_kits(checkpoint: Path, encoder: Dpa):
    """Of each molecule alone, by deepmd-kit's own way from the file to a prediction."""
    from deepmd.infer import DeepPot

    theirs = DeepPot(str(checkpoint.with_name("raw.pt")), head="organic")
    batch = molecules().batch(range(len(SMILES)))
    energies, forces = encoder.energies_and_forces(batch)
    vectors, start = encoder.nodes(batch), 0
    elements = parameters(1)["type_map"]
    for row, (numbers, positions) in enumerate(zip(*conformers(SMILES), strict=True)):
        types = np.array([elements.index(ELEMENTS[number]) for number in numbers])
        places = positions.astype(np.float32).astype(float)
        energy, force, _ = theirs.eval(places[None], None, types)
        own = slice(start, start := start + len(numbers))
        assert abs(float(energies[row])) > 1e4
        assert float(energies[row]) == pytest.approx(energy.item(), abs=1e-4)
        np.testing.assert_allclose(forces[own], force[0], atol=1e-5)
        np.testing.assert_allclose(
            vectors[own].detach(), theirs.eval_descriptor(places[None], None, types)[0], atol=1e-5
        )
    assert forces.abs().max() > 1e-3


@installed
def test_another_name_of_the_branch_finds_it_and_another_branch_answers_otherwise(
    checkpoint: Path, encoder: Dpa, tmp_path
):
    batch = molecules().batch(range(len(SMILES)))
    for branch in ("molecules", "alloys"):
        out = tmp_path / f"{branch}.safetensors"
        convert(checkpoint.with_name("raw.pt"), ARCHITECTURE | {"branch": branch}, out, name="dpa")
        other = load_encoder(out, 0.0)
        assert isinstance(other, Dpa)
        assert torch.equal(other.energies(batch), encoder.energies(batch)) == (branch == "molecules")


@installed
def test_what_a_checkpoint_lacks_is_said(checkpoint: Path, tmp_path: Path):
    raw, out = checkpoint.with_name("raw.pt"), tmp_path / "out"
    for change, message in (
        ({"branch": "SPICE2"}, r"raw\.pt: it has no branch 'SPICE2'; write one of alloys, organic"),
        ({"layers": 2}, r"raw\.pt: it has 3 layers of width 16"),
    ):
        with pytest.raises(UserError, match=message):
            convert(raw, ARCHITECTURE | change, out, name="dpa")
    torch.save({"model": {"weight": torch.zeros(2)}}, tmp_path / "bare.pt")
    with pytest.raises(UserError, match=r"bare\.pt: it has no `_extra_state`"):
        convert(tmp_path / "bare.pt", ARCHITECTURE, out, name="dpa")
    (tmp_path / "half.pt").write_bytes(raw.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"half\.pt: cannot be read as weights"):
        convert(tmp_path / "half.pt", ARCHITECTURE, out, name="dpa")
    assert not out.exists()


@installed
def test_forces_are_minus_the_gradient_of_the_energy(encoder: Dpa):
    """Weights in single precision, but positions are taken in double."""
    data = molecules(["CCO"])
    batch = data.batch([0])
    _, forces = encoder.energies_and_forces(batch)
    step = 0.02
    for atom, axis in [(0, 0), (2, 1), (5, 2)]:
        assert numerical_force(encoder, batch, atom, axis, step) == pytest.approx(
            float(forces[atom, axis]), rel=0.02, abs=2e-4
        )


@installed
def test_turning_moving_and_renumbering_change_nothing(encoder: Dpa):
    numbers, positions = conformers()
    order = [np.random.default_rng(row).permutation(len(atoms)) for row, atoms in enumerate(numbers)]
    turned = [(places @ rotation().T + 3)[own] for places, own in zip(positions, order, strict=True)]
    labels = np.zeros((len(numbers), 1), np.float32)
    moved = featurize.from_conformers([atoms[own] for atoms, own in zip(numbers, order, strict=True)], turned, labels)
    before, after = (data.batch(range(len(SMILES))) for data in (molecules(), moved))
    torch.testing.assert_close(encoder(after), encoder(before), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.energies(after), encoder.energies(before), atol=1e-4, rtol=0)
    forces, turned_forces = (encoder.energies_and_forces(batch)[1] for batch in (before, after))
    starts = np.cumsum([0, *map(len, numbers)])[:-1]
    rows = np.concatenate([start + own for start, own in zip(starts, order, strict=True)])
    wanted = forces[rows] @ torch.from_numpy(rotation().T.copy()).float()
    torch.testing.assert_close(turned_forces, wanted, atol=1e-5, rtol=0)


@installed
def test_a_batch_gives_what_molecules_alone_give(encoder: Dpa):
    data = molecules()
    together = encoder(data.batch(range(len(data))))
    alone = torch.cat([encoder(data.batch([row])) for row in range(len(data))])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


@installed
def test_every_weight_has_a_part_and_takes_a_gradient(encoder: Dpa):
    assert encoder.parts == ("embed", "blocks.0", "blocks.1", "blocks.2")
    owners = {name: encoder.part_of(name) for name, _ in encoder.named_parameters()}
    assert set(owners.values()) == {*encoder.parts, "force_field"}
    for part in encoder.parts:
        within = {id(theta) for module in encoder.modules_of(part) for theta in module.parameters()}
        assert within == {id(theta) for name, theta in encoder.named_parameters() if owners[name] == part}
    assert {id(theta) for theta in encoder.force_field.parameters()} == {
        id(theta) for name, theta in encoder.named_parameters() if owners[name] == "force_field"
    }
    energies, forces = encoder.energies_and_forces(molecules().batch(range(len(SMILES))), training=True)
    (energies.sum() + forces.square().sum()).backward()
    for name, theta in encoder.named_parameters():
        if owners[name] in ("embed", "blocks.0", "force_field"):  # of what layers above make, some is read by nobody
            assert theta.grad is not None, name
            assert theta.grad.isfinite().all(), name
            assert theta.grad.any(), name


@installed
@pytest.mark.parametrize(
    ("name", "setting", "still"),
    [
        ("full_ft", {}, {"force_field"}),
        ("linear_probing", {}, {"force_field", "embed", "blocks.0", "blocks.1", "blocks.2"}),
        ("surgical_ft", {"block": 1}, {"force_field", "embed", "blocks.0", "blocks.2"}),
        ("l2_sp", {"lam": 0.1}, {"force_field"}),
        ("layerwise_decay", {"decay": 0.5}, {"force_field"}),
    ],
)
def test_a_method_moves_what_it_says(encoder: Dpa, name: str, setting: dict, still: set[str]):
    assert still_parts(encoder, name, setting) == still


@installed
def test_where_all_is_frozen_molecules_are_read_once_with_the_same_result(
    encoder: Dpa, monkeypatch: pytest.MonkeyPatch
):
    data, method, passes = molecules(), METHODS["linear_probing"], []

    def learnt() -> dict[str, Tensor]:
        fit = Fit(method, method.parse({}), data, FOLD, TASK, HONEST, TrainSettings(5, batch_size=3))
        model = new_model(encoder, fit)
        model.encoder.module.descriptor.register_forward_hook(lambda *_: passes.append(1))
        train(model, fit)
        return model.state_dict()

    once, few = learnt(), len(passes)
    monkeypatch.setattr("roftmol.training.forward.CACHE_LIMIT", 0)
    for name, tensor in learnt().items():
        torch.testing.assert_close(tensor, once[name], atol=1e-6, rtol=0)
    assert few < len(passes) - few


@installed
def test_weights_drawn_anew_differ_and_follow_the_seed(encoder: Dpa):
    """The file's own seed would give the same weights each time; shifts of elements and the branch are kept."""

    def drawn(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(seed)
        return encoder.fresh().state_dict()

    one, again, other = drawn(0), drawn(0), drawn(1)
    for name, theta in encoder.named_parameters():
        assert torch.equal(one[name], again[name]), name
        if "residual" not in name:
            assert not torch.equal(one[name], theta), name
            assert not torch.equal(one[name], other[name]), name
    for name, kept in encoder.named_buffers():
        if name in one:
            assert torch.equal(one[name], kept), name


@installed
def test_what_is_saved_says_how_the_network_is_built(checkpoint: Path):
    architecture = architecture_of(checkpoint)
    assert architecture["parameters"] == parameters(1)
    assert json.loads(json.dumps(architecture)) == architecture
    assert isinstance(new_encoder(architecture), Dpa)


def test_without_deepmd_kit_its_installation_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "deepmd.pt.model.model", None)
    with pytest.raises(
        UserError, match=r"DPA needs deepmd-kit, .*pip install --no-binary deepmd-kit deepmd-kit==3\.2\.0"
    ):
        new_encoder(ARCHITECTURE | {"parameters": {"type_map": []}})


def test_the_registered_file_is_the_one_that_deepmd_kit_names():
    pytest.importorskip("deepmd.pretrained.registry", reason="deepmd-kit is not installed")
    from deepmd.pretrained.registry import MODEL_REGISTRY

    from roftmol.registry.catalog import checkpoints

    theirs = MODEL_REGISTRY["DPA-3.1-3M"]
    for source in checkpoints()["dpa-3.1-3m"].sources:
        assert source.sha256 == theirs["sha256"]
        assert any(url.partition("?")[0] == source.file for url in theirs["urls"])
