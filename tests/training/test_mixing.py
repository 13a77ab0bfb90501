import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from roftmol.encoders.gnn import GNN, Architecture, Norm
from roftmol.methods import METHODS
from roftmol.methods.dwise_ft import Settings as DWiSE
from roftmol.methods.protocols import PROTOCOLS
from roftmol.methods.wise_ft import Settings as WiSE
from roftmol.scoring import metrics
from roftmol.training import batchnorm
from roftmol.training import mixing as interpolation
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.loop import train
from roftmol.training.mixing import PATIENCE, _Learner, groups_of, interpolate, mix, put
from roftmol.training.model import new_model
from small_dataset import corpus

FOLD = Fold(np.arange(0, 12), np.arange(12, 19), np.arange(19, 24))
TASK = Task("regression", "rmse")


@pytest.fixture(scope="module")
def ends():
    """A pretrained encoder, and a model fine-tuned from it that is far from it."""
    torch.manual_seed(0)
    encoder = GNN(Architecture("gin", 3, 16))
    data = corpus()
    fit = Fit(METHODS["full_ft"], None, data, FOLD, TASK, PROTOCOLS["honest"], TrainSettings(10, 6, 0.01))
    model = new_model(encoder, fit)
    train(model, fit)
    return encoder, model, data


def mixed(ends, method, settings, protocol=PROTOCOLS["honest"]):
    encoder, model, data = ends
    model = copy.deepcopy(model)
    return mix(model, encoder.state_dict(), Fit(METHODS[method], settings, data, FOLD, TASK, protocol)), model


def test_a_quarter_of_the_way():
    theta_0, theta = {"w": torch.tensor([0.0, 4.0])}, {"w": torch.tensor([4.0, 0.0])}
    assert interpolate(theta_0, theta, {"w": 0.25})["w"].tolist() == [1, 3]


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_alpha_0_and_1_are_the_two_ends_to_the_bit(ends, protocol):
    encoder, tuned, data = ends
    result, model = mixed(ends, "wise_ft", WiSE(1.0), PROTOCOLS[protocol])
    assert np.array_equal(result.test, tuned.predict_held_out(data, FOLD).test)
    result, model = mixed(ends, "wise_ft", WiSE(0.0), PROTOCOLS[protocol])
    estimated = STATISTICS if protocol == "honest" else ("num_batches_tracked",)
    for name, tensor in encoder.state_dict().items():
        if not name.endswith(estimated):
            assert torch.equal(model.encoder.state_dict()[name], tensor)
    assert torch.equal(model.head.weight, tuned.head.weight)


def test_full_ft_has_the_statistics_that_a_mixture_would_have_there(ends):
    _, tuned, data = ends
    again = copy.deepcopy(tuned)
    batchnorm.estimate_all(again.encoder, again.evaluation_batches(data, batchnorm.sample(FOLD.train, 0)))
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in tuned.state_dict().items())


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_path_is_unbroken_at_its_ends(ends, end):
    at, _ = mixed(ends, "wise_ft", WiSE(end))
    near, _ = mixed(ends, "wise_ft", WiSE(abs(end - 1e-6)))
    assert np.allclose(at.test, near.test, atol=1e-4)


def test_between_the_ends_the_weights_are_mixed(ends):
    encoder, tuned, _ = ends
    _, model = mixed(ends, "wise_ft", WiSE(0.3))
    for name, parameter in model.encoder.named_parameters():
        expected = 0.7 * encoder.state_dict()[name] + 0.3 * tuned.encoder.state_dict()[name]
        assert torch.allclose(parameter, expected, atol=1e-7)


def test_honest_re_estimates_batchnorm_and_paper_mixes_it(ends):
    encoder, tuned, data = ends
    name = "blocks.0.norm.running_mean"
    straight = 0.5 * encoder.state_dict()[name] + 0.5 * tuned.encoder.state_dict()[name]
    _, paper = mixed(ends, "wise_ft", WiSE(0.5), PROTOCOLS["paper"])
    assert torch.allclose(paper.encoder.state_dict()[name], straight)
    _, honest = mixed(ends, "wise_ft", WiSE(0.5))
    batch = data.batch(FOLD.train)
    with torch.no_grad():
        before_norm = honest.encoder.blocks[0].convolution(honest.encoder.embed(batch).atoms, batch.hop, batch)
    assert torch.allclose(honest.encoder.state_dict()[name], before_norm.mean(0), atol=1e-5)


