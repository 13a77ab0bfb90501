"""What a method's record can say beyond parts, penalty and mixing: the sketches of CONTRIBUTING.md, run."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn
from torch.nn.utils import parametrize

from cell_jobs import FULL_FT
from roftmol.methods import METHODS, full_ft, linear_probing
from roftmol.methods.base import Adapter, Method
from roftmol.methods.protocols import PROTOCOLS
from roftmol.tables import schemas
from roftmol.training import jobs, loop
from roftmol.training.curve import best_epoch
from roftmol.training.fit import DivergedError, TrainSettings
from roftmol.training.forward import Adam, pooled
from roftmol.training.loop import train
from roftmol.training.model import Model, new_model
from small_dataset import corpus
from small_fits import FOLD, REGRESSION, fit_of, pretrained, state

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
SHORT = TrainSettings(epochs=3, batch_size=7, learning_rate=0.01)


@dataclass(frozen=True)
class Rank:
    rank: int = 2


@dataclass(frozen=True)
class Radius:
    rho: float = 0.05


@dataclass(frozen=True)
class Strength:
    lam: float = 0.1


def sketches() -> dict[str, Any]:
    """The names that the blocks of code under "A method of another kind" define."""
    names: dict[str, Any] = {
        **{"torch": torch, "nn": nn, "parametrize": parametrize, "replace": replace, "Adapter": Adapter},
        **{"full_ft": full_ft, "linear_probing": linear_probing},
        **{"Rank": Rank, "Radius": Radius, "Strength": Strength},
    }
    section = CONTRIBUTING.read_text().partition("## A method of another kind")[2].partition("\n## ")[0]
    for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(block, names)
    return names


NAMES = sketches()
LORA, SAM, RIDGE = (NAMES[name] for name in ("LORA", "SAM", "RIDGE"))


def fitted(method: Method, settings: Any, encoder=None, **changes) -> tuple[Model, loop.History]:
    fit = fit_of(method, settings, **{"training": SHORT, **changes})
    model = new_model(encoder or pretrained(), fit)
    return model, train(model, fit)


# -- weights that are added and folded in ----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_lora_changes_each_layer_by_a_matrix_of_low_rank_and_nothing_else(protocol: str):
    start = dict(pretrained().named_parameters())
    model, _ = fitted(LORA, Rank(2), protocol=protocol)
    moved = {}
    for name, theta in model.encoder.named_parameters():
        change = theta.detach() - start[name].detach()
        if change.any():
            moved[name] = torch.linalg.svdvals(change)
    linear = {f"{name}.weight" for name, layer in pretrained().named_modules() if isinstance(layer, nn.Linear)}
    assert moved.keys() == linear
    assert len(linear) == 6
    for name, values in moved.items():
        assert values[1] > 1e-4, name
        assert values[2] < 1e-5 * values[0], name


def test_loras_weights_are_folded_in():
    model, history = fitted(LORA, Rank(2))
    assert model.encoder.state_dict().keys() == pretrained().state_dict().keys()
    other = Model(pretrained(), 1, REGRESSION)
    other.load_state_dict(model.state_dict())
    data = corpus()
    found, again = (one.predict(data, FOLD.valid) for one in (model, other))
    assert np.array_equal(found, again)
    # The kept weights' score, by the factors while it trained, is that of the folded ones.
    loss = np.mean((found - data.labels[FOLD.valid]) ** 2)
    assert loss == pytest.approx(best_epoch(history.curve, "rmse").valid_loss, rel=1e-4)
    factors = sum(2 * sum(layer.weight.shape) for layer in model.encoder.modules() if isinstance(layer, nn.Linear))
    assert history.trained_parameters == factors + 16 + 1


def test_lora_starts_at_the_pretrained_weights():
    model, _ = fitted(LORA, Rank(2), training=replace(SHORT, learning_rate=0.0))
    for name, theta in model.encoder.named_parameters():
        assert torch.equal(theta, dict(pretrained().named_parameters())[name])


def test_what_is_added_is_drawn_by_the_seed():
    drawn = []
    method = replace(METHODS["full_ft"], adapter=Adapter(lambda *_: drawn.append(torch.rand(1).item()), lambda _: None))
    for before, seed in enumerate((0, 0, 1)):
        fit = fit_of(method, training=SHORT, seed=seed)
        model = new_model(pretrained(), fit)
        torch.rand(before)  # whatever was drawn before
        train(model, fit)
    assert drawn[0] == drawn[1] != drawn[2]


# -- another descent -------------------------------------------------------------------------------------------------


def test_sam_without_a_radius_is_full_ft_to_the_bit():
    # Without dropout, which the second pass draws anew.
    one, first = fitted(SAM, Radius(0.0), encoder=pretrained(0.0))
    two, second = fitted(METHODS["full_ft"], None, encoder=pretrained(0.0))
    assert first.curve == second.curve
    for (name, theta), other in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.equal(theta, other), name


def test_sams_step_is_along_the_gradient_at_the_worst_point_nearby(monkeypatch: pytest.MonkeyPatch):
    taken: list[dict[int, torch.Tensor]] = []

    class Watched(Adam):
        def step(self) -> None:
            taken.append({id(theta): theta.grad.clone() for theta in self.parameters if theta.grad is not None})
            super().step()

    monkeypatch.setattr(loop, "Adam", Watched)
    data, training = corpus(), TrainSettings(1, 14)
    fit = fit_of(SAM, Radius(0.5), data=data, training=training)
    model = new_model(pretrained(0.0), fit)
    by_hand = copy.deepcopy(model).train()
    history = train(model, fit)

    def loss() -> torch.Tensor:
        batch = data.batch(FOLD.train)
        return torch.nn.functional.mse_loss(by_hand(batch), by_hand.standardised(batch.labels))

    theta = [t for t in by_hand.parameters() if t.requires_grad]
    value = loss()
    gradient = torch.autograd.grad(value, theta, allow_unused=True)
    length = torch.cat([g.flatten() for g in gradient if g is not None]).norm()
    with torch.no_grad():
        for t, g in zip(theta, gradient, strict=True):
            t += 0.5 * g / length if g is not None else 0
    worst = torch.autograd.grad(loss(), theta, allow_unused=True)
    assert history.curve[0].train_loss == pytest.approx(value.item(), rel=1e-5)
    found = [taken[0].get(id(t)) for t in model.parameters() if t.requires_grad]
    for mine, theirs in zip(found, worst, strict=True):
        assert theirs is None or torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5)
    plain, moved = (torch.cat([g.flatten() for g in gs if g is not None]) for gs in (gradient, worst))
    assert torch.nn.functional.cosine_similarity(plain, moved, dim=0) < 0.99  # so that the one is not the other


def test_what_a_descent_meets_that_is_no_number_ends_the_fit():
    with pytest.raises(DivergedError, match=r"training loss became .* in epoch 1"):
        fitted(SAM, Radius(1e38))


# -- a head in closed form -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_a_ridge_head_on_the_frozen_encoder_is_the_closed_form(protocol: str):
    data, start = corpus(), pretrained()
    model, history = fitted(RIDGE, Strength(0.1), protocol=protocol, data=data)
    assert all(torch.equal(theta, state(start)[name]) for name, theta in state(model.encoder).items())
    X = pooled(start, data, range(24)).double().numpy()
    scale = data.labels[FOLD.train].std() if protocol == "honest" else 1  # so the penalty is on standardised labels
    ridge = Ridge(0.1).fit(X[FOLD.train], data.labels[FOLD.train] / scale)
    expected = ridge.predict(X) * scale
    assert np.allclose(model.predict(data, range(24))[:, 0], expected.ravel(), atol=1e-4)
    (point,) = history.curve
    assert (point.stage, point.epoch, history.trained_parameters) == (0, 0, 17)
    assert np.isnan(point.train_loss)
    assert point.valid_metric == pytest.approx(
        np.sqrt(np.mean((expected.ravel()[FOLD.valid] - data.labels[FOLD.valid, 0]) ** 2)), rel=1e-3
    )


def test_a_ridge_head_on_a_fine_tuned_encoder_leaves_that_as_it_was():
    both = replace(METHODS["full_ft"], fit_head=RIDGE.fit_head)
    model, history = fitted(both, Strength(0.1))
    tuned, before = fitted(METHODS["full_ft"], None)
    assert all(torch.equal(theta, state(tuned.encoder)[name]) for name, theta in state(model.encoder).items())
    assert history.curve[:-1] == before.curve
    assert best_epoch(history.curve, "rmse") == history.curve[-1]
    assert history.trained_parameters == before.trained_parameters
    assert not torch.equal(model.head.weight, tuned.head.weight)


def test_another_module_may_take_the_heads_place():
    class Nearest(nn.Module):
        """The label of the nearest training molecule."""

        def __init__(self, X: torch.Tensor, Y: torch.Tensor):
            super().__init__()
            self.register_buffer("X", X)
            self.register_buffer("Y", Y)

        def forward(self, features: torch.Tensor, _batch: object) -> torch.Tensor:
            return self.Y[torch.cdist(features, self.X).argmin(1)]

    method = replace(RIDGE, fit_head=lambda _settings, X, Y, _head: Nearest(X, Y))
    data = corpus()
    model, history = fitted(method, Strength())
    assert np.allclose(model.predict(data, FOLD.train), data.labels[FOLD.train], atol=1e-5)
    assert history.trained_parameters == 0


def test_a_head_that_predicts_no_numbers_ends_the_fit():
    def broken(_settings, _X, _Y, head):
        nn.init.constant_(head.bias, float("nan"))
        return head

    with pytest.raises(DivergedError, match="closed form is nan"):
        fitted(replace(RIDGE, fit_head=broken), Strength())


def test_a_head_in_closed_form_is_a_fit_like_any_other(cell: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(METHODS, "ridge", RIDGE)
    settings = replace(FULL_FT, method="ridge", grid=({"lam": 0.1}, {"lam": 10.0}))
    paths = (cell / name for name in ("graphs.safetensors", "splits.parquet", "encoder.safetensors", "run"))
    jobs.finetune(settings, *paths)
    fits = schemas.read("fits", cell / "run" / "fits.parquet")
    assert set(fits["status"]) == {"ok"}
    assert (fits[["best_epoch", "epochs"]] == 0).all(axis=None)
    assert set(fits["trained_parameters"]) == {17}
    assert fits["valid_metric"].nunique() == 4
    assert len(schemas.read("curves", cell / "run" / "curves.parquet")) == 4
