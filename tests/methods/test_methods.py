"""The mathematics of every method, and what all of them must do."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
import torch

from roftmol.core.errors import UserError
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.methods import (
    BASELINES,
    COMPARED,
    CONSTANT,
    METHODS,
    SCRATCH,
    WITHOUT_ENCODER,
    WITHOUT_PRETRAINING,
    Step,
    bss,
    dwise_ft,
    feature_map,
    l2_sp,
    setting_text,
)
from roftmol.methods.protocols import PROTOCOLS
from roftmol.scoring import metrics
from roftmol.tables import base as tables
from roftmol.training import loop
from roftmol.training.curve import Epoch, best_epoch, selection_key
from roftmol.training.fit import DivergedError, Fold, TrainSettings
from roftmol.training.forward import Adam, Forward
from roftmol.training.loop import _Best, train
from roftmol.training.model import freeze, new_model, set_training, task_loss
from small_dataset import corpus
from small_fits import CLASSIFICATION, FOLD, LAYERS, REGRESSION, fit_of, pretrained, state

TRAINED = [method for method in METHODS.values() if method.kind == "train"]
SHORT = TrainSettings(epochs=3, batch_size=7)


def trained(method, settings, *, training=SHORT, encoder=None, **changes):
    fit = fit_of(method, settings, training=training, **changes)
    model = new_model(encoder or pretrained(), fit)
    return model, train(model, fit).curve


def step(**values) -> Step:
    empty = {"theta": {}, "theta_0": {}, "phi": {}, "Z": torch.zeros(1, 1), "Z_0": None, "features": torch.zeros(1, 1)}
    return Step(**{**empty, "normalise": False, **values})


# -- penalties -------------------------------------------------------------------------------------------------------


def test_bss_of_a_3_by_2_matrix_by_hand():
    # F^T F = [[9, 0], [0, 16]]: singular values 3 and 4.
    F = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]])
    assert bss.penalty(bss.Settings(lam=0.5, k=1), step(features=F)).item() == pytest.approx(0.5 * 9)
    assert bss.penalty(bss.Settings(lam=0.5, k=2), step(features=F)).item() == pytest.approx(0.5 * 25)
    honest = bss.penalty(bss.Settings(lam=0.5, k=1), step(features=F, normalise=True))
    assert honest.item() == pytest.approx(0.5 * 9 / 3)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_bss_is_what_the_singular_values_say(shape):
    F = torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    value = bss.penalty(bss.Settings(lam=1.0, k=2), step(features=F))
    expected = torch.linalg.svdvals(F)[-2:].square().sum()
    assert torch.allclose(value, expected)
    assert torch.allclose(*(torch.autograd.grad(v, F, retain_graph=True)[0] for v in (value, expected)))


def test_l2_sp_is_zero_at_the_start_and_quadratic_beside_it():
    theta_0 = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([[3.0]])}
    phi = {"weight": torch.tensor([[2.0]])}
    settings = l2_sp.Settings(lam=0.1, lam_head=0.5)
    assert l2_sp.penalty(settings, step(theta=theta_0, theta_0=theta_0, phi=phi)).item() == pytest.approx(0.25 * 4)
    moved = {"a": torch.tensor([2.0, 4.0]), "b": torch.tensor([[0.0]])}
    found = l2_sp.penalty(settings, step(theta=moved, theta_0=theta_0, phi=phi)).item()
    assert found == pytest.approx(0.05 * (1 + 4 + 9) + 0.25 * 4)


def test_feature_map_is_half_the_squared_distance():
    Z, Z_0 = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 1.0], [1.0, 4.0]])
    settings = feature_map.Settings(lam=0.2)
    assert feature_map.penalty(settings, step(Z=Z, Z_0=Z_0)).item() == pytest.approx(0.1 * 5)
    assert feature_map.penalty(settings, step(Z=Z, Z_0=Z_0, normalise=True)).item() == pytest.approx(0.1 * 5 / 2)
    assert feature_map.penalty(settings, step(Z=Z, Z_0=Z)).item() == 0


@pytest.mark.parametrize(
    ("method", "settings"),
    [(l2_sp, l2_sp.Settings(0.2)), (bss, bss.Settings(0.2)), (feature_map, feature_map.Settings(0.2))],
)
def test_in_the_paper_protocol_every_penalty_draws_the_head_to_zero_with_its_own_strength(method, settings):
    theta, Z = {"a": torch.tensor([1.0, 2.0])}, torch.tensor([[1.0, 2.0]])
    phi = {"weight": torch.tensor([[2.0, -1.0]]), "bias": torch.tensor([3.0])}
    at_rest = step(theta=theta, theta_0=theta, Z=Z, Z_0=Z, phi=phi)
    paper = dataclasses.replace(at_rest, decay_head=True)
    assert method.penalty(settings, paper).item() == pytest.approx(0.1 * (4 + 1 + 9))
    rest = 0.01 / 2 * 14 if method is l2_sp else 0
    assert method.penalty(settings, at_rest).item() == pytest.approx(rest)
    if method is l2_sp:  # one that is given counts in both
        own = l2_sp.Settings(0.2, lam_head=0.5)
        assert [l2_sp.penalty(own, s).item() for s in (at_rest, paper)] == pytest.approx([0.25 * 14] * 2)


def test_what_is_left_to_the_protocol_is_not_in_a_settings_text():
    assert setting_text(l2_sp.Settings(0.1)) == '{"lam":0.1}'
    assert setting_text(l2_sp.Settings(0.1, 0.0)) == '{"lam":0.1,"lam_head":0.0}'


@pytest.mark.parametrize(("protocol", "decays"), [("honest", False), ("paper", True)])
@pytest.mark.parametrize("name", ["l2_sp", "bss", "feature_map"])
def test_the_loop_tells_penalties_whether_the_head_decays(name, protocol, decays):
    told = []

    def penalty(settings, step):
        told.append((step.decay_head, set(step.phi)))
        return METHODS[name].penalty(settings, step)

    method = dataclasses.replace(METHODS[name], penalty=penalty)
    trained(method, method.grid(LAYERS)[0], protocol=protocol, training=TrainSettings(1, 14))
    assert told == [(decays, {"weight", "bias"})]


@pytest.mark.parametrize(
    ("name", "protocol", "cut"), [("bss", "paper", 10), ("bss", "honest", 1e4), ("full_ft", "paper", 1e4)]
)
def test_under_a_penalty_gradients_are_cut_number_by_number_in_the_paper_protocol(monkeypatch, name, protocol, cut):
    largest = []

    class Watched(Adam):
        def step(self):
            largest.append(max(theta.grad.abs().max().item() for theta in self.parameters if theta.grad is not None))
            super().step()

    monkeypatch.setattr(loop, "Adam", Watched)
    monkeypatch.setattr(loop, "task_loss", lambda *args, **named: 1e4 * task_loss(*args, **named))
    settings = bss.Settings(0.0) if name == "bss" else None
    trained(METHODS[name], settings, protocol=protocol, training=TrainSettings(1, 14))
    assert len(largest) == 1
    assert largest[0] == 10 if cut == 10 else largest[0] > 100


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("l2_sp", l2_sp.Settings(lam=0.0, lam_head=0.0)),
        ("bss", bss.Settings(lam=0.0)),
        ("feature_map", feature_map.Settings(lam=0.0)),
    ],
)
@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_strength_zero_is_full_fine_tuning_to_the_bit(name, settings, protocol):
    plain, _ = trained(METHODS["full_ft"], METHODS["full_ft"].grid(LAYERS)[0], protocol=protocol)
    penalised, _ = trained(METHODS[name], settings, protocol=protocol)
    for one, two in zip(plain.state_dict().values(), penalised.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def watched(protocol, lam, training, *, kind="gin", dropout=0.5):
    """Feature-map's value and its Z and Z_0 at every step of a fit, and the model that was fitted."""
    torch.manual_seed(1)
    encoder = GNN(Architecture(kind, LAYERS, 16), dropout)
    seen = []

    def penalty(settings, step):
        value = feature_map.penalty(settings, step)
        seen.append((value.item(), step.Z.detach().clone(), step.Z_0.clone()))
        return value

    method = dataclasses.replace(METHODS["feature_map"], penalty=penalty)
    model, _ = trained(method, feature_map.Settings(lam=lam), protocol=protocol, training=training, encoder=encoder)
    return seen, model