def test_re_estimated_statistics_are_the_means_of_the_batches_and_momentum_stays(ends):
    _, tuned, data = ends
    model = copy.deepcopy(tuned)
    batchnorm.estimate_all(model.encoder, model.evaluation_batches(data, FOLD.train))
    assert {block.norm.momentum for block in model.encoder.blocks} == {0.1}
    first = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
    batchnorm.estimate_all(model.encoder, model.evaluation_batches(data, FOLD.train))
    assert all(torch.equal(first[name], tensor) for name, tensor in model.encoder.state_dict().items())


def test_a_sample_for_batchnorm_is_drawn_from_all_training_molecules():
    train = np.arange(100, 5100)
    drawn = [batchnorm.sample(train, seed) for seed in (0, 0, 1)]
    assert [len(np.unique(one)) for one in drawn] == [batchnorm.SAMPLE] * 3
    assert np.isin(drawn[0], train).all()
    assert np.array_equal(drawn[0], drawn[1])
    assert not set(drawn[0]) <= set(drawn[2])
    # A file may be sorted: the mean position of 512 of 5,000 is that of all within four standard errors.
    assert drawn[0].mean() == pytest.approx(train.mean(), abs=4 * train.std() / np.sqrt(batchnorm.SAMPLE))
    assert sorted(batchnorm.sample(train[:40], 0)) == train[:40].tolist()


def test_the_statistics_are_estimated_anew_where_some_blocks_alone_are_theta_fts(ends):
    # A coefficient of 1 in the upper blocks: what reaches them has changed all the same.
    encoder, tuned, data = ends
    model, theta_0 = copy.deepcopy(tuned), encoder.state_dict()
    theta = {name: tensor.clone() for name, tensor in tuned.encoder.state_dict().items()}
    alpha = {name: 1.0 if name.startswith("blocks") else 0.5 for name in theta}
    sample = batchnorm.sample(FOLD.train, 0)
    put(model, theta_0, theta, alpha, model.evaluation_batches(data, sample))
    again = copy.deepcopy(model)
    batchnorm.estimate_all(again.encoder, again.evaluation_batches(data, sample))
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert not torch.allclose(model.encoder.blocks[0].norm.running_mean, theta["blocks.0.norm.running_mean"])


@pytest.mark.parametrize(("beyond", "end"), [(1.5, "theta"), (-0.5, "theta_0")])
def test_batchnorms_statistics_stay_at_the_end_that_a_coefficient_goes_beyond(beyond, end):
    names = ("norm.weight", "norm.running_mean", "norm.running_var")
    theta_0 = {name: torch.tensor([1.0]) for name in names}
    theta = {name: torch.tensor([3.0]) for name in names}
    found = interpolate(theta_0, theta, dict.fromkeys(names, beyond))
    assert found["norm.weight"].item() == 1 + 2 * beyond
    for name in names[1:]:
        assert torch.equal(found[name], {"theta_0": theta_0, "theta": theta}[end][name])


def test_wise_fts_sweep_holds_both_ends():
    alphas = [setting.alpha for setting in METHODS["wise_ft"].grid(3)]
    assert alphas == pytest.approx(np.linspace(0, 1, 11))
    assert {0.0, 1.0} <= set(alphas)  # to the bit


def test_one_coefficient_is_global_mixing(ends):
    # Without steps, learned mixing with one coefficient is WiSE-FT at its start.
    learned, _ = mixed(ends, "dwise_ft", DWiSE(0.4, "global"), replace(PROTOCOLS["honest"], mixing_steps=0))
    swept, _ = mixed(ends, "wise_ft", WiSE(0.4))
    assert np.array_equal(learned.test, swept.test)


@pytest.mark.parametrize("granularity", ["global", "block", "parameter"])
def test_learned_coefficients_stay_between_the_ends_in_honest(ends, granularity):
    encoder, tuned, _ = ends
    result, model = mixed(ends, "dwise_ft", DWiSE(0.5, granularity))
    assert all(0 <= alpha <= 1 for alpha in result.coefficients.values())
    assert torch.equal(model.head.weight, tuned.head.weight)
    if granularity == "block":
        assert list(result.coefficients) == list(encoder.parts)
        for name, parameter in model.encoder.named_parameters():
            alpha = result.coefficients[".".join(name.split(".")[:2]) if name.startswith("blocks") else "embed"]
            expected = (1 - alpha) * encoder.state_dict()[name] + alpha * tuned.encoder.state_dict()[name]
            assert torch.allclose(parameter, expected, atol=1e-6)


