"""Every short cut of the engine gives what the long way gives."""

import ast
import copy
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import golden
import plain
from roftmol.core.errors import UserError
from roftmol.encoders import products
from roftmol.encoders.base import Encoder, statistics_of_first
from roftmol.encoders.gnn import CONVOLUTIONS, GNN, Architecture
from roftmol.encoders.ops import linear, max_by, neighbour_sum, relu_dropout, sum_by
from roftmol.features import graphs
from roftmol.features.atom_environments import equal_rows
from roftmol.methods import METHODS
from roftmol.methods.protocols import PROTOCOLS
from roftmol.training import batchnorm
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.forward import Adam, evaluation_batches
from roftmol.training.loop import train
from roftmol.training.mixing import mix
from roftmol.training.model import Model, new_model, task_loss
from small_dataset import SMILES, corpus

LAYERS = 3
LOCAL = sorted(kind for kind, convolution in CONVOLUTIONS.items() if convolution.local)
FOLD = Fold(np.arange(0, 14), np.arange(14, 19), np.arange(19, 24))
ALL = range(len(SMILES))


def encoder(kind: str = "gin", dropout: float = 0.0) -> GNN:
    torch.manual_seed(0)
    made = GNN(Architecture(kind, LAYERS, 16), dropout)
    with torch.no_grad():
        for block in made.blocks:
            block.norm.running_mean.normal_()
            block.norm.running_var.uniform_(0.5, 2)
            block.norm.weight.normal_()
    return made


class PreciseGraphs(graphs.Graphs):
    """Molecules whose batches are in float64, where what remains of a difference is no rounding."""

    def batch(
        self, molecules: graphs.Indices, merge: range = range(0), norm_molecules: int | None = None
    ) -> graphs.Batch:
        batch = super().batch(molecules, merge, norm_molecules)
        assert batch.hop is not None

        def double(hop: graphs.Hop) -> graphs.Hop:
            counts = None if hop.counts is None else hop.counts.double()
            return replace(hop, bond_counts=hop.bond_counts.double(), counts=counts)

        merged = {layer: double(hop) for layer, hop in batch.merged.items()}
        sizes, labels = batch.sizes.double(), batch.labels.double()
        return replace(batch, sizes=sizes, labels=labels, hop=double(batch.hop), merged=merged)


def precise_corpus() -> PreciseGraphs:
    data = corpus()
    return PreciseGraphs(**{field.name: getattr(data, field.name) for field in fields(data)})


def apart(network: Encoder) -> Encoder:
    """The same network with no atoms merged."""
    other = copy.deepcopy(network)
    other.local = False
    return other


# -- environments ----------------------------------------------------------------------------------------------------


def unfolding(data, atom, first, depth):
    """An atom's neighbourhood written out, so many bonds deep."""
    own = tuple(data.atoms[atom])
    if depth == 0:
        return own
    received = [
        (tuple(data.bonds[bond]), unfolding(data, first + data.neighbours[bond], first, depth - 1))
        for bond in range(data.indptr[atom], data.indptr[atom + 1])
    ]
    return unfolding(data, atom, first, depth - 1), tuple(sorted(received, key=repr))


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 5])
def test_atoms_are_of_one_class_when_and_only_when_their_neighbourhoods_look_the_same(depth):
    data = corpus()
    found = data.environments(depth)
    shape = {}
    for m in ALL:
        for atom in range(data.offsets[m], data.offsets[m + 1]):
            shape[atom] = repr(unfolding(data, atom, data.offsets[m], depth))
    one_to_one = {(found[atom], text) for atom, text in shape.items()}
    assert len(one_to_one) == len(set(found)) == len(set(shape.values())) < len(found)


def test_mirror_images_differ_at_their_centre_and_from_there_on():
    left, right = SMILES.index("C[C@H](N)C(=O)O"), SMILES.index("C[C@@H](N)C(=O)O")
    data = corpus()

    def classes(molecule, depth):
        return data.environments(depth)[data.offsets[molecule] : data.offsets[molecule + 1]]

    assert (classes(left, 0) == classes(right, 0)).tolist() == [True, False, True, True, True, True]
    assert (classes(left, 1) == classes(right, 1)).tolist() == [False, False, False, False, True, True]
    assert not (classes(left, 2) == classes(right, 2)).any()


