import json
import os
import zipfile
from contextlib import suppress
from dataclasses import asdict

import numpy as np
import pytest
import torch
from rdkit import Chem
from safetensors.torch import save_file

import golden
from plain_pyg import PlainEncoder, as_pyg
from published_encoders import fetched
from roftmol.core.errors import UserError
from roftmol.encoders.checkpoints import convert, load_encoder, read_state
from roftmol.encoders.gnn import CONVOLUTIONS, GNN, Architecture
from roftmol.encoders.kinds import encoder_file
from roftmol.encoders.ops import Linear, dropout, linear
from roftmol.features import featurize
from roftmol.features.vocabulary import MASKED_ELEMENT, SELF_LOOP
from roftmol.registry.catalog import checkpoints
from small_dataset import SMILES, corpus

KINDS = sorted(CONVOLUTIONS)


def encoder(kind: str, width: int = 32, dropout: float = 0.0) -> GNN:
    torch.manual_seed(0)
    made = GNN(Architecture(kind, 3, width), dropout)
    with torch.no_grad():  # statistics as after training, not the neutral ones
        for block in made.blocks:
            block.norm.running_mean.normal_()
            block.norm.running_var.uniform_(0.5, 2)
            block.norm.weight.normal_()
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_equal_the_plain_implementation(kind):
    ours = encoder(kind).eval()
    data = corpus()
    order = np.random.default_rng(1).permutation(len(data))
    with torch.no_grad():
        assert torch.allclose(ours(data.batch(order)), PlainEncoder(ours)(as_pyg(data, order)), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_the_plain_implementation_in_training_mode(kind):
    ours = encoder(kind)
    data = corpus()
    target = torch.randn(len(data), 32)

    def gradients(output):
        ours.zero_grad()
        (output * target).sum().backward()
        return {name: p.grad.clone() for name, p in ours.named_parameters() if p.grad is not None}

    first = gradients(ours(data.batch(range(len(data)))))
    second = gradients(PlainEncoder(ours)(as_pyg(data, range(len(data)))))
    assert first.keys() == second.keys()
    for name, gradient in first.items():
        # A bias before BatchNorm has gradient 0; both give rounding noise, hence the absolute tolerance.
        scale = max(second[name].abs().max().item(), 1.0)
        assert (gradient - second[name]).abs().max().item() <= 2e-4 * scale, name


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_atoms_does_not_matter(kind):
    ours = encoder(kind).eval()
    rng = np.random.default_rng(0)
    for smiles in ("CC(=O)Nc1ccc(O)cc1", "c1ccc2c(c1)ccc1ccccc12", "CN1C=NC2=C1C(=O)N(C(=O)N2C)C"):
        molecule = Chem.MolFromSmiles(smiles)
        order = rng.permutation(molecule.GetNumAtoms()).tolist()
        shuffled = Chem.MolToSmiles(Chem.RenumberAtoms(molecule, order), canonical=False)
        data = featurize.from_smiles([smiles, shuffled], np.zeros((2, 1), np.float32))
        with torch.no_grad():
            one, two = ours(data.batch([0, 1]))
        assert torch.allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_molecule_does_not_feel_its_batch(kind):
    ours = encoder(kind).eval()
    data = corpus()
    with torch.no_grad():
        together = ours(data.batch(range(len(data))))
        alone = torch.cat([ours(data.batch([m])) for m in range(len(data))])
    assert torch.allclose(together, alone, atol=1e-5)


def test_starting_at_a_block_continues_the_forward_pass():
    ours = encoder("gin").eval()
    batch = corpus().batch(range(len(SMILES)))
    with torch.no_grad():
        whole = ours.state(batch).atoms
        for start in range(4):
            below = ours.state(batch, stop=start)
            assert torch.equal(ours.state(batch, below, start=start).atoms, whole)


def test_linear_is_a_linear_map_with_its_gradients():
    torch.manual_seed(0)
    x, weight, bias = torch.randn(37, 20), torch.randn(11, 20), torch.randn(11)
    inputs = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    ours = [tensor.clone().requires_grad_() for tensor in (x, weight, bias)]
    expected = torch.nn.functional.linear(*inputs)
    found = linear(*ours)
    assert torch.allclose(found.double(), expected, atol=1e-5)
    cotangent = torch.randn(37, 11)
    expected.backward(cotangent.double())
    found.backward(cotangent)
    for mine, reference in zip(ours, inputs, strict=True):
        assert torch.allclose(mine.grad.double(), reference.grad, atol=1e-4)


def test_linear_leaves_out_gradients_nobody_needs():
    layer = Linear(4, 3)
    layer.weight.requires_grad_(False)
    x = torch.randn(5, 4, requires_grad=True)
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_a_share_and_keeps_the_mean(p):
    torch.manual_seed(0)
    x = torch.ones(1001, 997, requires_grad=True)
    y = dropout(x, p)
    kept = y != 0
    spread = (p * (1 - p) / x.numel()) ** 0.5
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=5 * spread)
    lanes = kept.flatten()[: kept.numel() // 4 * 4].view(-1, 4).double()  # those that share a draw are independent
    assert lanes.mean(0).tolist() == pytest.approx([1 - p] * 4, abs=10 * spread)
    assert torch.corrcoef(lanes.T).fill_diagonal_(0).abs().max() < 0.01
    assert torch.allclose(y[kept], torch.tensor(1 / (1 - p)))
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())
    torch.manual_seed(0)
    assert torch.equal(dropout(x, p), y)


