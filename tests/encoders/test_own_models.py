"""A user's own module as an encoder: every method works on stacks of PyG's layers, and mistakes are named."""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch_geometric.nn import global_add_pool

from own_models import EXAMPLE, FENCED, GINE, PARTS, architecture, code_of
from own_workspace import own_workspace
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.encoders.base import Encoder, Norm, norms, statistics_of_first
from roftmol.encoders.checkpoints import convert, load_encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.experiment.config import experiment
from roftmol.features import featurize, graphs
from roftmol.methods import METHODS, feature_map
from roftmol.methods.dwise_ft import Settings as DWiSE
from roftmol.methods.protocols import PROTOCOLS
from roftmol.methods.surgical_ft import Settings as Surgical
from roftmol.methods.wise_ft import Settings as WiSE
from roftmol.training import batchnorm
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.mixing import mix
from roftmol.training.model import Model, new_model, set_training
from small_dataset import SMILES, labels_of_size
from stage_settings import settings_for
from workspaces import Workspace

FOLD = Fold(np.arange(0, 14), np.arange(14, 19), np.arange(19, 24))
TASK = Task("regression", "rmse")
SHORT = TrainSettings(epochs=1, batch_size=7)
HONEST = PROTOCOLS["honest"]
QUICK = {name: replace(protocol, mixing_steps=3) for name, protocol in PROTOCOLS.items()}


@dataclass(frozen=True)
class Own:
    """An own model with the molecules in its form, and a model fine-tuned from it."""

    encoder: Encoder
    molecules: graphs.Graphs
    tuned: Model


@pytest.fixture(scope="module", params=PARTS)
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Own:
    code = code_of(request.param, tmp_path_factory.mktemp("own"))
    molecules = featurize.from_smiles(SMILES, labels_of_size(), name=str(code))
    torch.manual_seed(0)
    encoder = new_encoder(architecture(request.param, code))
    batch = molecules.batch(range(len(SMILES)))
    with torch.no_grad():  # statistics as after pretraining
        for _ in range(20):
            encoder(batch)
    encoder.requires_grad_(True)
    return Own(encoder, molecules, fitted(encoder, molecules, "full_ft", None, epochs=6))


def fitted(encoder, molecules, name, setting, protocol="honest", seed=0, epochs=1) -> Model:
    method, protocol = METHODS[name], PROTOCOLS[protocol]
    fit = Fit(method, setting, molecules, FOLD, TASK, protocol, replace(SHORT, epochs=epochs), seed)
    model = new_model(encoder, fit)
    train(model, fit)
    return model


def mixed(own: Own, name, setting, protocol=HONEST):
    model = copy.deepcopy(own.tuned)
    theta_0 = own.encoder.state_dict()
    return mix(model, theta_0, Fit(METHODS[name], setting, own.molecules, FOLD, TASK, protocol)), model


# -- every method on every stack -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_method_that_trains(own: Own, protocol: str):
    for method in METHODS.values():
        if method.kind == "train":
            setting = method.grid(len(own.encoder.architecture.blocks))[-1]
            one, two = (fitted(own.encoder, own.molecules, method.name, setting, protocol) for _ in range(2))
            prediction = one.predict(own.molecules, range(24))
            assert np.isfinite(prediction).all(), method.name
            assert np.array_equal(prediction, two.predict(own.molecules, range(24))), method.name
            if method.gentle:
                continue  # its start draws nothing, and is what so few epochs leave
            other = fitted(own.encoder, own.molecules, method.name, setting, protocol, seed=1)
            assert not np.array_equal(prediction, other.predict(own.molecules, range(24))), method.name


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_every_method_that_mixes(own: Own, protocol: str):
    for method in METHODS.values():
        if method.kind == "interpolate":
            for setting in method.grid(3)[:2]:
                one, model = mixed(own, method.name, setting, QUICK[protocol])
                assert np.isfinite(one.valid).all()
                assert np.isfinite(one.test).all()
                assert torch.equal(model.head.weight, own.tuned.head.weight)