@pytest.mark.parametrize("kind", ["gin", "gcn", "graphsage"])
def test_feature_maps_penalty_is_zero_at_theta_0_in_training_mode(kind):
    # With a learning rate of 0 every batch is one at theta_0, with dropout of a half and statistics of its own.
    seen, _ = watched("honest", 1.0, TrainSettings(3, 7, learning_rate=0.0), kind=kind)
    assert len(seen) == 6
    assert all(Z.abs().max() > 0 for _, Z, _ in seen)
    assert [value for value, _, _ in seen] == [0] * 6


def test_feature_maps_penalty_has_its_minimum_at_Z_0():  # noqa: N802
    # Held by the penalty alone, Z is Z_0 at the end of a fit and not a part of it, as where dropout is in one of them.
    seen, _ = watched("honest", 100.0, TrainSettings(60, 7, patience=60))
    Z, Z_0 = (torch.cat([maps[place].flatten() for maps in seen[-8:]]) for place in (1, 2))
    assert (Z @ Z_0 / (Z_0 @ Z_0)).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_feature_map_looks_at_the_last_convolution_before_batchnorm_and_dropout(protocol):
    data, seen, given = corpus(), [], []
    encoder = pretrained()
    model = new_model(encoder, fit_of(METHODS["feature_map"], data=data, protocol=protocol))
    convolution = model.encoder.blocks[-1].convolution
    convolution.register_forward_hook(lambda _module, _inputs, output: given.append(output))

    def penalty(settings, step):
        seen.append((step.Z, step.Z_0))
        return feature_map.penalty(settings, step)

    method = dataclasses.replace(METHODS["feature_map"], penalty=penalty)
    settings, training = feature_map.Settings(1.0), TrainSettings(1, 7, learning_rate=0.0)
    train(model, fit_of(method, settings, data=data, protocol=protocol, training=training))
    maps = [output for output in given if output.requires_grad]  # not those of validation and of the pretrained twin
    assert [torch.equal(Z, output) for (Z, _), output in zip(seen, maps, strict=True)] == [True, True]
    if protocol == "paper":  # Z_0 as the released scripts have it: the pretrained encoder in eval mode
        with torch.no_grad():
            every = encoder.eval().state_and_map(data.batch(range(24)))[1]
        assert all(torch.cdist(Z_0, every).min(1).values.max() < 1e-3 for _, Z_0 in seen)


