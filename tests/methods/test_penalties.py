"""The mathematics of the penalties, and what the loop gives them."""

import dataclasses

import pytest
import torch

from roftmol.encoders.gnn import GNN, Architecture
from roftmol.methods import METHODS, Step, bss, feature_map, l2_sp, setting_text
from roftmol.methods.protocols import PROTOCOLS
from roftmol.training import loop
from roftmol.training.fit import TrainSettings
from roftmol.training.forward import Adam
from roftmol.training.loop import train
from roftmol.training.model import new_model, task_loss
from small_dataset import corpus
from small_fits import LAYERS, fit_of, pretrained, trained


def step(**values) -> Step:
    empty = {"theta": {}, "theta_0": {}, "phi": {}, "Z": torch.zeros(1, 1), "Z_0": None, "features": torch.zeros(1, 1)}
    return Step(**{**empty, "normalise": False, **values})


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