def test_equal_rows_have_one_class():
    rows = np.array([[1, 2], [2, 1], [1, 2], [0, 0]], np.uint8)
    assert equal_rows(rows).tolist() == [0, 1, 0, 2]
    assert equal_rows(np.zeros((3, 0), np.uint8)).tolist() == [0, 0, 0]


# -- merged atoms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LOCAL)
def test_merged_atoms_have_the_vectors_they_have_apart(kind):
    network, data = encoder(kind).eval(), corpus()
    order = np.random.default_rng(2).permutation(len(data))
    merged, whole = data.batch(order, range(LAYERS)), data.batch(order)
    rows = [len(merged.hop_of(layer).starts) - 1 for layer in range(LAYERS)]
    assert rows[0] < rows[1] < rows[2] < len(whole.atoms)
    with torch.no_grad():
        assert torch.allclose(network.nodes(merged), network.nodes(whole), atol=1e-5)
        for start in range(LAYERS):  # in two halves, as where the lower blocks are frozen
            below = network.state(data.batch(order, range(start)), stop=start)
            above = network.state(data.batch(order, range(start, LAYERS)), below, start)
            assert torch.allclose(above.atoms, network.nodes(whole), atol=1e-5)


@pytest.mark.parametrize("kind", sorted(CONVOLUTIONS))
@pytest.mark.parametrize("layers", [1, 3])
def test_the_map_is_the_last_convolutions_with_a_row_for_every_atom(kind, layers):
    torch.manual_seed(0)
    network, data = GNN(Architecture(kind, layers, 16), 0.0).eval(), corpus()
    whole = data.batch(ALL)
    with torch.no_grad():
        state, Z = network.state_and_map(whole)
        assert torch.equal(state.atoms, network.nodes(whole))
        assert torch.allclose(network.blocks[-1].norm(Z), state.atoms, atol=1e-6)
        if network.local:
            merged, apart = network.state_and_map(data.batch(ALL, range(layers)))
            assert torch.allclose(apart, Z, atol=1e-5)
            assert torch.allclose(merged.atoms, state.atoms, atol=1e-5)
            below = network.state(whole, stop=layers - 1)
            assert torch.equal(network.state_and_map(whole, below, layers - 1)[1], Z)


def test_networks_that_look_further_are_never_merged():
    further = set(CONVOLUTIONS) - set(LOCAL)
    assert further
    for kind in further:
        network = encoder(kind)
        assert not network.local
        assert all(not batch.merged for batch in evaluation_batches(network, corpus(), ALL))


@pytest.mark.parametrize("kind", LOCAL)
def test_training_with_the_lowest_block_merged_is_training(kind):
    results = []
    for merge in (range(1), range(0)):
        network = encoder(kind, dropout=0.5).double()
        batch = precise_corpus().batch(ALL, merge)
        torch.manual_seed(3)  # the masks of dropout are drawn for all atoms either way
        Z = network.nodes(batch)
        Z.square().sum().backward()
        gradients = {name: theta.grad for name, theta in network.named_parameters()}
        results.append((Z.detach(), gradients, dict(network.named_buffers())))
    (Z, gradients, buffers), (expected, usual, statistics) = results
    assert torch.allclose(Z, expected, rtol=1e-10)
    for name, gradient in usual.items():
        assert torch.allclose(gradients[name], gradient, rtol=1e-8, atol=1e-8), name
    for name, value in statistics.items():
        assert torch.allclose(buffers[name], value, rtol=1e-10), name


def test_batchnorm_takes_the_statistics_of_the_first_molecules():
    network, data = encoder().eval(), corpus()
    merged, whole = data.batch(ALL, range(LAYERS), norm_molecules=7), data.batch(ALL)
    with torch.no_grad():
        plainly = network(whole)
        with statistics_of_first(network, whole, 7):
            expected = network(whole)
        with statistics_of_first(network, merged, 7):
            assert torch.allclose(network(merged), expected, atol=1e-5)
    assert not torch.allclose(expected, plainly, atol=1e-2)