@pytest.mark.parametrize("published", [False, True], ids=["honest", "paper"])
def test_learning_sees_validation_labels_only(ends, published):
    protocol = paper(mixing_steps=12, mixing_rate=0.1) if published else PROTOCOLS["honest"]
    result, _ = mixed(ends, "dwise_ft", DWiSE(0.5), protocol)
    encoder, tuned, _ = ends
    blind = corpus()
    blind.labels[np.concatenate([FOLD.train, FOLD.test])] = np.nan
    again, _ = mixed((encoder, tuned, blind), "dwise_ft", DWiSE(0.5), protocol)
    assert again.coefficients == result.coefficients
    changed = corpus()
    changed.labels[FOLD.valid] += 1
    other, _ = mixed((encoder, tuned, changed), "dwise_ft", DWiSE(0.5), protocol)
    assert other.coefficients != result.coefficients or other.steps != result.steps


def test_in_honest_a_validation_prediction_comes_from_coefficients_that_did_not_see_its_label(ends):
    data = ends[2]
    result, _ = mixed(ends, "dwise_ft", DWiSE(0.5))
    in_sample = metrics.loss("regression", data.labels[FOLD.valid], result.valid)
    assert np.isfinite(in_sample)
    # The start is a candidate, so the cross-fitted loss is never worse than the start's.
    still, _ = mixed(ends, "wise_ft", WiSE(0.5))
    stuck, _ = mixed(ends, "dwise_ft", DWiSE(0.5), replace(PROTOCOLS["honest"], mixing_steps=0))
    assert in_sample <= metrics.loss("regression", data.labels[FOLD.valid], stuck.valid) + 1e-9
    assert np.array_equal(stuck.test, still.test)


def test_in_honest_each_validation_prediction_is_of_the_path_that_only_watched_it(ends, monkeypatch):
    # A path that predicts what it was fitted on: the mean label of the other folds.
    def descend(self, start, fitted, watched):
        labels = self.graphs.labels
        mean = np.full((len(watched), 1), labels[fitted].mean(), np.float32)
        for _ in itertools.count():
            yield dict.fromkeys(self.names, start), np.concatenate([labels[fitted], mean])

    monkeypatch.setattr(_Learner, "_descend", descend)
    result, _ = mixed(ends, "dwise_ft", DWiSE(0.5))
    found, labels = result.valid[:, 0], ends[2].labels[FOLD.valid, 0]
    assert len(set(found.tolist())) == interpolation.FOLDS
    for value in set(found.tolist()):
        assert value == pytest.approx(labels[found != value].mean(), rel=1e-6)


def test_coefficients_do_not_see_the_labels_of_the_molecules_that_are_only_watched(ends):
    encoder, tuned, data = ends
    changed = corpus()
    changed.labels[FOLD.valid[4:]] += 5
    paths = []
    for graphs in (data, changed):
        model, theta_0 = copy.deepcopy(tuned), encoder.state_dict()
        theta = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
        how = METHODS["dwise_ft"].mixing
        groups = groups_of(model.encoder, how, DWiSE(0.5))
        fit = Fit(METHODS["dwise_ft"], DWiSE(0.5), graphs, FOLD, TASK, PROTOCOLS["honest"])
        learner = _Learner(model, theta_0, theta, groups, fit)
        steps = learner._descend(0.5, FOLD.valid[:4], FOLD.valid[4:])
        paths.append([alpha for alpha, _ in itertools.islice(steps, 6)])
    assert paths[0] == paths[1]
    assert paths[0][0] != paths[0][-1]