def test_a_strong_penalty_holds_the_encoder():
    start = pretrained()
    strong, _ = trained(METHODS["l2_sp"], l2_sp.Settings(lam=1.0))
    free, _ = trained(METHODS["l2_sp"], l2_sp.Settings(lam=0.0))

    def drift(model):
        pairs = zip(model.encoder.parameters(), start.parameters(), strict=True)
        return sum((a - b).square().sum().item() for a, b in pairs)

    assert drift(strong) < drift(free)


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
    assert [method.stages, method.mixing, method.learner].count(None) == 2
    assert (method.learner is None) == (method.model == "")
    assert method.mixing is None or METHODS[method.mixing.source].stages


def test_methods_of_one_mechanism_stand_together():
    mechanisms = [method.mechanism for method in METHODS.values()]
    assert len([name for name, _ in itertools.groupby(mechanisms)]) == len(set(mechanisms))


def test_the_tables_compare_with_what_the_records_name():
    assert tables.COMPARED == COMPARED
    assert set(BASELINES) == {*COMPARED} - {CONSTANT}
    assert set(WITHOUT_PRETRAINING) == {SCRATCH, *WITHOUT_ENCODER}


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


# -- losses, labels, selection ---------------------------------------------------------------------------------------


def test_missing_labels_are_masked():
    output = torch.tensor([[1.0, 5.0], [2.0, -3.0]], requires_grad=True)
    labels = torch.tensor([[0.0, float("nan")], [float("nan"), -1.0]])
    loss = task_loss(output, labels, "regression")
    assert loss.item() == pytest.approx((1 + 4) / 2)
    loss.backward()
    assert output.grad[0, 1] == output.grad[1, 0] == 0
    assert task_loss(output, labels, "regression", root=True).item() == pytest.approx(2.5**0.5)
    assert task_loss(output, torch.full((2, 2), float("nan")), "classification").item() == 0


