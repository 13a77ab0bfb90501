"""What every model of atoms in space is to the methods: parts that move or stay, a head on atoms, mixtures."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from atoms_in_space import FOLD, HONEST, TASK, fitted, molecules, still_parts
from roftmol.encoders.base import Spatial
from roftmol.encoders.kinds import new_encoder
from roftmol.methods import METHODS
from roftmol.training import mixing
from roftmol.training.fit import Fit
from roftmol.training.model import Model


@pytest.fixture(params=[("so3lr", 128), ("aimnet2", 256)], ids=lambda known: known[0])
def encoder(request: pytest.FixtureRequest) -> Spatial:
    """With weights drawn at random, for what must hold of any."""
    torch.manual_seed(0)
    kind, width = request.param
    found = new_encoder({"kind": kind, "layers": 3, "width": width}).eval()
    assert isinstance(found, Spatial)
    return found


@pytest.mark.parametrize(
    ("name", "setting", "still"),
    [
        ("full_ft", {}, {"force_field"}),
        ("linear_probing", {}, {"force_field", "embed", "blocks.0", "blocks.1", "blocks.2"}),
        ("surgical_ft", {"block": 1}, {"force_field", "embed", "blocks.0", "blocks.2"}),
        ("l2_sp", {"lam": 0.1}, {"force_field"}),
        ("feature_map", {"lam": 0.1}, {"force_field"}),
        ("bss", {"lam": 0.1}, {"force_field"}),
        ("layerwise_decay", {"decay": 0.5}, {"force_field"}),
    ],
)
def test_a_method_moves_what_it_says(encoder: Spatial, name: str, setting: dict, still: set[str]):
    assert still_parts(encoder, name, setting) == still


@pytest.mark.parametrize(("name", "setting"), [("linear_probing", {}), ("surgical_ft", {"block": 2})])
def test_frozen_blocks_are_run_once_with_the_same_result(
    encoder: Spatial, name: str, setting: dict, monkeypatch: pytest.MonkeyPatch
):
    """Below what trains, the state of atoms is cached; without the cache the same must be learnt."""

    def learnt() -> dict[str, Tensor]:
        return fitted(encoder, name, setting, epochs=3).state_dict()

    cached = learnt()
    monkeypatch.setattr("roftmol.training.forward.CACHE_LIMIT", 0)
    for key, tensor in learnt().items():
        assert torch.allclose(tensor, cached[key], atol=1e-6), key


def test_an_extensive_head_sums_what_the_other_averages(encoder: Spatial):
    data = molecules()
    torch.manual_seed(0)
    mean = Model(encoder, 1, TASK)
    total = Model(encoder, 1, replace(TASK, extensive=True))
    total.load_state_dict(mean.state_dict())
    ratio = total.predict(data, range(len(data))) / mean.predict(data, range(len(data)))
    np.testing.assert_allclose(ratio[:, 0], np.diff(data.offsets), rtol=1e-5)


def test_the_ends_of_wise_ft_are_the_models_themselves(encoder: Spatial):
    theta_0 = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    tuned, wise = fitted(encoder, "full_ft", {}), METHODS["wise_ft"]
    assert wise.mixing
    for alpha, end in ((0.0, theta_0), (1.0, tuned.encoder.state_dict())):
        model = copy.deepcopy(tuned)
        mixing.mix(model, theta_0, Fit(wise, wise.parse({"alpha": alpha}), molecules(), FOLD, TASK, HONEST))
        assert all(torch.equal(tensor, end[name]) for name, tensor in model.encoder.state_dict().items())


def test_dwise_ft_has_a_coefficient_for_each_part_alone(encoder: Spatial):
    dwise = METHODS["dwise_ft"]
    assert dwise.mixing
    groups = mixing.groups_of(encoder, dwise.mixing, dwise.parse({"start": 0.5}))
    assert set(groups.values()) == set(encoder.parts)
    assert {group for name, group in groups.items() if name.startswith("force_field.")} == {"blocks.2"}