def hu_style(kind: str, width: int, layers: int) -> dict[str, torch.Tensor]:
    """A state dict under the published names."""
    names = {
        "embed.element": "x_embedding1",
        "embed.chirality": "x_embedding2",
        "convolution.bond_type": "edge_embedding1",
        "convolution.bond_direction": "edge_embedding2",
    }
    state = {}
    for name, tensor in GNN(Architecture(kind, layers, width)).state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        name = name.replace("convolution.attention", "att").replace("convolution.", "")
        if kind == "gat":
            name = name.replace("linear.", "weight_linear.")
        if name.startswith("blocks."):
            _, layer, rest = name.split(".", 2)
            name = f"batch_norms.{layer}.{rest[5:]}" if rest.startswith("norm.") else f"gnns.{layer}.{rest}"
        state[name] = tensor
    return state


@pytest.mark.parametrize("kind", KINDS)
def test_published_names_load(kind, tmp_path):
    state = hu_style(kind, 16, 2)
    assert {encoder_file(kind).our_name(name) for name in state} == set(GNN(Architecture(kind, 2, 16)).state_dict())
    old = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "published.pth")
    convert(tmp_path / "published.pth", asdict(Architecture(kind, 2, 16)), tmp_path / "ours.safetensors", name="x")
    loaded = load_encoder(tmp_path / "ours.safetensors", 0.0).state_dict()
    for name, tensor in old.items():
        assert torch.equal(loaded[encoder_file(kind).our_name(name)], tensor)


def molclr_style(kind: str, width: int, layers: int) -> dict[str, torch.Tensor]:
    """A state dict as MolCLR writes it: smaller tables, and the heads beside the encoder."""
    state = hu_style(kind, width, layers)
    for name in list(state):
        if name == "x_embedding1.weight":
            state[name] = torch.randn(119, width)
        if name.endswith("edge_embedding1.weight"):
            state[name] = torch.randn(5, state[name].shape[1])
    heads = {"feat_lin.weight": torch.zeros(8, width), "out_lin.0.weight": torch.zeros(8, 8)}
    return state | heads


@pytest.mark.parametrize("kind", ["gin", "molclr_gcn"])
def test_the_tables_of_molclr_are_laid_out_in_our_rows(kind, tmp_path):
    state = molclr_style(kind, 16, 2)
    torch.save(state, tmp_path / "w.pth")
    out = tmp_path / "ours.safetensors"
    for _ in range(2):  # what is laid out already stays
        raw = out if out.exists() else tmp_path / "w.pth"
        convert(
            raw, asdict(Architecture(kind, 2, 16)), out, name="x", vocabulary="molclr", drop=("feat_lin.", "out_lin.")
        )
        loaded = load_encoder(out, 0.0).state_dict()
        elements = loaded["embed.element.weight"]
        assert torch.equal(elements[:118], state["x_embedding1.weight"][:118])
        assert torch.equal(elements[MASKED_ELEMENT], state["x_embedding1.weight"][118])
        for layer in range(2):
            bonds = loaded[f"blocks.{layer}.convolution.bond_type.weight"]
            assert torch.equal(bonds[: SELF_LOOP + 1], state[f"gnns.{layer}.edge_embedding1.weight"])


def test_only_what_the_registry_names_is_dropped(tmp_path):
    torch.save(molclr_style("gin", 16, 2), tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"unknown out_lin\.0\.weight"):
        convert(
            tmp_path / "w.pth",
            asdict(Architecture("gin", 2, 16)),
            tmp_path / "e.safetensors",
            name="x",
            vocabulary="molclr",
            drop=("feat_lin.",),
        )