def test_re_estimated_statistics_are_those_of_all_atoms():
    one, other = (Model(network, 1, Task("regression", "rmse")) for network in (encoder(), apart(encoder())))
    for model in (one, other):
        batchnorm.estimate_all(model.encoder, model.evaluation_batches(corpus(), ALL))
    for name, value in other.encoder.state_dict().items():
        assert torch.allclose(one.encoder.state_dict()[name], value, atol=1e-5), name


@pytest.mark.parametrize("protocol", ["honest", "paper"])
@pytest.mark.parametrize(
    ("method", "setting"),
    [
        ("full_ft", {}),
        ("linear_probing", {}),
        ("surgical_ft", {"block": 0}),
        ("surgical_ft", {"block": 2}),
        ("lp_ft", {}),
        ("l2_sp", {"lam": 0.1}),
        ("bss", {"lam": 0.1}),
        ("feature_map", {"lam": 0.1}),
        ("scratch", {}),
    ],
)
def test_a_fit_follows_the_same_curve_with_atoms_merged_and_apart(method, setting, protocol):
    # In float32 the curves part by half a percent: a bias before BatchNorm has no gradient but rounding, along which
    # Adam moves it by whole steps.
    task, data, how = Task("regression", "rmse"), precise_corpus(), METHODS[method]
    curves = []
    for network in (encoder(dropout=0.5), apart(encoder(dropout=0.5))):
        training = TrainSettings(epochs=3, batch_size=7)
        fit = Fit(how, how.parse(setting), data, FOLD, task, PROTOCOLS[protocol], training)
        model = new_model(network.double(), fit).double()
        model.encoder.local = network.local
        curves.append(np.array([(point.train_loss, point.valid_loss) for point in train(model, fit).curve]))
    merged, usual = curves
    assert np.allclose(merged[:, 0], usual[:, 0], rtol=1e-6, equal_nan=True)  # epoch 0 has no training loss
    # L2-SP's pull on such a bias makes it swing in any precision: near theta_0 a step of Adam is lr / eps times the
    # gradient. Training does not see it; running statistics, which validate in `paper`, follow it with a delay.
    assert np.allclose(merged[:, 1], usual[:, 1], rtol=2e-2 if (method, protocol) == ("l2_sp", "paper") else 1e-9)


@pytest.mark.parametrize("protocol", ["honest", "paper"])
@pytest.mark.parametrize(("method", "setting"), [("wise_ft", {"alpha": 0.4}), ("dwise_ft", {"start": 0.5})])
def test_mixing_is_the_same_with_atoms_merged_and_apart(method, setting, protocol):
    task, data, how = Task("regression", "rmse"), corpus(), METHODS[method]
    results = []
    for network in (encoder(), apart(encoder())):
        fit = Fit(how, how.parse(setting), data, FOLD, task, PROTOCOLS[protocol])
        model = new_model(network, fit)
        torch.manual_seed(5)
        with torch.no_grad():
            for theta in model.encoder.parameters():
                theta += 0.1 * torch.randn_like(theta)
        results.append(mix(model, network.state_dict(), fit))
    merged, usual = results
    assert merged.coefficients == pytest.approx(usual.coefficients, abs=1e-3)
    assert np.allclose(merged.valid, usual.valid, atol=1e-3)
    assert np.allclose(merged.test, usual.test, atol=1e-3)


def test_gradients_are_as_near_to_float64_as_the_plain_implementations():
    data = corpus(classification=True)
    labels = torch.from_numpy(data.labels)
    model = Model(golden.shipped(), 1, Task("classification", "roc_auc"))
    objects = plain.featurize_all(SMILES, data.labels)
    batch = next(iter(plain.evaluation_loader(objects)))

    def usual(precise: bool) -> torch.Tensor:
        other = plain.GraphPredictor(plain.load(model.encoder.state_dict(), dropout=0.0), 1)
        other.head.load_state_dict(model.head.state_dict())
        other = other.double() if precise else other
        other.train()
        y = labels.double() if precise else labels
        task_loss(other(batch).prediction, y, "classification").backward()
        named = {name: theta.grad for name, theta in other.named_parameters()}
        return torch.cat([named[name].flatten().double() for name in names])

    model.train()
    task_loss(model(data.batch(ALL, range(1))), labels, "classification").backward()
    mine = plain.published_names({name: theta.grad for name, theta in model.encoder.named_parameters()})
    mine = {f"gnn.{name}": gradient for name, gradient in mine.items()}
    mine |= {f"head.{name}": theta.grad for name, theta in model.head.named_parameters()}
    names = sorted(mine)
    exact = usual(precise=True)
    error = (torch.cat([mine[name].flatten().double() for name in names]) - exact).norm()
    assert 0 < error <= 1.5 * (usual(precise=False) - exact).norm()


