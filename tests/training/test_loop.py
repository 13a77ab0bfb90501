"""The loop: losses, labels, batches, which epoch is kept, and when a fit ends."""

import dataclasses

import numpy as np
import pytest
import torch

from roftmol.methods import METHODS
from roftmol.scoring import metrics
from roftmol.training import loop
from roftmol.training.best_epoch import Best
from roftmol.training.curve import best_epoch, selection_key
from roftmol.training.fit import DivergedError, TrainSettings
from roftmol.training.forward import Forward
from roftmol.training.model import new_model, task_loss
from small_dataset import corpus
from small_fits import CLASSIFICATION, FOLD, LAYERS, REGRESSION, SHORT, fit_of, pretrained, state, trained


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
    best = Best(model)
    given = [(float("nan"), 1), (0.5, 0), (0.5, 1), (0.6, 2), (0.5, 3), (0.4, 0), (float("nan"), 1)]
    for number, (score, waited) in enumerate(given):
        torch.nn.init.constant_(model.head.bias, number)
        best.offer(selection_key("rmse", score, score))
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
