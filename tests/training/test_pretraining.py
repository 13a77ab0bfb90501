import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from roftmol.core.errors import UserError
from roftmol.encoders.checkpoints import convert
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.features.vocabulary import MASKED_ELEMENT
from roftmol.training.pretraining import (
    AttributeMasking,
    Distillation,
    GraphMAE,
    PretrainSettings,
    Supervised,
    loop,
    pretrain,
)
from roftmol.training.pretraining.distillation import CLIP, USUAL_ATOMS, mean_over_blocks, standardised
from roftmol.training.pretraining.graphmae import Decoder, scaled_cosine_error
from roftmol.training.pretraining.supervised import mean_absolute_error
from small_dataset import SMILES

TINY = PretrainSettings(
    Architecture("gin", 2, 16), epochs=3, batch_size=6, warmup_steps=2, held_out=6, save_every=1, learning_rate=3e-3
)
NONE = np.zeros((len(SMILES), 0), np.float32)
#: Two properties, the second known of two molecules in three.
PROPERTIES = np.array([[len(s), np.nan if i % 3 == 0 else s.count("C")] for i, s in enumerate(SMILES)], np.float32)


def test_tokens_tell_environments_apart():
    graphs, tokens = AttributeMasking().prepare(["CCO", "CCN", "c1ccccc1", "OCC"], NONE[:4], 1)
    assert tokens.shape == (len(graphs.atoms), 2)
    ethanol, amine, benzene, reversed_ethanol = (
        tokens[first:last] for first, last in zip(graphs.offsets[:-1], graphs.offsets[1:], strict=True)
    )
    assert (benzene == benzene[0]).all()  # every atom alike
    assert ethanol.tolist() == reversed_ethanol[::-1].tolist()  # the order of atoms does not matter
    assert ethanol[1, 0] == amine[1, 0]  # the same CH2 by itself ...
    assert ethanol[1, 1] != amine[1, 1]  # ... but not with its neighbours
    assert ethanol[0, 0] != ethanol[1, 0]  # CH3 and CH2


def test_rare_environments_share_the_last_token():
    _, tokens = AttributeMasking(vocabulary=3).prepare(SMILES, NONE, 1)
    assert set(np.unique(tokens)) == {0, 1, 2}


def test_corruption_hides_most_of_the_chosen_and_nothing_else():
    graphs, _ = AttributeMasking().prepare(SMILES * 20, NONE, 1)
    batch = graphs.batch(range(len(graphs)))
    chosen, corrupted = AttributeMasking().corrupt(batch, np.random.default_rng(0))
    assert len(chosen) == round(0.25 * len(batch.atoms))
    rest = np.setdiff1d(np.arange(len(batch.atoms)), chosen)
    assert torch.equal(corrupted.atoms[rest], batch.atoms[rest])
    masked = (corrupted.atoms[chosen, 0] == MASKED_ELEMENT).double().mean().item()
    assert masked == pytest.approx(0.8, abs=0.05)
    assert (corrupted.atoms[chosen][corrupted.atoms[chosen, 0] == MASKED_ELEMENT, 1] == 0).all()
    assert not (batch.atoms[:, 0] == MASKED_ELEMENT).any()


def test_the_loss_is_the_cross_entropy_of_both_radii():
    objective = AttributeMasking(vocabulary=50)
    graphs, tokens = objective.prepare(SMILES, NONE, 1)
    encoder = GNN(Architecture("gin", 2, 16), 0.0)
    decoder = objective.decoder(16, 0)
    with torch.no_grad():
        for head in decoder:
            head.weight.zero_()
            head.bias.zero_()
    batch = graphs.batch(range(len(graphs)))
    loss = objective.loss(encoder, decoder, batch, torch.from_numpy(tokens), np.random.default_rng(0))
    assert loss.item() == pytest.approx(2 * np.log(50), rel=1e-5)


@pytest.mark.parametrize(
    ("objective", "labels"),
    [
        (AttributeMasking(vocabulary=64), NONE),
        (GraphMAE(), NONE),
        (Supervised(), PROPERTIES),
        (Distillation((1, 1)), PROPERTIES),
    ],
    ids=lambda given: type(given).__name__,
)
def test_pretraining_learns_keeps_the_best_and_can_be_loaded(objective, labels, tmp_path):
    curve = pretrain(objective, TINY, SMILES, labels, tmp_path / "state", tmp_path / "w.safetensors")
    assert [point["epoch"] for point in curve] == [1, 2, 3]
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]
    assert all(point["molecules_per_second"] > 0 for point in curve)
    convert(tmp_path / "w.safetensors", asdict(TINY.architecture), tmp_path / "e.safetensors", name="tiny")


def test_scaled_cosine_error_by_hand():
    x = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    y = torch.tensor([[3.0, 4.0], [0.0, 0.5]])  # cosines 0.6 and 1
    assert scaled_cosine_error(x, y, 2.0).item() == pytest.approx(0.4**2 / 2, rel=1e-5)


