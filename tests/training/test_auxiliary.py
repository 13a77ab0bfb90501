"""Second tasks: what alternates with what, from which start, on which molecules; and rates by layer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from torch import Tensor

import golden
from atoms_in_space import FOLD as SPATIAL_FOLD
from atoms_in_space import SMILES as SPATIAL
from atoms_in_space import conformers, geometry, molecules
from roftmol.core.errors import UserError
from roftmol.data import corpora
from roftmol.encoders.base import Encoder
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.encoders.minimol import MiniMol
from roftmol.encoders.so3lr import So3lr
from roftmol.features import featurize
from roftmol.features.graphs import Graphs
from roftmol.methods import METHODS
from roftmol.methods.base import Method
from roftmol.methods.protocols import PROTOCOLS
from roftmol.tables import schemas
from roftmol.training import loop
from roftmol.training.auxiliary import tasks
from roftmol.training.auxiliary.base import AuxiliaryTask
from roftmol.training.auxiliary.force_field import (
    BATCH,
    CLIP,
    ForceField,
    Labels,
    Probe,
    aligned,
    composition,
    labelled_by,
)
from roftmol.training.auxiliary.pretraining import OBJECTIVES, Pretraining
from roftmol.training.fit import DivergedError, Fit, Fold, Task, TrainSettings
from roftmol.training.forward import Adam
from roftmol.training.loop import train
from roftmol.training.model import Model, new_model

SMILES = ["CCO", "c1ccccc1O", "CC(=O)N", "FC(F)CN", "CSCC(=O)O", "C#CC", "CC(C)CCl", "CCN", "c1ccncc1", "CC(=O)OC"]
TASK = Task("regression", "rmse")
HONEST = PROTOCOLS["honest"]
FOLD = Fold(np.arange(7), np.arange(7, 9), np.arange(9, 10))


def flat() -> tuple[Encoder, Graphs]:
    labels = np.linspace(-1, 1, len(SMILES)).astype(np.float32)[:, None]
    return golden.shipped(), featurize.from_smiles(SMILES, labels)


@dataclass
class Counted:
    """A second task that pulls the weights nowhere and says when it was asked."""

    steps: list[float] = field(default_factory=list)
    clip: float = float("inf")
    extra: list[Tensor] = field(default_factory=list)
    value: float = 0.0

    def on(self, start: Encoder) -> Counted:
        self.encoder = start
        return self

    def train(self) -> None:
        """Nothing of its own trains."""

    def loss(self, progress: float, _rng: np.random.Generator) -> Tensor:
        self.steps.append(progress)
        return sum(theta.sum() for theta in self.encoder.parameters()) * 0 + self.value


def fitted(
    start: Encoder,
    data: Graphs,
    name: str,
    setting: dict,
    auxiliary: AuxiliaryTask | None = None,
    epochs: int = 3,
    fold: Fold = FOLD,
    protocol: str = "honest",
) -> Model:
    method, how = METHODS[name], PROTOCOLS[protocol]
    training = TrainSettings(epochs, batch_size=2, dropout=0.5)
    fit = Fit(method, method.parse(setting), data, fold, TASK, how, training, auxiliary=auxiliary)
    model = new_model(start, fit)
    train(model, fit)
    return model


def equal(one: Model, other: Model) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("name", ["mft", "mft_same_steps"])
def test_without_second_steps_it_is_full_ft_to_the_bit(name: str):
    start, data = flat()
    task = Counted()
    assert equal(fitted(start, data, name, {"probability": 0.0}, task), fitted(start, data, "full_ft", {}))
    assert not task.steps


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("name", ["mft", "mft_same_steps"])
def test_without_second_steps_it_is_full_ft_to_the_bit_in_space(so3lr: So3lr, name: str, protocol: str):
    data, fold = molecules(), SPATIAL_FOLD
    task = ForceField(labelled_by(so3lr, data))
    one = fitted(so3lr, data, name, {"probability": 0.0}, task, 1, fold, protocol)
    assert equal(one, fitted(so3lr, data, "full_ft", {}, None, 1, fold, protocol))
    other = fitted(so3lr, data, name, {"probability": 0.8}, task, 1, fold, protocol)
    assert not equal(one, other)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The learning rate and the gradient's norm of every step that is taken, the property's loss made very large."""
    steps: list[tuple[float, float]] = []

    class Watched(Adam):
        def step(self) -> None:
            grads = [theta.grad.flatten() for theta in self.parameters if theta.grad is not None]
            steps.append((self.learning_rate, float(torch.cat(grads).norm())))
            super().step()

    loss = loop.task_loss
    monkeypatch.setattr(loop, "Adam", Watched)
    monkeypatch.setattr(loop, "task_loss", lambda *args, **named: 1e4 * loss(*args, **named))
    return steps