def test_frozen_weights_and_statistics_stay_to_the_bit(own: Own):
    start = own.encoder.state_dict()
    probed = fitted(own.encoder, own.molecules, "linear_probing", None).encoder.state_dict()
    assert all(torch.equal(probed[name], tensor) for name, tensor in start.items())
    tuned = fitted(own.encoder, own.molecules, "surgical_ft", Surgical(1)).encoder
    changed = {
        tuned.part_of(name) for name, tensor in tuned.state_dict().items() if not torch.equal(tensor, start[name])
    }
    assert changed == {"blocks.1"}


def test_full_fine_tuning_reaches_every_part(own: Own):
    start, end = own.encoder.state_dict(), own.tuned.encoder.state_dict()
    changed = {own.encoder.part_of(name) for name in start if not torch.equal(start[name], end[name])}
    assert changed == set(own.encoder.parts)


def test_strength_zero_is_full_fine_tuning_to_the_bit(own: Own):
    plain = fitted(own.encoder, own.molecules, "full_ft", None)
    for name, more in (("l2_sp", {"lam_head": 0.0}), ("bss", {}), ("feature_map", {})):
        setting = METHODS[name].parse({"lam": 0.0, **more})
        penalised = fitted(own.encoder, own.molecules, name, setting).state_dict()
        assert all(torch.equal(tensor, penalised[key]) for key, tensor in plain.state_dict().items())


def test_feature_maps_penalty_is_zero_at_theta_0_in_training_mode(own: Own):
    values: list[float] = []

    def penalty(settings, step):
        values.append(feature_map.penalty(settings, step).item())
        return step.Z.sum() * 0

    method = replace(METHODS["feature_map"], penalty=penalty)
    still = replace(SHORT, learning_rate=0.0, epochs=2)
    fit = Fit(method, feature_map.Settings(1.0), own.molecules, FOLD, TASK, HONEST, still)
    train(new_model(own.encoder, fit), fit)
    assert values == [0] * 4


def test_alpha_0_and_1_are_the_two_ends_to_the_bit(own: Own):
    result, _ = mixed(own, "wise_ft", WiSE(1.0))
    assert np.array_equal(result.test, own.tuned.predict_held_out(own.molecules, FOLD).test)
    _, model = mixed(own, "wise_ft", WiSE(0.0))
    estimated = ("running_mean", "running_var", "num_batches_tracked")
    for name, tensor in own.encoder.state_dict().items():
        assert name.endswith(estimated) or torch.equal(model.encoder.state_dict()[name], tensor)


def test_without_steps_learned_mixing_is_wise_ft_at_its_start(own: Own):
    learned, _ = mixed(own, "dwise_ft", DWiSE(0.4), replace(HONEST, mixing_steps=0))
    swept, _ = mixed(own, "wise_ft", WiSE(0.4))
    assert np.array_equal(learned.test, swept.test)


@pytest.mark.parametrize("granularity", ["global", "block", "parameter"])
def test_coefficients_are_learned_for_the_declared_parts(own: Own, granularity: str):
    _, model = mixed(own, "dwise_ft", DWiSE(0.5, granularity), QUICK["honest"])
    result, _ = mixed(own, "dwise_ft", DWiSE(0.5, granularity), QUICK["paper"])
    assert any(alpha != 0.5 for alpha in result.coefficients.values())
    if granularity == "block":
        assert tuple(result.coefficients) == own.encoder.parts
    for name, tensor in model.encoder.named_parameters(remove_duplicate=False):  # two names, still one tensor
        assert torch.equal(model.encoder.state_dict()[name], tensor)


# -- the encoder -----------------------------------------------------------------------------------------------------


def test_the_order_of_a_batch_and_its_other_molecules_do_not_matter(own: Own):
    encoder = copy.deepcopy(own.encoder).eval()
    order = np.random.default_rng(0).permutation(len(SMILES))
    with torch.no_grad():
        straight = encoder(own.molecules.batch(range(len(SMILES))))
        assert torch.allclose(encoder(own.molecules.batch(order)), straight[order], atol=1e-5)
        alone = torch.cat([encoder(own.molecules.batch([molecule])) for molecule in range(len(SMILES))])
        assert torch.allclose(alone, straight, atol=1e-5)