def test_graphmae_decodes_a_masked_atom_from_the_others_alone():
    graphs, elements = GraphMAE().prepare(["CCO", "c1ccncc1"], NONE[:2], 1)
    assert elements.tolist() == [5, 5, 7, 5, 5, 5, 6, 5, 5]
    batch = graphs.batch([0, 1])
    torch.manual_seed(0)
    decoder, Z, masked = Decoder(8), torch.randn(9, 8), torch.tensor([2, 6])
    with torch.no_grad():
        first = decoder(Z, masked, batch)
        Z[masked] += 1
        assert torch.equal(decoder(Z, masked, batch), first)
        Z[1] += 1  # a neighbour of atom 2 only
        again = decoder(Z, masked, batch)
    assert not torch.equal(again[0], first[0])
    assert torch.equal(again[1], first[1])


def test_graphmae_hides_the_elements_that_it_asks_for():
    objective, encoder = GraphMAE(masked=1.0), GNN(Architecture("gin", 2, 16), 0.0)
    seen = []
    encoder.embed.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].atoms))
    graphs, elements = objective.prepare(SMILES, NONE, 1)
    batch = graphs.batch(range(len(graphs)))
    loss = objective.loss(
        encoder, objective.decoder(16, 0), batch, torch.from_numpy(elements), np.random.default_rng(0)
    )
    assert (seen[0] == torch.tensor([MASKED_ELEMENT, 0])).all()
    assert 0 < loss.item() < 4


def test_the_supervised_error_is_a_mean_over_tasks_of_means_over_labels():
    missing = float("nan")
    predicted = torch.tensor([[1.0, 5.0, 9.0], [2.0, 5.0, 9.0]], requires_grad=True)
    targets = torch.tensor([[0.0, missing, missing], [4.0, 1.0, missing]])
    error = mean_absolute_error(predicted, targets)
    assert error.item() == pytest.approx(((1 + 2) / 2 + 4) / 2)  # the third task has no label and no share
    error.backward()
    assert predicted.grad.tolist() == [[0.25, 0.0, 0.0], [-0.25, 0.5, 0.0]]


def test_supervised_targets_are_standardised_task_by_task():
    _, targets = Supervised().prepare(SMILES, PROPERTIES, 1)
    assert np.isnan(targets).tolist() == np.isnan(PROPERTIES).tolist()
    assert np.nanmean(targets, 0) == pytest.approx([0, 0], abs=1e-6)
    assert np.nanstd(targets, 0) == pytest.approx([1, 1], abs=1e-6)


@pytest.mark.parametrize(("labels", "message"), [(NONE, "no labels"), (PROPERTIES * [1, 0], r"the tasks \[1\]")])
def test_supervised_pretraining_without_anything_to_learn_is_refused(labels, message):
    with pytest.raises(UserError, match=message):
        Supervised().prepare(SMILES, labels.astype(np.float32), 1)


class KilledError(Exception):
    pass


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    objective = AttributeMasking(vocabulary=64)
    whole = pretrain(objective, TINY, SMILES, NONE, tmp_path / "state", tmp_path / "whole.safetensors")
    steps = 0
    loss = AttributeMasking.loss

    def dying(self, *arguments):
        nonlocal steps
        steps += 1
        if steps == 6:  # in the middle of the second epoch
            raise KilledError
        return loss(self, *arguments)

    monkeypatch.setattr(AttributeMasking, "loss", dying)
    with pytest.raises(KilledError):
        pretrain(objective, TINY, SMILES, NONE, tmp_path / "state2", tmp_path / "resumed.safetensors")
    monkeypatch.undo()
    resumed = pretrain(objective, TINY, SMILES, NONE, tmp_path / "state2", tmp_path / "resumed.safetensors")
    strip = [{k: v for k, v in point.items() if k != "molecules_per_second"} for point in (*whole, *resumed)]
    assert strip[:3] == strip[3:]
    one, two = load_file(tmp_path / "whole.safetensors"), load_file(tmp_path / "resumed.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_state_of_other_settings_is_not_continued(tmp_path):
    pretrain(AttributeMasking(vocabulary=64), TINY, SMILES, NONE, tmp_path / "state", tmp_path / "w.safetensors")
    curve = pretrain(
        AttributeMasking(vocabulary=32), TINY, SMILES, NONE, tmp_path / "state", tmp_path / "w.safetensors"
    )
    assert len(curve) == 3
    assert json.dumps(curve)


def test_a_state_of_other_labels_is_not_continued(tmp_path):
    pretrain(Supervised(), TINY, SMILES, PROPERTIES, tmp_path / "state", tmp_path / "one.safetensors")
    pretrain(Supervised(), TINY, SMILES, -PROPERTIES[:, ::-1], tmp_path / "state", tmp_path / "two.safetensors")
    one, two = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "two.safetensors")
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_the_distillation_error_is_a_mean_over_blocks_of_hubers():
    missing = float("nan")
    predicted = torch.tensor([[1.0, 5.0, 9.0, 2.0], [0.5, 5.0, 9.0, 2.0]], requires_grad=True)
    targets = torch.tensor([[0.0, 2.0, missing, missing], [0.0, missing, missing, missing]])
    error = mean_over_blocks(predicted, targets, (1, 2, 1))
    # Block 1: (0.5 + 0.125) / 2; block 2: 3 - 0.5, of the one that is defined; block 3 has none.
    assert error.item() == pytest.approx((0.3125 + 2.5 + 0) / 3)
    error.backward()
    assert predicted.grad.tolist() == [
        [pytest.approx(1 / 6), pytest.approx(1 / 3), 0.0, 0.0],
        [pytest.approx(0.5 / 6), 0.0, 0.0, 0.0],
    ]