# Those of atoms in space have tests of their own.
@pytest.mark.parametrize("name", [name for name, entry in checkpoints().items() if not entry.spatial])
def test_every_registered_checkpoint_loads_and_tells_molecules_apart(name, pytestconfig, tmp_path_factory):
    loaded = load_encoder(fetched(name, pytestconfig, tmp_path_factory), 0.5).eval()
    data = featurize.from_smiles(SMILES, corpus().labels, name=checkpoints()[name].featurizer)
    with torch.no_grad():
        vectors = loaded(data.batch(range(len(SMILES))))
    assert vectors.isfinite().all()
    assert vectors.std(0).max() > 0.01
    # Stereoisomers may share a vector: MolCLR's pretraining saw no stereochemistry, MiniMol's features no chirality.
    flat = {Chem.MolToSmiles(Chem.MolFromSmiles(text), isomericSmiles=False) for text in SMILES}
    assert len(torch.unique(vectors, dim=0)) >= len(flat)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("gnns.1.mlp.0.bias"), "missing blocks.1.convolution.mlp.0.bias"),
        (lambda s: s.update(extra=torch.zeros(3)), r"unknown extra \(3,\)"),
        (lambda s: s.update({"x_embedding1.weight": torch.zeros(119, 16)}), r"shape \(119, 16\), expected \(120, 16\)"),
        (lambda s: s["x_embedding2.weight"].fill_(float("nan")), "embed.chirality.weight is not finite"),
    ],
)
def test_an_error_says_which_names_and_shapes_differ(change, message, tmp_path):
    state = hu_style("gin", 16, 2)
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(UserError, match=message):
        convert(tmp_path / "w.pth", asdict(Architecture("gin", 2, 16)), tmp_path / "out.safetensors", name="x")
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


class _Malice:
    def __reduce__(self):
        return os.mkdir, ("malice",)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": _Malice()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="was not run") as caught:
        convert(tmp_path / "w.pth", asdict(Architecture("gin", 2, 16)), tmp_path / "out.safetensors", name="x")
    assert "it asks for posix.mkdir, which is no tensor" in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's advice to read it with its code is no mend
    assert "trust" not in str(caught.value)
    assert not (tmp_path / "malice").exists()


def test_truncated_weights_are_an_error(tmp_path):
    torch.save(hu_style("gin", 16, 2), tmp_path / "w.pth")
    (tmp_path / "w.pth").write_bytes((tmp_path / "w.pth").read_bytes()[:5000])
    save_file({"a": torch.zeros(1000)}, tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:500])
    for name in ("w.pth", "w.safetensors"):
        with pytest.raises(UserError, match=name):
            convert(tmp_path / name, asdict(Architecture("gin", 2, 16)), tmp_path / "out.safetensors", name="x")


@pytest.mark.parametrize("legacy", [True, False])
def test_damaged_weights_are_an_error_whatever_the_damage(tmp_path, legacy):
    """Bytes of a pickle that are other than they were make its reader fail in many ways."""
    torch.save(hu_style("gin", 16, 2), tmp_path / "w.pth", _use_new_zipfile_serialization=not legacy)
    whole = (tmp_path / "w.pth").read_bytes()
    rng = np.random.default_rng(0)
    architecture = asdict(Architecture("gin", 2, 16))
    for place in rng.integers(0, 3000, 60):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "w.pth").write_bytes(damaged)
        with suppress(UserError):  # some damage is in a number, which no reader can see
            convert(tmp_path / "w.pth", architecture, tmp_path / "out.safetensors", name="x")
    for content in (b"", whole[:100], whole[:-100]):
        (tmp_path / "w.pth").write_bytes(content)
        with pytest.raises(UserError, match=r"w\.pth"):
            convert(tmp_path / "w.pth", architecture, tmp_path / "out.safetensors", name="x")


def test_a_flipped_bit_in_a_number_of_weights_is_noticed(tmp_path):
    """torch writes a checksum of each record and does not look at it."""
    state = hu_style("gin", 16, 2)
    torch.save(state, tmp_path / "w.pth")
    whole = bytearray((tmp_path / "w.pth").read_bytes())
    number = next(tensor for tensor in state.values() if tensor.numel() > 100)
    whole[whole.index(number.numpy().tobytes()) + 3] ^= 0x40
    (tmp_path / "w.pth").write_bytes(whole)
    with pytest.raises(UserError, match=r"w\.pth: cannot be read as weights \(ValueError: its record .* is not what"):
        read_state(tmp_path / "w.pth")


def test_weights_that_are_packed_are_refused_unread(tmp_path):
    """A small file can be packed so that it takes the memory."""
    torch.save({"a": torch.zeros(100_000)}, tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as plain, zipfile.ZipFile(tmp_path / "p.pth", "w", 8) as packed:
        for record in plain.namelist():
            packed.writestr(record, plain.read(record))
    assert (tmp_path / "p.pth").stat().st_size < 10_000
    with pytest.raises(UserError, match=r"p\.pth: .*its record \S+ is packed, which torch does not do"):
        read_state(tmp_path / "p.pth")


def test_the_shipped_encoder_gives_the_stored_vectors():
    data = golden.molecules()
    with torch.no_grad():
        vectors = golden.shipped()(data.batch(range(len(data))))
    stored = json.loads(golden.FILE.read_text())
    assert [entry["smiles"] for entry in stored] == golden.MOLECULES
    for vector, entry in zip(vectors, stored, strict=True):
        assert vector.norm().item() == pytest.approx(entry["length"], rel=1e-4)
        assert vector[:6].tolist() == pytest.approx(entry["first"], rel=1e-3, abs=1e-4)