def test_node_vectors_pooled_are_the_molecules_unless_the_module_pools(own: Own):
    encoder, batch = copy.deepcopy(own.encoder).eval(), own.molecules.batch(range(5))
    Z, vectors = encoder.nodes(batch), encoder(batch)
    assert len(Z) == len(batch.atoms)
    assert vectors.shape == (5, encoder.width)
    if encoder.architecture.pooling == "none":
        assert torch.allclose(encoder.module.top(global_add_pool(Z.relu(), batch.graph)), vectors, atol=1e-5)
        assert not encoder.module.layers[1][1]._forward_hooks  # the hook was for that pass alone
    else:
        sums = torch.stack([Z[batch.graph == molecule].sum(0) for molecule in range(5)])
        scale = batch.sizes.unsqueeze(1) if encoder.architecture.pooling == "mean" else 1
        assert torch.allclose(vectors, sums / scale, atol=1e-5)


def test_it_is_the_users_module_and_nothing_else(own: Own):
    encoder, batch = copy.deepcopy(own.encoder).eval(), own.molecules.batch(range(5))
    called = encoder.module(batch.atoms, batch.edges, edge_attr=batch.bonds, batch=batch.graph)
    pools = encoder.architecture.pooling == "none"
    assert torch.equal(encoder(batch) if pools else encoder.nodes(batch), called)


def test_every_batchnorm_is_found_and_lends_statistics_by_its_kind_of_rows(own: Own):
    encoder = copy.deepcopy(own.encoder).eval()
    plain = [child for child in encoder.modules() if isinstance(child, torch.nn.BatchNorm1d)]
    assert all(isinstance(child, Norm) for child in plain)
    # Statistics of the first ten molecules: the same vectors whatever follows them.
    with torch.no_grad():
        vectors = []
        for molecules in (range(10), range(24), [*range(10), *range(23, 9, -1)]):
            batch = own.molecules.batch(molecules)
            with statistics_of_first(encoder, batch, 10):
                vectors.append(encoder(batch)[:10])
        assert torch.allclose(vectors[0], vectors[1], atol=1e-5)
        assert torch.allclose(vectors[0], vectors[2], atol=1e-5)
        assert torch.allclose(vectors[0], encoder(own.molecules.batch(range(10))), atol=1e-5) != bool(norms(encoder))


def test_re_estimated_statistics_are_those_of_the_molecules(own: Own):
    model = copy.deepcopy(own.tuned)
    before = {name: buffer.clone() for name, buffer in model.encoder.named_buffers()}
    batchnorm.estimate_all(model.encoder, model.evaluation_batches(own.molecules, FOLD.train))
    batch = own.molecules.batch(FOLD.train)
    with torch.no_grad():
        with statistics_of_first(model, batch, len(batch)):
            directly = model.encoder(batch)
        # Training divides the variance by n, the statistics kept by n - 1: 14 molecules tell the two apart.
        assert torch.allclose(model.encoder(batch), directly, rtol=0.05, atol=0.05)
    moved = {name for name, buffer in model.encoder.named_buffers() if not torch.equal(buffer, before[name])}
    assert bool(moved) == bool(norms(model))
    assert all("running" in name or "tracked" in name for name in moved)


def test_dropout_outside_the_parts_is_on_where_everything_trains(own: Own):
    model = copy.deepcopy(own.tuned)
    set_training(model, model.encoder.parts, fully=True)
    assert all(module.training for module in model.modules())
    set_training(model, ("blocks.1",), fully=True)
    assert not model.encoder.module.training
    inside = [module for top in model.encoder.modules_of("blocks.1") for module in top.modules()]
    assert inside
    assert all(module.training for module in inside)