@pytest.mark.parametrize("name", ["full_ft", "mft"])
def test_in_the_paper_protocol_every_step_in_space_is_cut_and_the_rate_falls(
    so3lr: So3lr,
    taken: list[tuple[float, float]],
    name: str,
):
    data, fold, epochs = molecules(), SPATIAL_FOLD, 4
    task = ForceField(labelled_by(so3lr, data)) if name == "mft" else None
    fitted(so3lr, data, name, {}, task, epochs, fold, "paper")
    rates = [1e-3 * 0.01 ** (epoch / epochs) for epoch in range(epochs)]
    assert list(dict.fromkeys(rate for rate, _ in taken)) == pytest.approx(rates)
    assert len(taken) == 3 * epochs if name == "full_ft" else len(taken) > 3 * epochs
    assert all(length <= CLIP * 1.001 for _, length in taken)
    assert sum(length > CLIP * 0.999 for _, length in taken) >= 3 * epochs


def test_in_honest_the_rate_stays_and_forces_alone_are_cut(so3lr: So3lr, taken: list[tuple[float, float]]):
    data, fold = molecules(), SPATIAL_FOLD
    labels = labelled_by(so3lr, data)
    fitted(so3lr, data, "mft", {}, ForceField(replace(labels, forces=labels.forces + 10)), 4, fold)
    assert {rate for rate, _ in taken} == {1e-3}
    assert sum(length > 2 * CLIP for _, length in taken) == 12
    assert sum(length <= CLIP * 1.001 for _, length in taken) == len(taken) - 12 > 0


def test_rates_by_layer_fall_together_in_the_paper_protocol(so3lr: So3lr, taken: list[tuple[float, float]]):
    fitted(so3lr, molecules(), "layerwise_decay", {"decay": 0.5}, None, 2, SPATIAL_FOLD, "paper")
    groups = len(so3lr.parts) + 1
    rates = [rate for rate, _ in taken]
    for epoch in range(2):
        first = rates[3 * groups * epoch :][:groups]
        assert sorted(first) == pytest.approx([1e-3 * 0.1**epoch * 0.5**k for k in range(groups)][::-1])


def test_graphs_keep_their_rate_in_the_paper_protocol(taken: list[tuple[float, float]]):
    start, data = flat()
    fitted(start, data, "mft", {}, Counted(), 3, FOLD, "paper")
    assert {rate for rate, _ in taken} == {1e-3}
    assert max(length for _, length in taken) > 10 * CLIP


def test_steps_come_on_top_or_in_place(monkeypatch: pytest.MonkeyPatch):
    """Of E epochs with B batches: `mft` takes E B steps on the property, `mft_same_steps` E B in all."""
    start, data = GNN(Architecture("gin", 2, 8), 0.0), flat()[1]
    taken: list[int] = []
    loss = loop.task_loss
    monkeypatch.setattr(loop, "task_loss", lambda *args, **named: (taken.append(1), loss(*args, **named))[1])
    epochs, batches = 30, 4
    for name, on_top in (("mft", True), ("mft_same_steps", False)):
        taken.clear()
        task = Counted()
        method = METHODS[name]
        training = TrainSettings(epochs, batch_size=2, patience=99)
        fit = Fit(method, method.parse({}), data, FOLD, TASK, HONEST, training, auxiliary=task)
        train(new_model(start, fit), fit)
        assert len(taken) + (0 if on_top else len(task.steps)) == epochs * batches
        # A binomial, or geometric, number of fair draws: five standard deviations.
        assert abs(len(task.steps) - epochs * batches * (1 if on_top else 0.5)) < 5 * np.sqrt(epochs * batches * 2)
        assert task.steps == sorted(task.steps)
        assert 0 <= task.steps[0] < task.steps[-1] < 1