# -- operations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", [range(0), range(1), range(2)])
def test_the_neighbour_sum_and_its_gradient_are_those_of_a_matrix(merge):
    batch = corpus().batch([1, 8, 13, 9], merge)
    hop = batch.hop_of(max(len(merge) - 1, 0))
    rows = len(hop.starts) - 1
    matrix = torch.zeros(rows, hop.below)
    for row in range(rows):
        for sender in hop.senders[hop.starts[row] : hop.starts[row + 1]]:
            matrix[row, sender] += 1
    x, cotangent = torch.randn(hop.below, 5, requires_grad=True), torch.randn(rows, 5)
    y = neighbour_sum(x, hop)
    y.backward(cotangent)
    assert torch.allclose(y, matrix @ x, atol=1e-5)
    assert torch.allclose(x.grad, matrix.T @ cotangent, atol=1e-5)


def test_rows_of_one_index_are_summed_or_their_largest_taken():
    x = torch.tensor([[1.0, -2.0], [3.0, -4.0], [-5.0, -6.0]])
    index = torch.tensor([1, 1, 0])
    assert sum_by(x, index, 2).tolist() == [[-5.0, -6.0], [4.0, -6.0]]
    assert max_by(x, index, 2).tolist() == [[-5.0, -6.0], [3.0, -2.0]]


def test_relu_with_dropout_is_one_after_the_other():
    x = torch.randn(200, 300)
    start = x.clone().requires_grad_()
    torch.manual_seed(0)
    y = relu_dropout(start * 1, 0.25)
    kept = y != 0
    assert torch.allclose(y, torch.where(kept, x.relu() / 0.75, 0.0))
    assert kept[x > 0].float().mean() == pytest.approx(0.75, abs=0.01)
    cotangent = torch.randn_like(y)
    y.backward(cotangent)
    assert torch.allclose(start.grad, torch.where(kept, cotangent / 0.75, 0.0))


@pytest.mark.parametrize("relu", [False, True])
def test_a_linear_map_with_its_relu_has_the_usual_gradients(relu):
    tensors = [torch.randn(70, 30), torch.randn(40, 30), torch.randn(40)]
    cotangent = torch.randn(70, 40)
    results = []
    for precise in (False, True):
        x, weight, bias = ((t.double() if precise else t.clone()).requires_grad_() for t in tensors)
        y = linear(x, weight, bias, relu=relu)
        if precise:
            assert torch.equal(y, F.relu(F.linear(x, weight, bias)) if relu else F.linear(x, weight, bias))
        y.backward(cotangent.double() if precise else cotangent)
        results.append([y.detach(), x.grad, weight.grad, bias.grad])
    for found, exact in zip(*results, strict=True):
        assert torch.allclose(found.double(), exact, atol=1e-4)


@pytest.mark.parametrize("backend", products.BACKENDS.values(), ids=lambda backend: backend.name)
@pytest.mark.parametrize("rows", [1, 63, 64, 130])
def test_products_are_the_same_by_every_library(backend, rows):
    x, weight, bias, y = (torch.randn(*shape) for shape in ((rows, 30), (40, 30), (40,), (rows, 40)))
    exact = x.double() @ weight.double().T
    assert torch.allclose(backend.product(x, weight, None, False).double(), exact, atol=1e-4)
    expected = (exact + bias).relu()
    assert torch.allclose(backend.product(x, weight, bias, True).double(), expected, atol=1e-4)
    assert torch.allclose(backend.product(y, weight.t(), None, False).double(), y.double() @ weight.double(), atol=1e-4)
    assert torch.allclose(backend.outer(y, x).double(), y.double().T @ x.double(), atol=1e-4)