def test_from_scratch_draws_by_the_seed(own: Own):
    first, again, other = (
        new_model(
            own.encoder, Fit(METHODS["scratch"], None, own.molecules, FOLD, TASK, HONEST, seed=seed)
        ).encoder.state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("form", ["torch", "nested", "safetensors"])
def test_a_state_dict_becomes_a_checkpoint(name: str, form: str, tmp_path: Path):
    code, raw, out = code_of(name, tmp_path), tmp_path / "raw", tmp_path / "out.safetensors"
    state = new_encoder(architecture(name, code)).module.state_dict()
    if form == "safetensors":
        save_file({key: tensor.clone() for key, tensor in state.items()}, raw)
    else:
        torch.save(state if form == "torch" else {"epoch": 3, "model_state_dict": state, "optimizer": {}}, raw)
    convert(raw, architecture(name, code), out, name=name)
    loaded = load_encoder(out, 0.5, str(code)).module.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_code_that_was_edited_since_is_refused(tmp_path: Path):
    code, out = code_of("gine", tmp_path), tmp_path / "out.safetensors"
    torch.save(new_encoder(architecture("gine", code)).module.state_dict(), tmp_path / "raw")
    convert(tmp_path / "raw", architecture("gine", code), out, name="x")
    code.write_text(code.read_text() + "\n")
    with pytest.raises(UserError, match=r"edited after .*Run the workflow again"):
        load_encoder(out, 0.5, str(code))
    code.unlink()
    with pytest.raises(UserError, match="there is no file"):
        load_encoder(out, 0.5, str(code))


@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_weights_from_within_data_parallel_lose_its_name(form: str, tmp_path: Path):
    code, raw, out = code_of("gine", tmp_path), tmp_path / "raw", tmp_path / "out.safetensors"
    state = new_encoder(architecture("gine", code)).module.state_dict()
    wrapped = {f"module.{key}": tensor.clone() for key, tensor in state.items()} | {"module.head.x": torch.zeros(1)}
    save_file(wrapped, raw) if form == "safetensors" else torch.save(wrapped, raw)
    convert(raw, architecture("gine", code), out, name="x", drop=("head.",))
    loaded = load_encoder(out, 0.0, str(code)).module.state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_several_processes_give_the_same(tmp_path: Path):
    code = str(code_of("gine", tmp_path))
    smiles = SMILES * 30
    labels = np.zeros((len(smiles), 1), np.float32)
    one, two = (featurize.from_smiles(smiles, labels, processes, code) for processes in (1, 2))
    for field in graphs.ARRAYS:
        assert np.array_equal(getattr(one, field), getattr(two, field))
    assert not list(tmp_path.glob("__pycache__"))


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"blocks": [["convs.0", "norms.0"], ["convs.1", "norms.1"], ["convs.2"]]}, r"in no part: norms\.2\.weight"),
        ({"embed": ["atom", "bonds"]}, r"no atom; its submodules are atoms, bonds, convs, norms, dropout, projection"),
        ({"pooling": "none"}, r"the module returned torch.float32 \(14, 64\), expected torch.float32 \(3, width\)"),
        ({"code": "nowhere.py"}, r"there is no file 'nowhere.py'"),
    ],
)
def test_a_wrong_description_is_named(change: dict[str, Any], told: str, tmp_path: Path):
    with pytest.raises(UserError, match=told):
        new_encoder(architecture("gine", code_of("gine", tmp_path)) | change)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("def build():", "def make():", r"there is no function build\(\)"),
        ("return GINE()", "return GINE(depth=3)", r"line 36: build\(\) raised TypeError: .*'depth'"),
        ("return GINE()", "return None", "build.* returned NoneType"),
        ("self.atoms(x[:, 0])", "self.atoms(x[:, 1])", r"line 29: the module, called .* raised IndexError"),
        (
            "import torch\n",
            "import torch\nimport nothing_of_the_kind\n",
            "line 2: reading it raised ModuleNotFoundError",
        ),
        ("import torch\n", "import torch\nexit(3)\n", "line 2: reading it raised SystemExit"),
        (
            "(self, x, edge_index, edge_attr, batch)",
            "(self, data)",
            r"the module, called with x, edge_index, edge_attr",
        ),
        ("self.projection(x)", "self.projection(x).double()", r"returned torch.float64 \(14, 64\)"),
        ("self.projection(x)", "(x, x)", "returned tuple"),
        ("nn.BatchNorm1d(width)", "nn.SyncBatchNorm(width)", r"norms\.0 is a SyncBatchNorm"),
        ("nn.ModuleList(nn.B", "nn.ModuleList([nn.BatchNorm1d(width)] * layers) or (nn.B", "same weights in two parts"),
        ("def build():", "def build()", "gine.py: reading it raised SyntaxError"),
        ("return GINE()", "torch.manual_seed(0)\n    return GINE()", "build.* gave the same weights twice"),
    ],
)
def test_wrong_code_is_named_and_leaves_nothing(old: str, new: str, told: str, tmp_path: Path, capsys):
    code = code_of("gine", tmp_path)
    torch.save(new_encoder(architecture("gine", code)).module.state_dict(), tmp_path / "raw.pt")
    assert old in code.read_text()
    code.write_text(code.read_text().replace(old, new, 1))
    about = {"name": "x", "path": str(tmp_path / "raw.pt"), "pretraining": "supervised"}
    settings = json.dumps({**about, "architecture": architecture("gine", code)})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SystemExit) as ended:
        main(["fetch-checkpoint", "--settings", settings, "--archives", "a", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert re.search(told, message), message
    assert "Traceback" not in message
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("convs.1.nn.0.bias"), r"missing convs\.1\.nn\.0\.bias"),
        (lambda state: state.update({"gnn.x": torch.zeros(3)}), r"unknown gnn\.x \(3,\)"),
        (lambda state: state.update({"atoms.weight": torch.zeros(9, 64)}), r"atoms\.weight has shape \(9, 64\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, told: str, tmp_path: Path):
    code = code_of("gine", tmp_path)
    state = new_encoder(architecture("gine", code)).module.state_dict()
    change(state)
    torch.save(state, tmp_path / "raw")
    with pytest.raises(UserError, match=told):
        convert(tmp_path / "raw", architecture("gine", code), tmp_path / "out", name="x")


def test_weights_beside_the_module_can_be_dropped(tmp_path: Path):
    code = code_of("gine", tmp_path)
    state = new_encoder(architecture("gine", code)).module.state_dict()
    torch.save({**state, "head.weight": torch.zeros(3)}, tmp_path / "raw")
    convert(tmp_path / "raw", architecture("gine", code), tmp_path / "out", name="x", drop=("head.",))
    assert load_encoder(tmp_path / "out", 0.0, str(code)).module.state_dict().keys() == state.keys()


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        ("None", "expected a torch_geometric.data.Data, found NoneType"),
        ("Data(x=x, edge_index=e, pos=x)", "the Data has pos, and only x, edge_index and edge_attr"),
        ("Data(x=x[:, 0], edge_index=e)", r"x must be nodes x features, found shape \(3,\)"),
        ("Data(x=x)", "edge_index must be 2 x edges, found NoneType"),
        ("Data(x=x, edge_index=e + 2)", "names node 3 or 2; x has nodes 0 to 2"),
        (
            "Data(x=x, edge_index=e, edge_attr=x)",
            r"edge_attr must be edges x features, here 2 rows, found shape \(3, 1\)",
        ),
        ("molecule.nothing", "line 5: featurize.. raised AttributeError"),
        ("Data(x=x.repeat(1, molecule.GetNumAtoms()), edge_index=e)", "4 features an atom, and 3 for molecule 0"),
    ],
)
def test_what_a_featurizer_gives_is_checked(returned: str, told: str, tmp_path: Path):
    code = tmp_path / "code.py"
    lines = ["import torch", "from torch_geometric.data import Data", "def featurize(molecule):"]
    lines += ["    x, e = torch.ones(3, 1), torch.tensor([[0, 1], [1, 0]])", f"    return {returned}"]
    code.write_text("\n".join(lines))
    with pytest.raises(UserError, match=f"molecule [01], '(CCO|CCCC)'.*{told}"):
        featurize.from_smiles(["CCO", "CCCC"], np.zeros((2, 1), np.float32), name=str(code))


