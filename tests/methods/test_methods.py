"""What each method trains, freezes and mixes, and what all of them must do."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from roftmol.core.errors import UserError
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.methods import (
    ALL_METHODS,
    BASELINES,
    COMPARED,
    CONSTANT,
    METHODS,
    SCRATCH,
    WITHOUT_ENCODER,
    WITHOUT_PRETRAINING,
    dwise_ft,
    setting_text,
)
from roftmol.methods.base import DescriptorSettings
from roftmol.methods.protocols import PROTOCOLS
from roftmol.scoring import metrics
from roftmol.tables import base as tables
from roftmol.training.curve import best_epoch
from roftmol.training.fit import Fold, TrainSettings
from roftmol.training.loop import train
from roftmol.training.model import freeze, new_model, set_training, task_loss
from small_dataset import corpus
from small_fits import CLASSIFICATION, FOLD, LAYERS, REGRESSION, SHORT, fit_of, pretrained, state, trained

TRAINED = [method for method in METHODS.values() if method.kind == "train"]


# -- what trains and what is frozen ----------------------------------------------------------------------------------


def test_frozen_weights_and_statistics_stay_to_the_bit():
    start = state(pretrained())
    probed, _ = trained(METHODS["linear_probing"], METHODS["linear_probing"].grid(LAYERS)[0])
    for name, tensor in probed.encoder.state_dict().items():
        assert torch.equal(tensor, start[name]), name
    for setting in METHODS["surgical_ft"].grid(LAYERS):
        model, _ = trained(METHODS["surgical_ft"], setting)
        part = f"blocks.{setting.block}."
        for name, tensor in model.encoder.state_dict().items():
            changed = not torch.equal(tensor, start[name])
            # A bond type that no molecule has gets no gradient, hence the weights of the MLP as witnesses.
            if name.startswith(part) and "mlp" in name and name.endswith("weight"):
                assert changed, name
            if not name.startswith(part):
                assert not changed, name


@pytest.mark.parametrize(("protocol", "moves"), [("honest", True), ("paper", False)])
def test_surgical_ft_trains_batchnorms_weights_in_honest_and_the_layer_alone_in_paper(protocol, moves):
    # The released script gives Adam the layer's parameters and the head's; BatchNorms lie beside the layers there.
    start = state(pretrained())
    model, _ = trained(METHODS["surgical_ft"], METHODS["surgical_ft"].grid(LAYERS)[1], protocol=protocol)
    changed = {name for name, theta in model.encoder.named_parameters() if not torch.equal(theta, start[name])}
    assert {name for name in changed if ".norm." in name} == (
        {"blocks.1.norm.weight", "blocks.1.norm.bias"} if moves else set()
    )
    assert {"blocks.1.convolution.mlp.0.weight", "blocks.1.convolution.bond_type.weight"} <= changed
    assert all(name.startswith("blocks.1.") for name in changed)
    whole, _ = trained(METHODS["full_ft"], None, protocol=protocol)
    assert not torch.equal(whole.encoder.blocks[1].norm.weight, start["blocks.1.norm.weight"])


def test_in_the_paper_protocol_frozen_batchnorm_drifts():
    start = state(pretrained())
    probed, _ = trained(METHODS["linear_probing"], METHODS["linear_probing"].grid(LAYERS)[0], protocol="paper")
    for name, tensor in probed.encoder.state_dict().items():
        assert torch.equal(tensor, start[name]) != name.endswith(("running_mean", "running_var", "tracked")), name


def test_lp_ft_starts_its_second_stage_from_the_probed_head():
    # In `paper`, where the start itself is no candidate.
    model, curve = trained(METHODS["lp_ft"], METHODS["lp_ft"].grid(LAYERS)[0], protocol="paper")
    assert {point.stage for point in curve} == {0, 1}
    probed, probing = trained(METHODS["linear_probing"], METHODS["linear_probing"].grid(LAYERS)[0], protocol="paper")
    assert [p for p in curve if p.stage == 0] == probing
    assert not torch.equal(model.head.weight, probed.head.weight)
    assert not torch.equal(model.encoder.embed.element.weight, probed.encoder.embed.element.weight)


def test_lp_ft_may_return_the_probed_head():
    # With such steps whatever trains is destroyed, so the start of the second stage is its best epoch.
    wild = TrainSettings(epochs=4, batch_size=7, learning_rate=30.0)
    gentle, _ = trained(METHODS["linear_probing"], None, training=wild)
    model, curve = trained(METHODS["lp_ft"], None, training=wild)
    second = [point for point in curve if point.stage == 1]
    assert second[0].epoch == 0
    assert np.isnan(second[0].train_loss)
    assert best_epoch(curve, "rmse") == second[0]
    assert all(torch.equal(tensor, state(gentle)[name]) for name, tensor in state(model).items())
    _, published = trained(METHODS["lp_ft"], None, training=wild, protocol="paper")
    assert min(point.epoch for point in published) == 1


@pytest.mark.parametrize("method", ["full_ft", "surgical_ft", "l2_sp", "scratch"])
def test_batchnorm_keeps_the_statistics_of_the_kept_weights_on_the_training_molecules(method):
    settings = METHODS[method].grid(LAYERS)[0]
    model, _ = trained(METHODS[method], settings)
    fixed = state(pretrained())
    batch, encoder = corpus().batch(FOLD.train), model.encoder
    moved = METHODS[method].stages(settings, encoder.parts)[-1]
    with torch.no_grad():
        vectors = encoder.embed(batch)
        for number, block in enumerate(encoder.blocks):
            statistics = (block.norm.running_mean, block.norm.running_var)
            reached = block.convolution(vectors.atoms, batch.hop, batch)
            if f"blocks.{number}" in moved:
                expected = (reached.mean(0), reached.var(0))
                block.norm.train().momentum = 0.0  # the next layer is reached by this batch's normalised vectors
            else:
                expected = tuple(fixed[f"blocks.{number}.norm.{name}"] for name in ("running_mean", "running_var"))
                assert all(map(torch.equal, statistics, expected))
            for mine, theirs in zip(statistics, expected, strict=True):
                assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-6)
            vectors = block(vectors, batch)


def test_validation_sees_the_statistics_of_its_own_epoch():
    # Fits that end after one, two and three epochs: each epoch's score is that of the model that would be kept there.
    _, curve = trained(METHODS["full_ft"], None)
    truth = corpus().labels[FOLD.valid]
    for epochs in (1, 2, 3):
        model, _ = trained(METHODS["full_ft"], None, training=dataclasses.replace(SHORT, epochs=epochs))
        best = min(curve[:epochs], key=lambda point: point.valid_metric)
        again = model.predict(corpus(), FOLD.valid)
        assert metrics.primary("rmse", truth, again) == pytest.approx(best.valid_metric, rel=1e-5)


@pytest.mark.parametrize(("name", "trained"), [("surgical_ft", ("blocks.1",)), ("linear_probing", ())])
def test_what_is_frozen_below_is_computed_once_without_changing_the_result(name, trained):
    # An encoder without dropout gives the same features in both ways, so that only the short cut differs.
    method = METHODS[name]
    setting = method.grid(LAYERS)[min(1, len(method.grid(LAYERS)) - 1)]
    data = corpus()
    fit = fit_of(method, setting, data=data, training=TrainSettings(4, 14))
    model = new_model(pretrained(0.0), fit)
    plain = copy.deepcopy(model)
    curve = train(model, fit).curve
    assert method.stages(setting, plain.encoder.parts) == (trained,)
    freeze(plain, trained)
    set_training(plain, trained, fully=True)
    optimizer = torch.optim.Adam([p for p in plain.parameters() if p.requires_grad], 1e-3)
    batch = data.batch(FOLD.train)
    # Losses, not weights: Adam magnifies the rounding of gradients that are zero, as those of a bias before BatchNorm.
    for point in curve:
        loss = task_loss(plain(batch), (batch.labels - plain.shift) / plain.scale, "regression")
        assert point.train_loss == pytest.approx(loss.item(), rel=1e-4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_scratch_does_not_know_the_pretrained_weights():
    one, two = (
        new_model(encoder, fit_of(METHODS["scratch"]))
        for encoder in (pretrained(), GNN(Architecture("gin", LAYERS, 16)))
    )
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_every_method_starts_from_the_same_head():
    heads = [new_model(pretrained(), fit_of(method, seed=5)).head.weight for method in TRAINED]
    assert all(torch.equal(head, heads[0]) for head in heads)


# -- conformance: every method that trains ---------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("method", TRAINED, ids=lambda method: method.name)
def test_conformance(method, protocol):
    settings = method.grid(LAYERS)[0]
    assert dataclasses.is_dataclass(settings)
    assert settings == method.parse(dataclasses.asdict(settings))
    with pytest.raises(UserError, match="nonsense"):
        method.parse({"nonsense": 1})
    for task in (REGRESSION, CLASSIFICATION):
        one, curve = trained(method, settings, task=task, protocol=protocol)
        two, again = trained(method, settings, task=task, protocol=protocol)
        other, _ = trained(method, settings, task=task, protocol=protocol, seed=1)
        data = corpus()
        prediction = one.predict(data, range(24))
        assert np.isfinite(prediction).all()
        assert np.array_equal(prediction, two.predict(data, range(24)))
        assert not np.array_equal(prediction, other.predict(data, range(24)))
        assert [p.valid_loss for p in curve] == [p.valid_loss for p in again]
        if task is CLASSIFICATION:
            assert ((prediction >= 0) & (prediction <= 1)).all()


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_a_record_says_what_readers_need_and_who_runs_it(method):
    assert METHODS[method.name] is method
    assert all((method.title, method.mechanism, method.summary.endswith(".")))
    assert [method.stages, method.mixing, method.learner, method.head].count(None) == 3
    assert (method.trains_encoder or method.reads_encoder) == (method.model == "")
    assert not (method.trains_encoder and method.reads - ({"descriptors"} if method.joint else set()))
    assert ("descriptors" in method.reads) == (
        "descriptors" in {field.name for field in dataclasses.fields(method.settings)}
    )
    assert method.trains_encoder or ("descriptors" in method.reads) == issubclass(method.settings, DescriptorSettings)
    assert method.mixing is None or METHODS[method.mixing.source].stages


def test_methods_of_one_mechanism_stand_together():
    mechanisms = [method.mechanism for method in METHODS.values()]
    assert len([name for name, _ in itertools.groupby(mechanisms)]) == len(set(mechanisms))


def test_the_tables_compare_with_what_the_records_name():
    assert tables.COMPARED == COMPARED
    assert set(BASELINES) == {*COMPARED} - {CONSTANT}
    read_from_scratch = {name for name, method in ALL_METHODS.items() if method.encoder_of == SCRATCH}
    assert set(WITHOUT_PRETRAINING) == {SCRATCH, *read_from_scratch, *WITHOUT_ENCODER}


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_grids_are_distinct_and_have_a_text(method):
    texts = [setting_text(settings) for settings in method.grid(5)]
    assert texts
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", ["full_ft", "lp_ft", "surgical_ft", "bss", "scratch"])
def test_twenty_molecules_can_be_learned_by_heart(name):
    method = METHODS[name]
    data = corpus()
    everything = np.arange(20)
    fold = Fold(everything, everything, everything)
    settings = method.grid_from({"lam": [1e-4]})[0] if name == "bss" else method.grid(LAYERS)[-1]
    torch.manual_seed(0)
    encoder = GNN(Architecture("gin", LAYERS, 64), dropout=0.0)
    fit = fit_of(method, settings, data=data, fold=fold, training=TrainSettings(150, 20, 3e-3, 150))
    model = new_model(encoder, fit)
    before = np.std(data.labels[:20])
    train(model, fit)
    assert np.sqrt(np.mean((model.predict(data, everything) - data.labels[:20]) ** 2)) < 0.2 * before


# -- mixtures --------------------------------------------------------------------------------------------------------


def test_dwise_groups_are_the_blocks():
    encoder = pretrained()
    names = [name for name, _ in encoder.named_parameters()]
    for granularity, count in (("global", 1), ("block", LAYERS + 1), ("parameter", len(names))):
        settings = dwise_ft.Settings(0.5, granularity)
        assert len({dwise_ft.group(settings, name, encoder.part_of(name)) for name in names}) == count
    assert encoder.part_of("blocks.1.norm.weight") == "blocks.1"
    assert encoder.part_of("blocks.1.convolution.bond_type.weight") == "blocks.1"
    assert encoder.part_of("embed.element.weight") == "embed"
    assert dwise_ft.group(dwise_ft.Settings(0.5), "blocks.1.norm.weight", "blocks.1") == "blocks.1"