def test_targets_are_standardised_on_training_labels_in_honest_only():
    data = corpus()
    honest = new_model(pretrained(), fit_of(METHODS["full_ft"], data=data))
    labels = data.labels[FOLD.train]
    assert honest.shift.item() == pytest.approx(labels.mean(), rel=1e-6)
    assert honest.scale.item() == pytest.approx(labels.std(), rel=1e-6)
    paper = new_model(pretrained(), fit_of(METHODS["full_ft"], data=data, protocol="paper"))
    assert (paper.shift.item(), paper.scale.item()) == (0, 1)


def test_each_task_is_standardised_by_its_own_training_labels():
    # The second task has another unit and origin, and misses every third label.
    data = corpus(tasks=2)
    data.labels[:, 1] = 40 * data.labels[:, 1] + 7
    data.labels[::3, 1] = np.nan
    model = new_model(pretrained(), fit_of(METHODS["full_ft"], data=data))
    for task in range(2):
        known = data.labels[FOLD.train, task]
        known = known[~np.isnan(known)].astype(np.float64)
        assert model.shift[task].item() == pytest.approx(known.mean(), rel=1e-6)
        assert model.scale[task].item() == pytest.approx(known.std(), rel=1e-6)


@pytest.mark.parametrize(("metric", "worse", "better"), [("roc_auc", 0.7, 0.8), ("rmse", 0.8, 0.7)])
def test_epochs_are_ordered_by_metric_then_by_loss_and_last_where_the_loss_is_no_number(metric, worse, better):
    nan, inf = float("nan"), float("inf")
    order = [(better, 0.4), (better, 0.5), (worse, 0.1)]
    keys = [selection_key(metric, *scores) for scores in order]
    assert keys == sorted(set(keys))
    assert selection_key(metric, nan, 0.4) < selection_key(metric, nan, 0.5)
    for broken in (nan, inf):
        assert keys[-1] < selection_key(metric, nan, broken)


def test_of_epochs_that_are_equal_the_first_is_kept_and_one_without_a_loss_never():
    model = new_model(pretrained(), fit_of(METHODS["full_ft"]))
    best = _Best(model)
    given = [(float("nan"), 1), (0.5, 0), (0.5, 1), (0.6, 2), (0.5, 3), (0.4, 0), (float("nan"), 1)]
    for number, (score, waited) in enumerate(given):
        torch.nn.init.constant_(model.head.bias, number)
        best.offer(Epoch(0, number + 1, 1.0, score, score), "rmse")
        assert best.waited == waited
        if number == 4:
            assert best.state["head.bias"].item() == 1
    best.restore()
    assert model.head.bias.item() == 5


def test_a_fit_whose_validation_is_no_number_has_diverged():
    # One finite step, which is so long that no prediction after it is a number.
    long = TrainSettings(epochs=1, batch_size=14, learning_rate=1e38)
    with pytest.raises(DivergedError, match="validation loss was never a number"):
        trained(METHODS["full_ft"], None, training=long)