def test_targets_of_a_distillation_are_standardised_column_by_column_and_clipped():
    rng = np.random.default_rng(0)
    labels = rng.normal(100, 7, (500, 200)).astype(np.float16)  # more columns than are read at a time
    labels[0, 150] = np.nan
    labels[1, 151] = np.inf
    labels[2, 152] = 30000
    labels[:, 153] = 4.0
    targets = standardised(labels)
    rest = targets[:, :150].astype(np.float64)
    assert rest.mean(0) == pytest.approx(0, abs=0.01)
    assert rest.std(0) == pytest.approx(1, abs=0.01)
    assert np.flatnonzero(np.isnan(targets).any(0)).tolist() == [150, 151, 153]
    assert np.isnan(targets[:, [150, 151]]).sum(0).tolist() == [1, 1]
    assert np.isnan(targets[:, 153]).all()
    assert targets[2, 152] == CLIP


def test_the_student_is_read_pooled_and_summed():
    objective, encoder = Distillation((2,)), GNN(Architecture("gin", 2, 16), 0.0).eval()
    graphs, _ = objective.prepare(SMILES, PROPERTIES, 1)
    decoder = objective.decoder(16, 2)
    batch = graphs.batch(range(len(graphs)))
    pooled = encoder(batch)
    expected = decoder(torch.cat([pooled, pooled * batch.sizes[:, None] / USUAL_ATOMS], 1))  # GIN pools by the mean
    assert objective.loss(encoder, decoder, batch, expected.detach(), np.random.default_rng(0)).item() < 1e-9
    other = torch.full_like(expected, 3.0)
    loss = objective.loss(encoder, decoder, batch, other, np.random.default_rng(0))
    assert loss.item() == pytest.approx(torch.nn.functional.smooth_l1_loss(expected, other).item(), rel=1e-5)


@pytest.mark.parametrize(
    ("blocks", "labels", "message"),
    [((), NONE, "no targets; name the recipe's `teacher`"), ((1, 3), PROPERTIES, "2 columns and the blocks 1 [+] 3")],
)
def test_a_distillation_without_its_targets_is_refused(blocks, labels, message):
    with pytest.raises(UserError, match=message):
        Distillation(blocks).prepare(SMILES, labels, 1)


@pytest.mark.parametrize("objective", [Supervised(), Distillation()], ids=lambda given: type(given).__name__)
def test_atoms_that_share_a_row_teach_the_same(objective):
    assert objective.merges
    graphs, targets = objective.prepare(SMILES, PROPERTIES, 1)
    encoder = GNN(Architecture("gin", 3, 16), 0.0).train()
    decoder = objective.decoder(16, 2)
    weights = [*encoder.parameters(), *decoder.parameters()]
    taught = []
    for merged in (range(0), encoder.merged()):
        batch = graphs.batch(range(len(graphs)), merged)
        loss = objective.loss(encoder, decoder, batch, torch.from_numpy(targets), np.random.default_rng(0))
        taught.append((loss.item(), torch.autograd.grad(loss, weights)))
    assert encoder.merged() == range(3)
    assert taught[0][0] == pytest.approx(taught[1][0], rel=1e-5)
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(taught[0][1], taught[1][1], strict=True))


def test_it_goes_on_from_a_checkpoint_and_from_no_other_architecture(tmp_path):
    architecture = asdict(TINY.architecture)
    pretrain(Supervised(), TINY, SMILES, PROPERTIES, tmp_path / "state", tmp_path / "w.safetensors")
    start = tmp_path / "start.safetensors"
    convert(tmp_path / "w.safetensors", architecture, start, name="start")
    still = replace(TINY, epochs=1, learning_rate=0.0)
    pretrain(Distillation(), still, SMILES, PROPERTIES, tmp_path / "s", tmp_path / "still.safetensors", start=start)
    one, two = load_file(tmp_path / "w.safetensors"), load_file(tmp_path / "still.safetensors")
    assert all(torch.equal(one[name], two[name]) for name in one if "running" not in name and "batches" not in name)
    other = replace(TINY, architecture=Architecture("gin", 3, 16))
    with pytest.raises(UserError, match=r"'layers': 2.*'layers': 3"):
        pretrain(Distillation(), other, SMILES, PROPERTIES, tmp_path / "s", tmp_path / "o.safetensors", start=start)


def test_the_rate_rises_and_falls():
    settings = PretrainSettings(epochs=2, warmup_steps=10)
    rates = [loop._rate(step, settings, 50) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[10], abs=0.03)
    assert rates[-1] < 0.001
