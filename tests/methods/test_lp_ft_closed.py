"""LP-FT from a head in closed form: its start is that head, and what follows stays near it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from roftmol.core.errors import UserError
from roftmol.experiment.config import experiment
from roftmol.features.inputs import Inputs
from roftmol.heads import linear_head
from roftmol.methods import METHODS, lp_ft_closed
from roftmol.tasks import TASKS
from roftmol.training.curve import best_epoch
from roftmol.training.fit import Fold, TrainSettings
from roftmol.training.forward import pooled
from small_dataset import corpus
from small_fits import CLASSIFICATION, FOLD, REGRESSION, pretrained, state, trained

METHOD = METHODS["lp_ft_closed"]
#: Steps that destroy whatever trains, so that the start is the best epoch.
WILD = TrainSettings(epochs=3, batch_size=7, learning_rate=50.0)
SLOW = TrainSettings(epochs=3, batch_size=7, learning_rate=1e-3)
#: Validated on what trains, which gets better, so that the start is not the best epoch.
SEEN = Fold(FOLD.train, FOLD.train, FOLD.test)


def probabilities_or_values(task: str, labels: np.ndarray, train: np.ndarray) -> np.ndarray:
    """What the linear head on the pretrained encoder's vectors predicts of all molecules."""
    data = corpus()
    X = pooled(pretrained(), data, np.arange(len(data))).double().numpy()
    everything = Inputs(len(X), vectors=X)
    return linear_head.fit(everything[train], labels[train].astype(np.float64), TASKS[task], 0).predict(everything).mean


@pytest.mark.parametrize("protocol", ["honest", "paper"])
@pytest.mark.parametrize("task", [REGRESSION, CLASSIFICATION], ids=lambda task: task.kind)
def test_the_start_is_the_linear_head_in_closed_form_and_a_candidate(task, protocol):
    data = corpus(2, classification=task.kind == "classification")
    data.labels[::4, 1] = np.nan  # of the second task some labels are missing
    model, curve = trained(METHOD, METHOD.grid(3)[0], data=data, task=task, protocol=protocol, training=WILD)
    assert [point.epoch for point in curve] == [0, 1, 2, 3]
    assert best_epoch(curve, task.metric).epoch == 0
    # Of the training molecules, whose standardised numbers are within bounds.
    expected = probabilities_or_values(task.kind, data.labels, FOLD.train)[FOLD.train]
    assert model.predict(data, FOLD.train) == pytest.approx(expected, abs=2e-3)
    start = state(pretrained())
    assert all(torch.equal(tensor, start[name]) for name, tensor in model.encoder.state_dict().items())


def test_a_column_of_one_value_starts_as_that_value():
    data = corpus(2, classification=True)
    data.labels[:, 1] = 1.0
    model, _ = trained(METHOD, METHOD.grid(3)[0], data=data, task=CLASSIFICATION, training=WILD)
    assert model.predict(data, FOLD.test)[:, 1] == pytest.approx(1 - linear_head.SUREST)
    values = corpus(2)
    values.labels[:, 1] = 7.0
    model, _ = trained(METHOD, METHOD.grid(3)[0], data=values, training=WILD)
    assert model.predict(values, FOLD.test)[:, 1] == pytest.approx(7.0)


def test_it_trains_without_dropout_and_with_the_statistics_of_pretraining():
    start = state(pretrained())
    models = []
    for dropout in (0.0, 0.5):
        model, _ = trained(METHOD, METHOD.grid(3)[0], encoder=pretrained(dropout), training=SLOW, fold=SEEN)
        models.append(state(model.encoder))
        moved = {name for name, tensor in models[-1].items() if not torch.equal(tensor, start[name])}
        assert any(name.startswith("blocks.0.") for name in moved)
        assert any("norm" in name for name in moved)  # their weights train
        assert not [name for name in moved if name.endswith(("running_mean", "running_var", "tracked"))]
    assert all(torch.equal(models[0][name], tensor) for name, tensor in models[1].items())


def test_its_rate_is_a_share_of_the_learning_rate():
    slow, _ = trained(METHOD, lp_ft_closed.Settings(0.1), training=SLOW, fold=SEEN)
    same, _ = trained(METHOD, lp_ft_closed.Settings(1.0), training=replace(SLOW, learning_rate=1e-4), fold=SEEN)
    assert not torch.equal(
        slow.head.weight, trained(METHOD, lp_ft_closed.Settings(0.2), training=SLOW, fold=SEEN)[0].head.weight
    )
    assert all(torch.allclose(tensor, state(same)[name], atol=1e-7) for name, tensor in state(slow).items())
    with pytest.raises(UserError, match="rate is 0"):
        METHOD.parse({"rate": 0})


def test_models_with_heads_on_atoms_are_refused():
    space = {"models": ["so3lr"], "datasets": ["qm9-gap"], "splits": ["random"], "methods": ["lp_ft_closed"]}
    with pytest.raises(UserError, match=r"lp_ft_closed starts from a linear head .* so3lr has a head on atoms"):
        experiment(space)