@pytest.mark.parametrize("name", ["mft", "mft_same_steps"])
@pytest.mark.parametrize("probability", [0.2, 0.8])
def test_each_step_is_on_the_second_task_with_its_probability(
    monkeypatch: pytest.MonkeyPatch, name: str, probability: float
):
    """Of n steps in all, on either task: four standard deviations of a share, sqrt(p (1 - p) / n), are allowed."""
    taken: list[int] = []
    loss = loop.task_loss
    monkeypatch.setattr(loop, "task_loss", lambda *args, **named: (taken.append(1), loss(*args, **named))[1])
    data, task, method = flat()[1], Counted(), METHODS[name]
    start = GNN(Architecture("gin", 2, 8), 0.0)
    training = TrainSettings(60, batch_size=2, patience=99)
    parsed = method.parse({"probability": probability})
    fit = Fit(method, parsed, data, FOLD, TASK, HONEST, training, auxiliary=task)
    train(new_model(start, fit), fit)
    steps = len(taken) + len(task.steps)
    deviation = np.sqrt(probability * (1 - probability) / steps)
    assert abs(len(task.steps) / steps - probability) < 4 * deviation


def test_a_second_loss_that_is_no_number_ends_the_fit():
    start, data = flat()
    with pytest.raises(DivergedError, match="second task"):
        fitted(start, data, "mft", {}, Counted(value=float("nan")))


@pytest.mark.parametrize("probability", [-0.1, 1.0])
def test_a_probability_is_one(probability: float):
    with pytest.raises(UserError, match="from 0 on and below 1"):
        METHODS["mft"].parse({"probability": probability})


def test_the_force_field_is_kept(so3lr: So3lr):
    """The same fit with and without its own forces as second task: with them they drift far less."""
    numbers, positions = conformers()
    rng = np.random.default_rng(0)
    shaken = [p + rng.normal(0, 0.05, p.shape) for p in positions]
    moved = featurize.from_conformers(numbers, shaken, np.zeros((len(numbers), 1), np.float32))
    own = labelled_by(so3lr, moved)
    probe = Probe(own, own)
    assert probe.quantities(so3lr) == {"force_drift": 0.0, "force_error": 0.0}
    data, fold = molecules(), SPATIAL_FOLD
    full = fitted(so3lr, data, "full_ft", {}, None, 12, fold)
    kept = fitted(so3lr, data, "mft", {}, ForceField(own), 12, fold)
    drifts = [probe.quantities(model.encoder)["force_drift"] for model in (full, kept)]
    assert drifts[1] < drifts[0] / 2
    one, two = (fitted(so3lr, data, "mft", {}, ForceField(own), 3, fold) for _ in range(2))
    assert equal(one, two), "two runs differ"
    trained = {name for name, theta in kept.encoder.named_parameters() if theta.requires_grad}
    assert any(name.startswith("force_field.") for name in trained)


def test_the_loss_of_forces_by_hand(so3lr: So3lr):
    data = molecules()
    own = labelled_by(so3lr, data)
    shifted = Labels(data, own.energies + 2.0, own.forces + 0.5)
    for progress, energy, force in ((0.0, 0.2, 100.0), (1.0, 20 + (0.2 - 20) * 0.01, 60 + (100 - 60) * 0.01)):
        loss = ForceField(shifted).on(so3lr).loss(progress, np.random.default_rng(0))
        sizes = np.diff(data.offsets)
        assert len(sizes) <= BATCH
        assert float(loss.detach()) == pytest.approx(energy * (4 / sizes).mean() + force * 0.25, rel=2e-3)
    assert ForceField(own).on(so3lr).clip == CLIP


def test_another_zero_of_energy_is_taken_off(so3lr: So3lr):
    data = molecules()
    own = labelled_by(so3lr, data)
    counts = composition(data)
    assert counts.sum(1).tolist() == np.diff(data.offsets).tolist()
    offsets = np.linspace(-500, 300, counts.shape[1])
    other = replace(own, energies=own.energies + counts @ offsets)
    np.testing.assert_allclose(aligned(other, own).energies, own.energies, atol=1e-6)