def test_batches_are_drawn_anew_in_every_epoch_stage_and_seed(monkeypatch):
    drawn = []
    given = Forward.training_batches

    def watched(self, molecules, size):
        drawn[-1].append(tuple(molecules.tolist()))
        return given(self, molecules, size)

    monkeypatch.setattr(Forward, "training_batches", watched)
    for seed in (0, 1, 0):
        drawn.append([])
        trained(METHODS["lp_ft"], None, training=dataclasses.replace(SHORT, patience=9), seed=seed)
    assert drawn[0] == drawn[2]
    orders = {*drawn[0], *drawn[1]}
    assert len(orders) == 12  # two seeds, two stages, three epochs
    assert all(sorted(order) == FOLD.train.tolist() for order in orders)


def test_the_loss_of_an_epoch_is_the_mean_over_its_molecules(monkeypatch):
    steps = []

    def watched(output, labels, kind, *, root=False):
        loss = task_loss(output, labels, kind, root=root)
        steps.append((loss.item(), len(labels)))
        return loss

    monkeypatch.setattr(loop, "task_loss", watched)
    _, curve = trained(METHODS["full_ft"], None, training=TrainSettings(1, 5))
    losses, sizes = np.array(steps).T
    assert len(set(sizes)) > 1
    assert curve[0].train_loss == pytest.approx(np.average(losses, weights=sizes))


def test_the_kept_weights_are_those_of_the_best_epoch():
    for task in (REGRESSION, CLASSIFICATION):
        model, curve = trained(METHODS["full_ft"], METHODS["full_ft"].grid(LAYERS)[0], task=task)
        data = corpus(classification=task.kind == "classification")
        kept = metrics.loss(task.kind, data.labels[FOLD.valid], model.predict(data, FOLD.valid))
        assert kept == pytest.approx(best_epoch(curve, task.metric).valid_loss, rel=1e-6)


def test_what_trains_on_after_the_best_epoch_does_not_reach_the_kept_weights():
    # Steps that end with the best epoch, and steps that go on and destroy what they reached, leave the same weights.
    bold = TrainSettings(epochs=30, batch_size=7, learning_rate=0.03, patience=30)
    model, curve = trained(METHODS["full_ft"], None, training=bold)
    best = best_epoch(curve, "rmse")
    assert best.epoch < len(curve)
    ended, _ = trained(METHODS["full_ft"], None, training=dataclasses.replace(bold, epochs=best.epoch))
    assert all(torch.equal(tensor, state(ended)[name]) for name, tensor in state(model).items())


@pytest.mark.parametrize("patience", [1, 3])
def test_a_fit_ends_after_so_many_epochs_without_a_better_one(patience):
    impatient = TrainSettings(epochs=200, batch_size=7, learning_rate=0.03, patience=patience)
    _, curve = trained(METHODS["full_ft"], None, training=impatient)
    reached = np.array([point.valid_metric for point in curve])
    improves = reached < np.concatenate([[np.inf], np.minimum.accumulate(reached)[:-1]])
    assert len(curve) < 200
    assert improves[-patience - 1]
    assert not improves[-patience:].any()
    waits = np.diff(np.flatnonzero(improves)) - 1
    assert (waits < patience).all()


def test_one_class_in_validation_selects_by_loss():
    data = corpus(classification=True)
    data.labels[FOLD.valid] = 1
    _, curve = trained(METHODS["full_ft"], None, data=data, task=CLASSIFICATION, training=TrainSettings(6, 7))
    assert all(np.isnan(point.valid_metric) for point in curve)
    assert best_epoch(curve, "roc_auc").valid_loss == min(point.valid_loss for point in curve)


def test_a_loss_that_is_no_number_is_reported():
    data = corpus()
    data.labels[FOLD.train[0]] = np.inf
    with pytest.raises(DivergedError, match="epoch 1"):
        trained(METHODS["full_ft"], None, data=data, protocol="paper")


def test_early_stopping_only_where_the_protocol_allows():
    impatient = TrainSettings(epochs=30, batch_size=7, patience=1)
    for protocol, expected in (("honest", False), ("paper", True)):
        _, curve = trained(METHODS["full_ft"], None, protocol=protocol, training=impatient)
        assert (len(curve) == 30) == expected


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
