"""Joint fine-tuning: the union of a panel, who trains what, the loop beside full fine-tuning's, and the weightings."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch

from roftmol.core.errors import UserError
from roftmol.features import featurize
from roftmol.heads.gfn2 import CHOICES
from roftmol.methods import METHODS, joint_ft, setting_text
from roftmol.methods.base import READ_BY, JointStep
from roftmol.scoring import metrics
from roftmol.training import joint_loop, loop
from roftmol.training.curve import Epoch, selection_key
from roftmol.training.fit import DivergedError, Fold, TrainSettings
from roftmol.training.forward import Adam
from roftmol.training.model import new_model, task_loss
from roftmol.training.panel import joint_fold, union
from small_dataset import SMILES, corpus
from small_fits import CLASSIFICATION, FOLD, REGRESSION, SHORT, fit_of, pretrained

METHOD = METHODS["joint_ft"]
WEIGHTINGS = tuple(joint_ft.WEIGHTS)
#: The second dataset of most tests: molecules of the first one in another order, one of them twice, and one more.
OTHERS = [*SMILES[20:8:-1], SMILES[12], "CCCl"]


def structures(texts):
    """What stands for canonical SMILES: each molecule is written in one way here."""
    return list(texts)


def other_graphs(classification=False):
    labels = np.array([[len(text) > 9] if classification else [math.sin(len(text))] for text in OTHERS], np.float32)
    return featurize.from_smiles(OTHERS, labels)


def other_fold():
    return Fold(np.array([0, 2, 4, 5, 6, 13, 8, 9]), np.array([1, 3, 12]), np.array([7, 10, 11]))


def panel(tasks=(REGRESSION, REGRESSION), weighting="equal", data=None, fold=None, **changes):
    """The fits of two datasets and their union; the second has two molecules in its test that train the first."""
    settings = joint_ft.Settings(weighting)
    datasets = data or [
        corpus(classification=tasks[0] is CLASSIFICATION),
        other_graphs(classification=tasks[1] is CLASSIFICATION),
    ]
    folds = [FOLD, fold or other_fold()]
    fits = [
        fit_of(METHOD, settings, data=graphs, fold=one, task=task, **{"training": SHORT, **changes})
        for graphs, one, task in zip(datasets, folds, tasks, strict=True)
    ]
    return fits, union(datasets, [structures(SMILES), structures(OTHERS)])


def trained(fits, molecules, beside=None):
    models = joint_loop.new_models(pretrained(), fits, 0 if beside is None else beside.shape[1])
    return models, joint_loop.train(models, fits, molecules, beside)


def weights_of(models):
    return [{name: tensor.clone() for name, tensor in model.state_dict().items()} for model in models]


def same(one, other):
    return all(torch.equal(a[name], b[name]) for a, b in zip(one, other, strict=True) for name in a)


# -- the union -------------------------------------------------------------------------------------------------------


def test_the_union_of_one_dataset_is_the_dataset():
    data = corpus(tasks=2)
    # The same structure three times stays three rows.
    names = ["A", "B", "A", "A", *map(str, range(len(SMILES) - 4))]
    molecules = union([data], [names])
    assert molecules.rows[0].tolist() == list(range(len(SMILES)))
    assert molecules.columns == (slice(0, 2),)
    for name in ("offsets", "atoms", "indptr", "neighbours", "bonds", "labels", "classes"):
        one, other = getattr(molecules.graphs, name), getattr(data, name)
        assert np.array_equal(one, other), name
        assert one.dtype == other.dtype, name


def test_records_of_a_structure_meet_in_their_order_and_graphs_are_those_of_the_first_dataset():
    first = featurize.from_smiles(["CO", "CCN", "CO"], np.array([[1], [2], [3]], np.float32))
    # The same molecules, each written from its other end, one of them thrice.
    second = featurize.from_smiles(["NCC", "OC", "C", "OC", "OC"], np.arange(10, dtype=np.float32).reshape(5, 2))
    molecules = union([first, second], [["CO", "CCN", "CO"], ["CCN", "CO", "C", "CO", "CO"]])
    assert [rows.tolist() for rows in molecules.rows] == [[0, 1, 2], [1, 0, 3, 2, 4]]
    nan = np.nan
    labels = [[1, 2, 3], [2, 0, 1], [3, 6, 7], [nan, 4, 5], [nan, 8, 9]]
    np.testing.assert_array_equal(molecules.graphs.labels, np.array(labels, np.float32))
    graphs = molecules.graphs
    of_rows = [(first, 0), (first, 1), (first, 2), (second, 2), (second, 4)]
    for row, (source, molecule) in enumerate(of_rows):
        one, other = graphs.batch([row]), source.batch([molecule])
        for name in ("atoms", "edges", "bonds"):
            assert torch.equal(getattr(one, name), getattr(other, name)), (row, name)


def test_a_label_that_does_not_train_its_dataset_is_not_in_the_training_labels():
    fits, molecules = panel()
    fold = joint_fold(molecules, [fit.fold for fit in fits])
    for number, (fit, rows) in enumerate(zip(fits, molecules.rows, strict=True)):
        train = set(rows[fit.fold.train].tolist())
        for row in range(len(molecules.graphs)):
            assert fold.trains[row, number] == (row in train)
            assert np.isnan(fold.labels[row, number]) == (row not in train)
        assert np.array_equal(fold.valid[fold.valid_at[number]], rows[fit.fold.valid])
    roles = [(fits[0].fold.train, 0, fits[1].fold.test, 1), (fits[1].fold.train, 1, fits[0].fold.test, 0)]
    for learnt, one, tested, other in roles:  # what trains one of them and tests the other, both ways round
        assert set(molecules.rows[one][learnt]) & set(molecules.rows[other][tested])


# -- the loop beside full fine-tuning's ------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_a_panel_of_one_dataset_is_full_ft_to_the_bit(protocol):
    # Labels of two columns, some missing, so that batches and losses are no special case.
    data = corpus(tasks=2)
    data.labels[::3, 1] = np.nan
    training = TrainSettings(epochs=4, batch_size=5)
    alone = fit_of(METHODS["full_ft"], None, data=data, protocol=protocol, training=training, seed=3)
    model = new_model(pretrained(), alone)
    history = loop.train(model, alone)
    for weighting in WEIGHTINGS:
        fit = replace(alone, method=METHOD, hyperparameters=joint_ft.Settings(weighting))
        (joint,), found = trained([fit], union([data], [structures(SMILES)]))
        assert same([joint.state_dict()], [model.state_dict()]), weighting
        assert [Epoch(p.stage, p.epoch, p.train_loss, p.valid_loss, p.valid_metric) for p in found.curves[0]] == (
            history.curve
        )
        assert {point.weight for point in found.curves[0]} == {1.0}
        assert found.trained_parameters == [history.trained_parameters]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_a_test_label_changes_no_weight_though_its_molecule_trains_another_dataset(weighting):
    fits, molecules = panel((REGRESSION, CLASSIFICATION), weighting)
    models, history = trained(fits, molecules)
    changed = copy.deepcopy(fits[0].graphs)
    changed.labels[FOLD.test] += 100
    others, again = trained(*panel((REGRESSION, CLASSIFICATION), weighting, [changed, fits[1].graphs]))
    assert same(weights_of(models), weights_of(others))
    assert history == again
    # A training label does.
    changed.labels[FOLD.train[0]] += 1
    others, _ = trained(*panel((REGRESSION, CLASSIFICATION), weighting, [changed, fits[1].graphs]))
    assert not same(weights_of(models), weights_of(others))
    # Weights are those of the losses, in every epoch, and each dataset has its own curve.
    sums = {sum(points) for points in zip(*([p.weight for p in curve] for curve in history.curves), strict=True)}
    if weighting in ("size", "equal", "learned_normalised"):
        assert all(total == pytest.approx(2, rel=1e-6) for total in sums)
    if weighting == "pooled":
        assert all(total == pytest.approx(1, rel=1e-6) for total in sums)
    assert history.curves[0][0].valid_metric != history.curves[1][0].valid_metric


def test_the_unit_of_one_datasets_labels_changes_nothing_of_another():
    # A power of two, so that scaling is exact.
    fits, molecules = panel()
    models, history = trained(fits, molecules)
    scaled = copy.deepcopy(fits[0].graphs)
    scaled.labels[:] *= 1024
    others, again = trained(*panel(data=[scaled, fits[1].graphs]))
    assert history.best_epoch == again.best_epoch
    assert history.curves[1] == again.curves[1]
    assert same([models[1].state_dict()], [others[1].state_dict()])
    assert others[0].scale.item() == 1024 * models[0].scale.item()


def test_every_batch_serves_every_dataset_and_a_small_one_in_turn(monkeypatch):
    small = Fold(np.array([4, 9]), np.array([1]), np.array([2]))
    fits, molecules = panel(fold=small, training=TrainSettings(epochs=3, batch_size=4))
    fold = joint_fold(molecules, [fit.fold for fit in fits])
    drawn = []
    given = joint_loop._Joint._step

    def watched(self, rows, epoch):
        drawn.append(rows.tolist())
        return given(self, rows, epoch)

    monkeypatch.setattr(joint_loop._Joint, "_step", watched)
    trained(fits, molecules)
    assert all(fold.trains[rows].any(0).all() for rows in drawn)
    epochs = np.array_split(np.arange(len(drawn)), 3)
    for batches in epochs:
        rows = [row for batch in batches for row in drawn[batch]]
        assert set(rows) == set(fold.train.tolist())
        # Only rows of the small dataset are repeated, and both as often as the other, give or take one turn.
        repeated = {row: rows.count(row) for row in rows if rows.count(row) > 1}
        assert set(repeated) <= set(molecules.rows[1][small.train].tolist())
    added = [len(rows) for rows in drawn]
    assert sum(added) > 3 * len(fold.train)
    counts = np.bincount([row for rows in drawn for row in rows])[molecules.rows[1][small.train]]
    assert abs(int(counts[0]) - int(counts[1])) <= 1


def test_a_loss_that_is_no_number_ends_the_fit():
    fits, molecules = panel(training=TrainSettings(epochs=1, batch_size=7, learning_rate=1e38))
    with pytest.raises(DivergedError):
        trained(fits, molecules)


def test_epochs_are_ordered_by_the_mean_over_datasets_each_in_its_own_unit():
    regression, classes = panel((REGRESSION, CLASSIFICATION))[0]
    fits, units = [regression, classes], [10.0, 1.0]
    nan = math.nan

    def key(rmse, squared, auc, loss):
        return joint_loop.joint_key([Epoch(0, 1, 0.0, squared, rmse), Epoch(0, 1, 0.0, loss, auc)], fits, units)

    assert key(5.0, 25.0, 0.8, 0.3) == (pytest.approx((0.5 - 0.8) / 2), pytest.approx((0.25 + 0.3) / 2))
    # A metric that is undefined leaves the other's alone; without any the losses decide.
    assert key(5.0, 25.0, nan, 0.3) == (0.5, pytest.approx(0.275))
    assert key(nan, 25.0, nan, 0.3)[0] == 0.0
    assert key(5.0, nan, 0.8, 0.3) == key(5.0, 25.0, 0.8, math.inf) == (math.inf, math.inf)
    point = Epoch(0, 1, 0.0, 25.0, 5.0)
    assert joint_loop.joint_key([point], [regression], [1.0]) == selection_key("rmse", 5.0, 25.0)


# -- what heads read beside vectors ----------------------------------------------------------------------------------


def test_a_head_with_descriptors_starts_from_the_same_predictions_as_without():
    fits, _ = panel((REGRESSION, CLASSIFICATION))
    plain, described = joint_loop.new_models(pretrained(), fits), joint_loop.new_models(pretrained(), fits, 3)
    for one, other in zip(plain, described, strict=True):
        assert other.head.weight.shape == (1, one.head.in_features + 3)
        assert torch.equal(other.head.weight[:, :-3], one.head.weight)
        assert torch.equal(other.head.bias, one.head.bias)
        assert not other.head.weight[:, -3:].any()
        assert other.encoder is described[0].encoder


def test_the_loop_and_held_out_prediction_read_a_molecules_own_descriptors():
    # What stands beside a molecule is a label of either dataset, so that any other molecule's would mislead.
    fits, molecules = panel((REGRESSION, REGRESSION), training=TrainSettings(epochs=40, batch_size=7))
    labels = molecules.graphs.labels
    beside = np.nan_to_num((labels - np.nanmean(labels, 0)) / np.nanstd(labels, 0)).astype(np.float32)
    models, history = trained(fits, molecules, beside)
    _, plain = trained(fits, molecules)
    width = pretrained().width + 2
    assert history.trained_parameters == [count + 2 for count in plain.trained_parameters]
    for model, fit, rows, curve in zip(models, fits, molecules.rows, history.curves, strict=True):
        assert model.head.in_features == width
        assert model.head.weight[:, -2:].any()
        held_out = model.predict_held_out(fit.graphs, fit.fold, torch.from_numpy(beside[rows]))
        truth = fit.graphs.labels[fit.fold.valid]
        best = curve[history.best_epoch - 1].valid_metric
        assert metrics.primary("rmse", truth, held_out.valid) == pytest.approx(best, rel=1e-5)
        # W [x, d] + b, molecule by molecule.
        read = np.hstack([held_out.vectors.numpy(), beside[rows][fit.fold.held_out]])
        output = read @ model.head.weight.detach().numpy().T + model.head.bias.detach().numpy()
        expected = output * model.scale.item() + model.shift.item()
        predicted = np.concatenate([held_out.valid, held_out.test])
        np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-4)


# -- weightings ------------------------------------------------------------------------------------------------------


def step(L, n, b=None, classes=None, share=None):
    L, n = torch.tensor(L), torch.tensor(n, dtype=torch.float32)
    b = torch.zeros(len(n)) if b is None else torch.tensor(b)
    return JointStep(
        L=L,
        share=n / n.sum() if share is None else torch.tensor(share),
        r=n / n.sum(),
        classes=torch.tensor([True] * len(n) if classes is None else classes),
        b=b.requires_grad_(),
    )


def weigh(weighting, given, beta=None):
    return METHOD.joint(joint_ft.Settings(weighting, beta), given)


L3, N3 = [0.7, 0.2, 1.5], [800.0, 150.0, 50.0]


def test_pooled_is_the_mean_over_all_labelled_entries_of_a_batch():
    output, labels = torch.randn(9, 3, generator=torch.manual_seed(0)), torch.ones(9, 3)
    labels[torch.rand(9, 3, generator=torch.manual_seed(1)) < 0.5] = torch.nan
    losses = [task_loss(output[:, t : t + 1], labels[:, t : t + 1], "classification").item() for t in range(3)]
    entries = (~labels.isnan()).sum(0).tolist()
    total, w = weigh("pooled", step(losses, [1, 1, 1], share=[count / sum(entries) for count in entries]))
    assert total.item() == pytest.approx(task_loss(output, labels, "classification").item(), rel=1e-6)
    assert w.tolist() == pytest.approx([count / sum(entries) for count in entries])


def test_exponents_run_from_equal_to_pooled():
    equal, pooled = weigh("equal", step(L3, N3)), weigh("pooled", step(L3, N3))
    assert torch.equal(equal[1], torch.ones(3))
    assert torch.allclose(weigh("size", step(L3, N3), 0.0)[0], equal[0])
    assert torch.allclose(weigh("size", step(L3, N3), 1.0)[0], 3 * pooled[0])
    for exponent, end in ((1e-6, equal), (1.0, pooled)):
        b = [math.log(math.expm1(exponent))] * 3  # softplus(b) is the exponent
        assert torch.allclose(weigh("learned", step(L3, N3, b))[0], end[0], rtol=1e-4)
    weights = weigh("size", step(L3, N3))[1]
    assert torch.allclose(weights, weigh("size", step(L3, N3), 0.5)[1])
    assert weights.tolist() == pytest.approx([3 * n**0.5 / sum(m**0.5 for m in N3) for n in N3])


def test_uncertainty_has_its_minimum_where_kendalls_has():
    given = step(L3, N3, [math.log(2 * 0.7), math.log(0.2), math.log(1.5)], classes=[True, False, False])
    loss, w = weigh("uncertainty", given)
    loss.backward()
    assert torch.allclose(given.b.grad, torch.zeros(3), atol=1e-6)
    assert w.tolist() == pytest.approx([1 / 1.4, 1 / 0.4, 1 / 3.0])


def test_the_published_form_raises_every_exponent_on_constant_losses_and_the_normalised_one_keeps_the_sum():
    # 13 datasets of the sizes of QW-MTL's, equal losses: the exponent follows the size, whatever a dataset is worth.
    n = [461, 973, 512, 1624, 9673, 10504, 9861, 534, 532, 535, 523, 5821, 379]
    given = step([0.5] * 13, n)
    adam = Adam([given.b], 5e-2)
    sums = []
    for _ in range(300):
        adam.zero_grad()
        loss, w = weigh("learned", given)
        loss.backward()
        assert (given.b.grad < 0).all()
        adam.step()
        sums.append(w.sum().item())
    assert sums == sorted(sums, reverse=True)
    assert sums[-1] < sums[0] / 20
    exponents = torch.nn.functional.softplus(given.b).detach().numpy()
    assert np.corrcoef(exponents, n)[0, 1] > 0.9
    assert weigh("learned_normalised", given)[1].sum().item() == pytest.approx(13, rel=1e-5)


def test_settings_name_the_weightings_and_an_exponent_is_of_sizes_alone():
    assert set(get_args(get_type_hints(joint_ft.Settings)["weighting"])) == set(joint_ft.WEIGHTS)
    grid = METHOD.grid_from({"weighting": ["equal", "size"], "beta": [0.0, 1.0]})
    assert [(one.weighting, one.beta) for one in grid] == [("equal", None), ("size", 0.0), ("size", 1.0)]
    assert joint_ft.Settings("size").beta == joint_ft.BETA
    with pytest.raises(UserError, match="beta is nan; give a number"):
        joint_ft.Settings("size", math.nan)


def test_settings_name_the_descriptors_and_none_goes_without_saying():
    assert get_args(get_type_hints(joint_ft.Settings)["descriptors"]) == tuple(READ_BY) == CHOICES
    assert setting_text(joint_ft.Settings()) == setting_text(joint_ft.Settings(descriptors="none"))
    assert setting_text(joint_ft.Settings()) == '{"weighting":"equal"}'
    assert setting_text(joint_ft.Settings(descriptors="qw4")) == '{"descriptors":"qw4","weighting":"equal"}'
    with pytest.raises(UserError, match=r"descriptors: 'xtb' is unknown; choose one of none, rdkit, gfn2, both, qw4"):
        joint_ft.Settings(descriptors="xtb")