def table(count: int = 6) -> pd.DataFrame:
    """Made-up labels of real molecules, two conformers each."""
    rows = []
    for place, smiles in enumerate(SPATIAL[:count]):
        numbers, positions = geometry(smiles)
        for conformer in range(2):
            rows.append(
                {
                    "row": place,
                    "smiles": smiles,
                    "inchikey": Chem.MolToInchiKey(Chem.MolFromSmiles(smiles)),
                    "conformer": conformer,
                    "source": "gfn2",
                    "status": "ok",
                    "reason": "",
                    "numbers": numbers.astype(np.int8),
                    "positions": (positions + 0.01 * conformer).ravel().astype(np.float32),
                    "energy": -100.0 * len(numbers),
                    "forces": np.full(3 * len(numbers), 0.1, np.float32),
                }
            )
    return pd.DataFrame(rows)


def test_the_last_molecules_are_measured_and_not_learnt(so3lr: So3lr, tmp_path: Path):
    rows = table()
    rows.loc[1, ["status", "reason"]] = ["failed", "not converged"]
    schemas.write("force_labels", rows, tmp_path / "forces.parquet")
    found = tasks.read(tmp_path / "forces.parquet", "gfn2", so3lr, 32)
    assert isinstance(found.task, ForceField)
    assert found.probe
    assert len(found.task.labels.conformers) == 9  # five molecules of two conformers, one of which failed
    assert found.probe.molecules == 2
    np.testing.assert_allclose(found.task.labels.forces, 0.1)
    own = tasks.read(tmp_path / "forces.parquet", "self", so3lr, 32)
    assert isinstance(own.task, ForceField)
    np.testing.assert_allclose(own.task.labels.forces, labelled_by(so3lr, own.task.labels.conformers).forces)
    assert found.probe.quantities(so3lr)["force_error"] > 0
    schemas.write("force_labels", rows.assign(source="native"), tmp_path / "native.parquet")
    given = tasks.read(tmp_path / "native.parquet", "native", so3lr, 32)
    assert isinstance(given.task, ForceField)
    np.testing.assert_array_equal(given.task.labels.conformers.labels, found.task.labels.conformers.labels)
    np.testing.assert_array_equal(given.task.labels.forces, found.task.labels.forces)
    assert tasks.read(tmp_path / "forces.parquet", "", so3lr, 32).task is None
    nothing = tasks.read(None, "gfn2", so3lr, 32)
    assert (nothing.task, nothing.probe) == (None, None)


def test_what_cannot_be_a_second_task_is_said(so3lr: So3lr, tmp_path: Path):
    schemas.write("force_labels", table(1), tmp_path / "forces.parquet")
    with pytest.raises(UserError, match="labels of 1 molecules"):
        tasks.read(tmp_path / "forces.parquet", "gfn2", so3lr, 32)
    with pytest.raises(UserError, match="'graphmae' is not for this model; choose one of gfn2, self, native"):
        tasks.read(tmp_path / "forces.parquet", "graphmae", so3lr, 32)
    with pytest.raises(UserError, match="'gfn2' is not for this model"):
        tasks.read(tmp_path / "forces.parquet", "gfn2", golden.shipped(), 32)
    strange = table()
    strange.at[3, "numbers"] = np.array([14, *strange.at[3, "numbers"][1:]], np.int8)
    schemas.write("force_labels", strange, tmp_path / "forces.parquet")
    with pytest.raises(UserError, match=r"has Si; .* are given H, C.*auxiliary\.elements"):
        tasks.read(tmp_path / "forces.parquet", "gfn2", so3lr, 32)
    with pytest.raises(UserError, match="needs an encoder with Hu et al"):
        Pretraining.prepared(OBJECTIVES["attribute_masking"](), SMILES, MiniMol(), 32)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_masking_goes_on(objective: str):
    """The decoder learns first and leaves the encoder alone; then both train, from the same start in every fit."""
    start, data = flat()
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    task = Pretraining.prepared(OBJECTIVES[objective](), SMILES, start, 4)
    assert all(torch.equal(tensor, before[name]) for name, tensor in start.state_dict().items())
    torch.manual_seed(0)
    untrained = task.objective.decoder(start.width, 0)
    losses = [
        float(replace(task, decoder=decoder).loss_of(start.eval(), 8, np.random.default_rng(1)).detach())
        for decoder in (task.decoder, untrained)
    ]
    assert losses[0] < losses[1]
    kept = copy.deepcopy(task.decoder.state_dict())
    one = fitted(start, data, "mft", {}, task, 1)
    assert not equal(one, fitted(start, data, "full_ft", {}, None, 1))
    assert equal(one, fitted(start, data, "mft", {}, task, 1))
    assert all(torch.equal(tensor, kept[name]) for name, tensor in task.decoder.state_dict().items())