def test_the_path_of_coefficients_does_not_depend_on_how_molecules_are_batched(ends, monkeypatch):
    # Batches of three: a full one, one with one label, and one of watched molecules alone.
    encoder, tuned, data = ends
    paths = []
    for size in (interpolation.EVALUATION_BATCH, 3):
        monkeypatch.setattr(interpolation, "EVALUATION_BATCH", size)
        model, theta_0 = copy.deepcopy(tuned), encoder.state_dict()
        theta = {name: tensor.clone() for name, tensor in model.encoder.state_dict().items()}
        groups = groups_of(model.encoder, METHODS["dwise_ft"].mixing, DWiSE(0.5))
        fit = Fit(METHODS["dwise_ft"], DWiSE(0.5), data, FOLD, TASK, PROTOCOLS["honest"])
        learner = _Learner(model, theta_0, theta, groups, fit)
        steps = learner._descend(0.5, FOLD.valid[:4], FOLD.valid[4:])
        path = [[*alpha.values()] for alpha, _ in itertools.islice(steps, 12)]
        paths.append(np.array(path))
    assert paths[0] == pytest.approx(paths[1], abs=1e-3)
    assert np.ptp(paths[0], axis=0).max() > 0.1


def test_in_honest_coefficients_stop_at_the_end_that_labels_lie_beyond(ends):
    encoder, tuned, _ = ends
    beyond, theta_0 = copy.deepcopy(tuned), encoder.state_dict()
    theta = {name: tensor.clone() for name, tensor in tuned.encoder.state_dict().items()}
    data = corpus()
    norm_batches = beyond.evaluation_batches(data, batchnorm.sample(FOLD.train, 0))
    put(beyond, theta_0, theta, dict.fromkeys(theta, 1.6), norm_batches)
    data.labels[FOLD.valid] = beyond.predict(data, FOLD.valid)
    result, _ = mixed((encoder, tuned, data), "dwise_ft", DWiSE(0.8, "global"))
    assert result.steps > 2
    assert result.coefficients == {"encoder": 1.0}


def test_the_search_for_the_number_of_steps_ends_where_more_do_not_help(ends, monkeypatch):
    taken = []

    def descend(self, start, fitted, watched):
        for step in itertools.count():
            taken.append(step)
            yield (
                dict.fromkeys(self.names, start),
                self.graphs.labels[np.concatenate([fitted, watched])] + abs(step - 3),
            )

    monkeypatch.setattr(_Learner, "_descend", descend)
    result, _ = mixed(ends, "dwise_ft", DWiSE(0.5))
    assert result.steps == 3
    assert max(taken) == 3 + PATIENCE


@pytest.mark.parametrize(("right", "start"), [(0.9, 0.5), (0.2, 0.6)])
def test_learning_finds_the_mixture_that_made_the_labels(ends, right, start):
    encoder, tuned, _ = ends
    made, _ = mixed(ends, "wise_ft", WiSE(right))
    data = corpus()
    data.labels[FOLD.valid] = made.valid
    result, _ = mixed((encoder, tuned, data), "dwise_ft", DWiSE(start, "global"))
    assert result.coefficients["encoder"] == pytest.approx(right, abs=0.1)


def test_the_gradient_of_alpha_runs_through_the_statistics_of_batchnorm():
    # A scale before BatchNorm changes nothing, so its derivative must vanish; with fixed statistics it would not.
    x, cotangent = torch.randn(50, 4), torch.randn(50, 4)
    norm = Norm(4).eval()
    norm.reference = {50: 30}
    scale = torch.tensor(1.5, requires_grad=True)
    (norm(scale * x) * cotangent).sum().backward()
    assert abs(scale.grad.item()) < 1e-3
    reference = x[:30] * 1.5
    expected = (1.5 * x - reference.mean(0)) / (reference.var(0) + norm.eps).sqrt()
    assert torch.allclose(norm(1.5 * x), expected, atol=1e-5)


def test_batchnorm_of_one_row_in_training_is_by_its_running_statistics():
    """One row has no variance: a batch of methane alone. It leaves the statistics as they are."""
    norm = Norm(4).train()
    norm.running_mean.fill_(1.0)
    x = torch.randn(1, 4, requires_grad=True)
    for counts in (None, torch.ones(1)):
        found = norm(x, counts)
        assert torch.allclose(found, (x - 1) / (1 + norm.eps) ** 0.5)
    found.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert norm.running_mean.tolist() == [1.0] * 4
    assert norm.num_batches_tracked == 0