def test_products_in_bfloat16_keep_eight_bits():
    x, weight, bias, y = (torch.randn(*shape) for shape in ((130, 30), (40, 30), (40,), (130, 40)))
    pairs = [
        (products.BFLOAT16.product(x, weight, bias, False), x @ weight.T + bias),
        (products.BFLOAT16.product(x, weight, None, True), (x @ weight.T).relu()),
        (products.BFLOAT16.outer(y, x), y.T @ x),
    ]
    for rounded, exact in pairs:
        assert rounded.dtype == torch.float32
        assert 0 < (rounded - exact).abs().max() < 0.02 * exact.abs().max()


@pytest.mark.skipif("onednn" not in products.BACKENDS, reason="this build of torch has no oneDNN")
@pytest.mark.parametrize(
    ("torch_takes", "onednn_takes", "error", "expected"),
    [
        (2.0, 1.0, 1e-7, "onednn"),
        (1.4, 1.0, 1e-7, "torch"),  # not decisive
        (1.0, 2.0, 1e-7, "torch"),
        (2.0, 1.0, 1e-3, "torch"),  # fast and wrong
    ],
)
def test_onednn_is_chosen_where_it_is_much_faster_and_right(
    monkeypatch, capsys, torch_takes, onednn_takes, error, expected
):
    seconds = {"torch": torch_takes, "onednn": onednn_takes}
    monkeypatch.delenv("ROFTMOL_PRODUCTS", raising=False)
    monkeypatch.setattr(products, "_seconds", lambda backend, *_: seconds[backend.name])
    monkeypatch.setattr(products, "_error", lambda *_: error)
    assert products.chosen.__wrapped__().name == expected
    assert f"matrix products by {expected} " in capsys.readouterr().err


def test_the_choice_can_be_overridden(monkeypatch):
    monkeypatch.setattr(products, "_seconds", lambda *_: pytest.fail("nothing is to be tried"))
    for name, backend in [*products.BACKENDS.items(), ("bfloat16", products.BFLOAT16)]:
        monkeypatch.setenv("ROFTMOL_PRODUCTS", name)
        assert products.chosen.__wrapped__() is backend
    monkeypatch.setenv("ROFTMOL_PRODUCTS", "mkl")
    with pytest.raises(UserError, match=r"ROFTMOL_PRODUCTS='mkl': choose torch or onednn"):
        products.chosen.__wrapped__()


def test_adam_is_torchs_to_the_bit():
    torch.manual_seed(0)
    start = [torch.randn(7, 3), torch.randn(5), torch.randn(2), torch.randn(4)]
    mine, theirs = ([torch.nn.Parameter(t.clone()) for t in start] for _ in range(2))
    for thetas in (mine, theirs):
        thetas[2].requires_grad_(False)
    ours, usual = Adam(mine, 0.01), torch.optim.Adam([t for t in theirs if t.requires_grad], lr=0.01, fused=True)
    for step in range(5):
        for thetas, optimizer in ((mine, ours), (theirs, usual)):
            optimizer.zero_grad()
            loss = sum((t - step).square().sum() for t in thetas[: 3 if step < 3 else 4])  # the last sits out at first
            loss.backward()
            optimizer.step()
    for one, other in zip(mine, theirs, strict=True):
        assert torch.equal(one, other)


def imported_by_snakemake() -> str:
    tree = ast.parse((Path(__file__).parents[2] / "rules/common.smk").read_text())
    return "; ".join(
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("roftmol")
    )


HEAVY = ("torch_geometric", "torch._dynamo", "scipy", "sklearn", "matplotlib")


TABLES_AND_PAGE = "evaluation.aggregate", "evaluation.diagnostics.stage", "statistics.stage", "figures", "report"


@pytest.mark.parametrize(
    ("imports", "heavy"),
    [
        ("import roftmol.training.jobs", HEAVY),
        (imported_by_snakemake(), (*HEAVY, "torch")),
        ("; ".join(f"import roftmol.{module}" for module in TABLES_AND_PAGE), ("torch",)),
    ],
)
def test_a_job_and_a_start_of_snakemake_import_no_more_than_they_need(imports, heavy):
    code = f"import sys; {imports}; print([name for name in {heavy} if name in sys.modules])"
    package = Path(graphs.__file__).parents[2]
    told = subprocess.run([sys.executable, "-c", code], cwd=package, check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"