def test_edges_need_no_features_and_may_be_none(tmp_path: Path):
    code = tmp_path / "code.py"
    code.write_text(
        "import torch\nfrom torch_geometric.data import Data\n"
        "def featurize(molecule):\n"
        "    ends = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]\n"
        "    return Data(x=torch.ones(molecule.GetNumAtoms(), 2), edge_index=torch.tensor(ends).t())\n"
        "from torch_geometric.nn import MessagePassing\n"
        "class Layer(MessagePassing):\n"  # compiled by PyTorch Geometric, which looks the class up by its module
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.lin = torch.nn.LazyLinear(4)\n"
        "    def forward(self, x, edge_index, edge_attr, batch):\n"
        "        assert edge_attr is None\n"
        "        return self.propagate(edge_index, x=self.lin(x))\n"
        "    def message(self, x_j: torch.Tensor) -> torch.Tensor:\n"
        "        return 2 * x_j\n"
        "build = Layer\n"
    )
    made = featurize.from_smiles(["C", "CC"], np.zeros((2, 1), np.float32), name=str(code))
    assert made.bonds.shape == (1, 0)
    parts = {"embed": [], "blocks": [["lin"]], "readout": [], "pooling": "max"}
    encoder = new_encoder({"kind": "own", "code": str(code), **parts})
    assert encoder(made.batch([0, 1])).shape == (2, 4)


