"""The benchmark compares like with like: its plain implementation computes what the engine does."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import bench
import golden
import plain
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.features import featurize
from roftmol.methods import METHODS, Step
from roftmol.methods.wise_ft import Settings as WiSE
from roftmol.scoring import metrics
from roftmol.training import batchnorm
from roftmol.training.fit import Fit, Fold, Task
from roftmol.training.forward import evaluation_batches
from roftmol.training.mixing import mix
from roftmol.training.model import Model, freeze, new_model, task_loss
from small_dataset import SMILES

MOLECULES = [
    *SMILES,
    "CC12CCC3C(C1CCC2O)CCC4=CC(=O)CCC34C",  # testosterone, flat
    "C[C@]12CC[C@H]3[C@H]([C@@H]1CC[C@@H]2O)CCC4=CC(=O)CC[C@]34C",  # and not
    "CN(C)C(=N)NC(=N)N",
    "COc1ccc2[nH]c(nc2c1)S(=O)Cc1ncc(C)c(OC)c1C",
    "CC(C)NCC(O)COc1cccc2ccccc12",
    "Clc1ccc(cc1)C(c1ccccc1)N1CCN(CC1)CCOCC(=O)O",
    "CN1c2ccc(Cl)cc2C(=NCC1=O)c1ccccc1",
    "NS(=O)(=O)c1cc(C(=O)O)c(NCc2ccco2)cc1Cl",
    "CC(C)(C)NCC(O)c1ccc(O)c(CO)c1",
    "C/C=C/C=C/C(=O)O",
    "OC(=O)C(F)(F)F",
    "C[N+](C)(C)CCO",
    "[O-][N+](=O)c1ccccc1",
    "C1CC2CCC1C2",
    "FC(F)(F)c1cccc(c1)N1CCNCC1",
    "O=c1[nH]c(=O)c2[nH]cnc2[nH]1",
]
FOLD = Fold(np.arange(0, 40, 2), np.arange(1, 40, 4), np.arange(3, 40, 4))
TASKS = {"regression": Task("regression", "rmse"), "classification": Task("classification", "roc_auc")}
SIZES = np.array([len(text) for text in MOLECULES], np.float32)[:, None]
LABELS = {"regression": np.log(SIZES), "classification": (np.median(SIZES) < SIZES).astype(np.float32)}


@pytest.fixture(scope="module", params=sorted(TASKS))
def subject(request) -> bench.Subject:
    """The molecules and the shipped encoder."""
    return made(request.param, golden.shipped())  # without dropout


@pytest.fixture(scope="module", params=sorted(TASKS))
def small(request) -> bench.Subject:
    """The molecules and a narrow encoder."""
    torch.manual_seed(0)
    narrow = made(request.param, GNN(Architecture("gin", 5, 32), dropout=0.0))
    # Statistics as after training, without which molecules are hardly told apart and scores tie.
    batchnorm.estimate_all(narrow.encoder, evaluation_batches(narrow.encoder, narrow.graphs, range(len(MOLECULES))))
    return narrow


def made(kind: str, encoder: GNN) -> bench.Subject:
    labels = LABELS[kind].copy()
    labels[3] = np.nan
    flat, data = featurize.from_smiles(MOLECULES, labels), plain.featurize_all(MOLECULES, labels)
    return bench.Subject("real", TASKS[kind], MOLECULES, flat, data, encoder, {"all": FOLD})


def tuned(subject: bench.Subject) -> Model:
    """A model whose encoder has gone some way from the pretrained weights."""
    fit = Fit(METHODS["full_ft"], None, subject.graphs, FOLD, subject.task, bench.MIXING)
    model = new_model(subject.encoder, fit)
    torch.manual_seed(1)
    with torch.no_grad():
        for theta in model.encoder.parameters():
            theta += 0.1 * theta.std(correction=0) * torch.randn_like(theta)
    return model


def equal(found: torch.Tensor, expected: torch.Tensor, tolerance: float, scale: float = 0.0) -> bool:
    scale = max(scale, expected.abs().max().item())
    return found.shape == expected.shape and (found - expected).abs().max().item() <= tolerance * scale


def test_predictions_are_the_same(subject):
    model = tuned(subject)
    other = bench.as_plain(model)  # with dropout, which evaluation leaves out
    predictions, labels = plain.predict(other, plain.evaluation_loader(subject.data))
    expected = model(subject.graphs.batch(range(len(MOLECULES))))
    assert equal(torch.from_numpy(predictions), expected.detach(), 1e-5)
    assert np.array_equal(labels, subject.labels, equal_nan=True)
    found = plain.evaluate(other, plain.evaluation_loader(subject.data), subject.task.kind)
    mine = model.predict(subject.graphs, range(len(MOLECULES)))
    assert found == pytest.approx(metrics.primary(subject.task.metric, subject.labels, mine), rel=1e-5)


@pytest.mark.parametrize("pair", bench.PAIRS, ids=lambda pair: pair.title)
def test_a_step_has_the_same_loss_and_gradients(small, pair):
    method = METHODS[pair.method]
    model = tuned(small)
    other = bench.as_plain(model, dropout=0.0)
    theta_0 = dict(small.encoder.named_parameters())
    batch = small.graphs.batch(range(len(MOLECULES)))
    freeze(model, method.stages(pair.settings, model.encoder.parts)[0])
    model.train()
    _, Z = model.encoder.state_and_map(batch)
    features = model.encoder(batch)
    loss = task_loss(model.head(features), batch.labels, small.task.kind)
    if method.penalty:
        phi = dict(model.head.named_parameters())
        with torch.no_grad():
            _, Z_0 = copy.deepcopy(small.encoder).train().state_and_map(batch)
        step = Step(dict(model.encoder.named_parameters()), theta_0, phi, Z, Z_0, features, normalise=False)
        loss = loss + method.penalty(pair.settings, step)
    loss.backward()

    usual = pair.plain(pretrained(small))
    optimizer = plain.adam(other, usual.stages[0])
    optimizer.step = lambda: None  # leaves the weights, for the gradients are looked at
    reached = plain.train_epoch(other, plain.evaluation_loader(small.data), optimizer, small.task.kind, usual.penalty)

    assert reached == pytest.approx(loss.item(), rel=1e-5)
    gradients = {name: p.grad for name, p in other.named_parameters() if p.requires_grad}
    encoder = plain.published_names({name: p.grad for name, p in model.encoder.named_parameters() if p.requires_grad})
    mine = {f"gnn.{name}": gradient for name, gradient in encoder.items()}
    mine |= {f"head.{name}": p.grad for name, p in model.head.named_parameters()}
    assert gradients.keys() == mine.keys()
    for name, gradient in gradients.items():
        # A bias before BatchNorm has gradient 0; both give rounding noise, hence the scale of at least 1.
        assert equal(mine[name], gradient, 2e-4, scale=1.0), name


def pretrained(subject: bench.Subject) -> plain.GraphPredictor:
    return bench.as_plain(Model(copy.deepcopy(subject.encoder), 1, subject.task), dropout=0.0)


@pytest.mark.parametrize("pair", [pair for pair in bench.PAIRS if METHODS[pair.method].penalty], ids=lambda p: p.title)
def test_penalties_are_the_same(small, pair):
    model = tuned(small)
    batch, data = small.graphs.batch(range(len(MOLECULES))), next(iter(plain.evaluation_loader(small.data)))
    with torch.no_grad():
        _, Z = model.encoder.state_and_map(batch)
        _, Z_0 = copy.deepcopy(small.encoder).train().state_and_map(batch)
    # In float64, for one implementation takes singular values and the other their squares.
    features = torch.randn(len(MOLECULES), 32, dtype=torch.double)
    theta_0 = dict(small.encoder.named_parameters())
    theta, phi = dict(model.encoder.named_parameters()), dict(model.head.named_parameters())
    step = Step(theta, theta_0, phi, Z, Z_0, features, normalise=False)
    expected = METHODS[pair.method].penalty(pair.settings, step).item()
    assert expected > 0
    output = plain.Output(features, Z, features, torch.get_rng_state())
    found = pair.plain(pretrained(small)).penalty(bench.as_plain(model), data, output)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_mixed_weights_have_the_same_scores(small):
    model, theta_0 = tuned(small), small.encoder.state_dict()
    start = plain.published_names(theta_0)
    few = replace(
        bench.MIXING, mixing_steps=10, mixing_rate=0.01
    )  # Adam takes the two roundings further apart with every step

    def mixed(method, settings):
        task, data = small.task, small.graphs
        result = mix(copy.deepcopy(model), theta_0, Fit(METHODS[method], settings, data, FOLD, task, few))
        predictions = ((FOLD.valid, result.valid), (FOLD.test, result.test))
        return result, [metrics.primary(task.metric, data.labels[role], p) for role, p in predictions]

    found = plain.wise_ft(bench.as_plain(model), start, small.loaders(FOLD), small.task.kind)
    for alpha in (0.0, 0.3, 1.0):
        assert found[alpha] == pytest.approx(mixed("wise_ft", WiSE(alpha))[1], rel=1e-5)
    other = bench.as_plain(model, dropout=0.0)
    learned = plain.dwise_ft(other, start, small.loaders(FOLD), small.task.kind, few.mixing_steps, 0.01)
    result, scores = mixed("dwise_ft", bench.DWiSE(0.5))
    assert learned.alpha == pytest.approx(result.coefficients, abs=1e-4)
    assert learned[1:] == pytest.approx(scores, rel=1e-4)


def test_lp_ft_trains_the_head_first(small):
    other = pretrained(small)
    before = copy.deepcopy(other.state_dict())
    plain.fit(other, plain.LINEAR_PROBING, small.loaders(FOLD), small.task.kind, 1)
    after = other.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert {name for name, _ in other.named_parameters() if name in moved} == {"head.weight", "head.bias"}
    curve = plain.fit(other, plain.LP_FT, small.loaders(FOLD), small.task.kind, 2)
    assert len(curve) == 4
    assert not torch.equal(other.gnn.gnns[0].mlp[0].weight, before["gnn.gnns.0.mlp.0.weight"])


def test_repeats_alternate_and_ratios_are_of_medians(tmp_path):
    order, seeds = [], []
    seconds = {"ours": iter([1.0, 4.0, 2.0]), "plain": iter([3.0, 4.0, 8.0])}

    def cost(name, seed):
        order.append(name)
        seeds.append(seed)
        return bench.Cost(0.0, next(seconds[name]))

    item = bench.Item("work", "50", "a piece", lambda seed: cost("ours", seed), lambda seed: cost("plain", seed))
    rows = pd.DataFrame([row for repeat in range(3) for row in bench.measure(item, "real", repeat)])
    assert order == ["ours", "plain", "plain", "ours", "ours", "plain"]
    assert seeds == [0, 0, 1, 1, 2, 2]
    line = bench.summary(item, "real", rows)
    assert (line["plain/ours"], line["of repeats"]) == ("2.00", "1.00 to 4.00")
    bench.write(rows, "a machine", tmp_path / "bench.parquet")
    assert pq.read_schema(tmp_path / "bench.parquet").metadata[b"machine"] == b"a machine"
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "bench.parquet"), rows)


def test_the_start_of_a_training_cancels(monkeypatch):
    monkeypatch.setattr(bench, "clock", lambda work: bench.Cost(work(), work()))
    assert bench.further(lambda epochs: 5.0 + 2.0 * epochs, 3) == pytest.approx(bench.Cost(2.0, 2.0), nan_ok=True)