def test_molecules_of_data_sets_are_left_out():
    corpus = pd.DataFrame({"canonical": [Chem.CanonSmiles(text) for text in [*SMILES, SMILES[0]]]})
    known = pd.DataFrame({"canonical": [Chem.CanonSmiles("OCC"), Chem.CanonSmiles("NCC")]})
    every = corpora.others(corpus, [known], len(SMILES) - 2)
    assert set(every["smiles"]) == set(corpus["canonical"]) - set(known["canonical"])
    assert corpora.others(corpus, [known], 3)["smiles"].tolist() == every["smiles"].tolist()[:3]
    with pytest.raises(UserError, match="9 molecules are asked for, and the corpus has 8"):
        corpora.others(corpus, [known], 9)


def rates_of(method: Method, setting: dict, start: Encoder) -> Callable[[str], float]:
    assert method.rate
    parsed = method.parse(setting)
    return lambda part: method.rate(parsed, part, start.parts)  # type: ignore[misc]


def test_rates_fall_from_the_head_down():
    start, _ = flat()
    rate = rates_of(METHODS["layerwise_decay"], {"decay": 0.5}, start)
    assert [rate(part) for part in start.parts] == [0.5**6, 0.5**5, 0.5**4, 0.5**3, 0.5**2, 0.5]


def test_a_part_moves_by_its_rate():
    """Adam's first step is the rate in every coordinate with a gradient, whatever the gradient."""
    start, data = flat()
    method = METHODS["layerwise_decay"]
    fold = replace(FOLD, train=np.arange(7))
    training = TrainSettings(1, batch_size=99, learning_rate=1e-3, dropout=0.0)
    fit = Fit(method, method.parse({"decay": 0.5}), data, fold, TASK, HONEST, training)
    model = new_model(start, fit)
    head = model.head.weight.detach().clone()
    train(model, fit)
    before = dict(start.named_parameters())
    moved: dict[str, float] = {}
    for name, theta in model.encoder.named_parameters():
        part = start.part_of(name)
        moved[part] = max(moved.get(part, 0), float((theta - before[name]).detach().abs().max()))
    rate = rates_of(method, {"decay": 0.5}, start)
    assert moved == pytest.approx({part: 1e-3 * rate(part) for part in start.parts}, rel=0.02)
    assert float((model.head.weight - head).detach().abs().max()) == pytest.approx(1e-3, rel=0.02)


def test_a_decay_of_one_is_full_ft():
    start, data = flat()
    one, other = fitted(start, data, "layerwise_decay", {"decay": 1.0}), fitted(start, data, "full_ft", {})
    assert equal(one, other)


def test_steps_stand_for_epochs():
    assert TrainSettings(7).epochs_of(100) == 7
    assert TrainSettings(7, steps=200, batch_size=32).epochs_of(240) == 25
    assert TrainSettings(7, steps=1, batch_size=32).epochs_of(240) == 1


def test_the_same_rows_are_the_same_whoever_asked(tmp_path: Path):
    """Another dataset in the experiment that takes no molecule away must not repeat a single fit."""
    for name, rows, settings in [
        ("a", table(), {"datasets": ["esol"]}),
        ("b", table(), {"datasets": ["esol", "bbbp"]}),
        ("c", table().iloc[1:], {"datasets": ["esol"]}),
    ]:
        schemas.write("force_labels", rows, tmp_path / f"{name}.parquet", settings)
    a, b, c = (schemas.content_digest(tmp_path / f"{name}.parquet") for name in "abc")
    assert a == b != c