# -- the configuration and the workflow ------------------------------------------------------------------------------


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(tmp_path)
    return own_workspace(tmp_path)


def test_the_documented_code_is_the_tested_code():
    assert FENCED["python"] == EXAMPLE.read_text()


def test_a_model_of_ones_own_is_a_checkpoint(workspace: Workspace):
    made = experiment({"models": ["my-gine"], "own_models": {"my-gine": GINE}})
    checkpoint = made.checkpoints["my-gine"]
    assert (checkpoint.layers, checkpoint.featurizer, checkpoint.code) == (3, "my-gine", "my_model.py")
    assert settings_for("featurize", made, "esol", "my-gine") == {"featurizer": "my_model.py"}
    assert type(checkpoint).from_dict(json.loads(json.dumps(checkpoint.to_dict()))) == checkpoint
    cell = ("honest", "my-gine", "esol", "scaffold", "50", "surgical_ft")
    assert len(settings_for("finetune", made, *cell)["grid"]) == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"code": "my_modle.py"}, "own_models.my-gine.code: there is no file 'my_modle.py'"),
        ({"weights": "w.pt"}, "own_models.my-gine.weights: there is no file 'w.pt'"),
        ({"pooling": "average"}, "own_models.my-gine.pooling: 'average' is not allowed. Allowed: mean, sum, max, none"),
        ({"block": []}, "own_models.my-gine.block: unknown key; did you mean 'blocks'?"),
        ({"blocks": [3]}, "own_models.my-gine.blocks.0: 3 is not a name or a list of names"),
        ({"blocks": [["convs.0"], []]}, "name at least one submodule in each block"),
        ({"embed": ["convs"]}, "'convs.0' lies in 'convs', which is named too"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(change: dict[str, Any], told: str, workspace: Workspace):
    with pytest.raises(UserError, match=re.escape(told)):
        experiment({"models": ["my-gine"], "own_models": {"my-gine": {**GINE, **change}}})


@pytest.mark.parametrize("name", ["gin-zinc-masking", "hu", "morgan"])
def test_a_model_of_ones_own_takes_no_name_that_is_in_use(name: str, workspace: Workspace):
    with pytest.raises(UserError, match=f"own_models: '{name}' is taken"):
        experiment({"own_models": {name: GINE}})