def test_batchnorm_of_other_rows_keeps_its_running_statistics():
    norm = Norm(4, affine=False).eval()
    norm.reference = {50: 30, 20: 1}
    for rows in (40, 20):  # unknown, and with too few that lend
        x = torch.randn(rows, 4) + 3
        assert torch.allclose(norm(x), x / (1 + norm.eps) ** 0.5)
    x = torch.randn(50, 4, 6) + 3  # padded molecules: statistics over rows and places
    lent = norm(x)[:30]
    assert torch.allclose(lent.mean((0, 2)), torch.zeros(4), atol=1e-5)
    assert torch.allclose(lent.var((0, 2)), torch.ones(4), atol=1e-3)


def test_in_paper_coefficients_may_leave_the_ends_without_breaking_batchnorm(ends):
    result, model = mixed(ends, "dwise_ft", DWiSE(0.9), PROTOCOLS["paper"])
    assert result.steps >= 1
    assert np.isfinite(result.test).all()
    assert all((block.norm.running_var >= 0).all() for block in model.encoder.blocks)


def paper(**changes):
    return replace(PROTOCOLS["paper"], **changes)


def learned(ends, protocol, start=0.5):
    return mixed(ends, "dwise_ft", DWiSE(start), protocol)


def test_in_paper_coefficients_are_trained_in_epochs_of_shuffled_batches_in_training_mode(ends, monkeypatch):
    steps = []
    loss = interpolation.task_loss

    def watched(output, labels, kind, *, root=False):
        steps.append((labels.flatten().tolist(), root))
        return loss(output, labels, kind, root=root)

    monkeypatch.setattr(interpolation, "task_loss", watched)
    result, _ = learned(ends, paper(mixing_steps=4, mixing_batch=3))
    assert [len(labels) for labels, _ in steps] == [3, 2, 2] * 4
    assert all(root for _, root in steps)
    epochs = [[y for labels, _ in steps[3 * e : 3 * e + 3] for y in labels] for e in range(4)]
    scaled = (torch.from_numpy(ends[2].labels[FOLD.valid]) - ends[1].shift) / ends[1].scale
    assert all(sorted(epoch) == sorted(scaled.flatten().tolist()) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    # Adam's first steps are as long as its rate: at most three an epoch.
    assert all(0 < abs(alpha - 0.5) <= 0.001 * 3 * result.steps * 1.01 for alpha in result.coefficients.values())
    how = PROTOCOLS["paper"]
    assert (how.mixing_steps, how.mixing_batch, how.mixing_rate) == (200, 32, 1e-3)


def test_in_paper_coefficients_are_trained_with_dropout(ends):
    _, tuned, data = ends
    without = copy.deepcopy(tuned)
    for block in without.encoder.blocks:
        block.dropout = 0.0
    one, two = (learned((ends[0], model, data), paper(mixing_steps=5))[0] for model in (tuned, without))
    assert one.coefficients != two.coefficients


def test_in_paper_batchnorms_statistics_start_at_theta_fts_and_drift(ends):
    encoder, tuned, data = ends
    still = copy.deepcopy(tuned)
    for block in still.encoder.blocks:
        block.dropout = 0.0
    _, model = learned((encoder, still, data), paper(mixing_steps=1, mixing_rate=0.0))
    by_hand = copy.deepcopy(still)
    with torch.no_grad():
        for theta, theta_0 in zip(by_hand.encoder.parameters(), encoder.parameters(), strict=True):
            theta.lerp_(theta_0, 0.5)
        by_hand.train()
        by_hand(data.batch(FOLD.valid))
    found, start = model.encoder.state_dict(), tuned.encoder.state_dict()
    for name, tensor in by_hand.encoder.state_dict().items():
        assert torch.allclose(found[name], tensor, atol=1e-5), name
        assert name.startswith("embed") or not torch.equal(found[name], start[name])


def test_in_paper_the_best_epochs_weights_and_statistics_are_kept(ends):
    encoder, tuned, data = ends
    result, model = learned(ends, paper(mixing_steps=12, mixing_rate=0.1))
    again, until = learned(ends, paper(mixing_steps=result.steps, mixing_rate=0.1))
    assert again.steps == result.steps
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), until.state_dict().values(), strict=True))
    assert np.array_equal(result.valid, model.predict(data, FOLD.valid))
    assert torch.equal(model.head.weight, tuned.head.weight)
    for name, theta in model.encoder.named_parameters():
        alpha = result.coefficients[encoder.part_of(name)]
        straight = (1 - alpha) * encoder.state_dict()[name] + alpha * tuned.encoder.state_dict()[name]
        assert torch.allclose(theta, straight, atol=1e-5)
