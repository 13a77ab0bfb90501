"""What fits do to the encoder: the measures by hand and on real encoders, and the table of a cell."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import own_models
from cell_jobs import FULL_FT, finetune, interpolate
from roftmol.encoders.checkpoints import load_encoder
from roftmol.encoders.gnn import GNN, Architecture
from roftmol.encoders.kinds import new_encoder
from roftmol.encoders.minimol import MiniMol
from roftmol.features import featurize
from roftmol.methods import METHODS
from roftmol.methods.protocols import PROTOCOLS
from roftmol.tables import schemas
from roftmol.training import encoder_drift
from roftmol.training.cell import folds
from roftmol.training.encoder_drift import Centred, Reference, distances, linear_cka
from roftmol.training.fit import Fit, Fold, Task, TrainSettings
from roftmol.training.forward import pooled
from roftmol.training.loop import train
from roftmol.training.model import new_model
from small_dataset import SMILES, corpus, labels_of_size

FOLD = Fold(np.arange(0, 12), np.arange(12, 19), np.arange(19, 24))
TASK = Task("regression", "rmse")


def gaussian(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def orthonormal(n: int, d: int) -> torch.Tensor:
    """n x d with orthonormal columns whose sums are 0."""
    X = gaussian(n, d)
    return torch.linalg.qr(X - X.mean(0))[0]


# -- linear CKA ------------------------------------------------------------------------------------------------------


def test_cka_is_1_for_the_same_vectors_rotated_scaled_and_shifted():
    X = Centred(gaussian(40, 300))
    rotation = torch.linalg.qr(gaussian(300, 300, 1))[0]
    assert linear_cka(X, X) == pytest.approx(1, abs=1e-12)
    assert linear_cka(X, Centred(3 * gaussian(40, 300) @ rotation + 7)) == pytest.approx(1, abs=1e-10)


def test_cka_of_independent_vectors_is_about_0_where_the_biased_one_is_not():
    found, biased = [], []
    for seed in range(40):
        X, Y = Centred(gaussian(30, 300, 2 * seed)), Centred(gaussian(30, 300, 2 * seed + 1))
        found.append(linear_cka(X, Y))
        biased.append(float((X.gram * Y.gram).sum() / (X.gram.norm() * Y.gram.norm())))
    assert np.mean(biased) > 0.8
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(40)
    assert min(found) < 0 < max(found)


def test_hsic_is_the_mean_over_quadruples():
    """The unbiased estimate is a U-statistic: the mean of its kernel over all ordered quadruples of molecules."""
    X, Y = Centred(gaussian(6, 3)), Centred(gaussian(6, 2, 1))
    K, L = X.gram.numpy(), Y.gram.numpy()
    terms = []
    for i in range(6):
        for j in range(6):
            for q in range(6):
                for r in range(6):
                    if len({i, j, q, r}) == 4:
                        terms.append(K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]))
    assert X.hsic(Y) == pytest.approx(np.mean(terms), rel=1e-10)


def test_cka_is_undefined_for_too_few_or_equal_vectors():
    assert math.isnan(linear_cka(Centred(gaussian(3, 5)), Centred(gaussian(3, 5))))
    same, other = Centred(torch.ones(10, 4)), Centred(gaussian(10, 4))
    assert math.isnan(linear_cka(same, other))
    assert math.isnan(same.effective_rank)


# -- effective rank --------------------------------------------------------------------------------------------------


def test_effective_rank_of_equal_singular_values_is_their_number_and_of_one_direction_1():
    for d in (1, 4, 20):
        assert Centred(orthonormal(30, d)).effective_rank == pytest.approx(d, rel=1e-9)
    line = gaussian(30, 1) @ gaussian(1, 200, 1)
    assert Centred(line + 5).effective_rank == pytest.approx(1, rel=1e-9)
    assert Centred((line + 5).float()).effective_rank == pytest.approx(1, rel=1e-3)


def test_effective_rank_by_hand():
    # Singular values 3, 1: p = 3/4, 1/4.
    X = orthonormal(10, 2) * torch.tensor([3.0, 1.0])
    assert Centred(X).effective_rank == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))


# -- distances and fits ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder() -> GNN:
    torch.manual_seed(0)
    return GNN(Architecture("gin", 3, 16))


def fitted(encoder, method, setting=None, data=None, protocol="honest"):
    data = corpus() if data is None else data
    fit = Fit(METHODS[method], setting, data, FOLD, TASK, PROTOCOLS[protocol], TrainSettings(4, 6))
    model = new_model(encoder, fit)
    train(model, fit)
    return model


def test_distance_by_hand(encoder):
    moved = copy.deepcopy(encoder)
    with torch.no_grad():
        moved.blocks[1].convolution.bond_type.weight.mul_(3)
        moved.blocks[2].norm.running_mean.add_(9)  # a buffer
    found = distances(encoder, moved)
    first = [theta.detach().norm().square() for theta in encoder.blocks[1].parameters()]
    table = encoder.blocks[1].convolution.bond_type.weight.detach().norm()
    assert found["blocks.1"] == pytest.approx(float(2 * table / sum(first).sqrt()), rel=1e-6)
    assert (found["embed"], found["blocks.0"], found["blocks.2"]) == (0, 0, 0)
    whole = sum(theta.detach().norm().square() for theta in encoder.parameters()).sqrt()
    assert found[encoder_drift.ALL] == pytest.approx(float(2 * table / whole), rel=1e-6)
    assert list(found) == [*encoder.parts, encoder_drift.ALL]


@pytest.mark.parametrize(
    ("method", "setting", "moved"),
    [
        ("linear_probing", None, set()),
        ("surgical_ft", {"block": 1}, {"blocks.1"}),
        ("full_ft", None, {"embed", "blocks.0", "blocks.1", "blocks.2"}),
    ],
)
def test_what_a_method_moves(encoder, method, setting, moved):
    parsed = METHODS[method].parse(setting) if setting else None
    found = distances(encoder, fitted(encoder, method, parsed).encoder)
    assert {part for part, value in found.items() if value > 0} - {encoder_drift.ALL} == moved
    assert (found[encoder_drift.ALL] > 0) == bool(moved)


def test_vectors_are_compared_with_the_pretrained_encoders(encoder):
    data = corpus()
    model = fitted(encoder, "full_ft")
    held = model.predict_held_out(data, FOLD)
    rows = Reference(encoder, data).changes(model.encoder, held.vectors, 0, 0, FOLD)
    molecules = np.concatenate([FOLD.valid, FOLD.test])
    before, after = (Centred(pooled(one, data, molecules)) for one in (encoder, model.encoder))
    values = {row.quantity: row.value for row in rows if row.part == encoder_drift.VECTORS}
    assert values["cka"] == pytest.approx(linear_cka(before, after), abs=1e-4)
    assert values["cka"] < 0.999
    assert values["effective_rank"] == pytest.approx(after.effective_rank, rel=1e-3)
    assert values["effective_rank_pretrained"] == pytest.approx(before.effective_rank, rel=1e-3)
    assert {row.molecules for row in rows} == {0, len(molecules)}


def test_an_encoder_that_has_not_moved_has_changed_nothing(encoder, monkeypatch):
    monkeypatch.setattr(encoder_drift, "pooled", None)  # no second pass
    data = corpus()
    model = fitted(encoder, "linear_probing")
    held = model.predict_held_out(data, FOLD)
    rows = Reference(encoder, data).changes(model.encoder, held.vectors, 0, 0, FOLD)
    values = {row.quantity: row.value for row in rows if row.part == encoder_drift.VECTORS}
    assert values["cka"] == pytest.approx(1)
    assert values["effective_rank"] == values["effective_rank_pretrained"] > 1


def test_statistics_that_drift_change_the_vectors_without_a_distance(encoder):
    data = corpus()
    model = fitted(encoder, "linear_probing", protocol="paper")
    held = model.predict_held_out(data, FOLD)
    rows = Reference(encoder, data).changes(model.encoder, held.vectors, 0, 0, FOLD)
    assert all(row.value == 0 for row in rows if row.quantity == "distance")
    assert next(row.value for row in rows if row.quantity == "cka") < 0.999


def test_labels_are_not_read_and_the_molecules_are_the_same_for_every_method(encoder, monkeypatch):
    monkeypatch.setattr(encoder_drift, "MOLECULES", 6)
    seen = []
    monkeypatch.setattr(
        encoder_drift, "pooled", lambda e, g, molecules: seen.append(molecules.tolist()) or pooled(e, g, molecules)
    )
    blind = corpus()
    blind.labels[:] = np.nan
    for name in ("full_ft", "lp_ft"):
        model = fitted(encoder, name)
        held = model.predict_held_out(blind, FOLD)
        rows = Reference(encoder, blind).changes(model.encoder, held.vectors, 3, 0, FOLD)
        assert all(math.isfinite(row.value) for row in rows)
    assert seen[0] == seen[1]
    assert len(seen[0]) == 6
    assert set(seen[0]) <= set(np.concatenate([FOLD.valid, FOLD.test]).tolist())


@pytest.mark.parametrize("name", ["minimol", "dmpnn", *own_models.PARTS])
def test_other_encoders(name, tmp_path):
    """No BatchNorm, steps that share weights, parts of the user's own, weights under two names."""
    torch.manual_seed(0)
    if name == "minimol":
        one, data = MiniMol(), featurize.from_smiles(SMILES, labels_of_size(), name="minimol")
    elif name == "dmpnn":
        one = new_encoder({"kind": "dmpnn", "depth": 3, "width": 16})
        data = featurize.from_smiles(SMILES, labels_of_size(), name="chemprop")
    else:
        code = own_models.code_of(name, tmp_path)
        one = new_encoder(own_models.architecture(name, code))
        data = featurize.from_smiles(SMILES, labels_of_size(), name=str(code))
    model = fitted(one, "surgical_ft", METHODS["surgical_ft"].parse({"block": 1}), data)
    rows = Reference(one, data).changes(model.encoder, model.predict_held_out(data, FOLD).vectors, 0, 0, FOLD)
    moved = {row.part for row in rows if row.quantity == "distance" and row.value > 0}
    assert moved == {"blocks.1", encoder_drift.ALL}
    assert [row.part for row in rows][:-6] == [*one.parts, encoder_drift.ALL]
    assert all(math.isfinite(row.value) for row in rows)


# -- the table of a cell ---------------------------------------------------------------------------------------------


def table(run):
    return schemas.read("changes", run / "changes.parquet")


def test_the_table_of_a_cell(cell):
    full = finetune(cell, FULL_FT)
    found = table(full)
    assert set(found["seed"]) == {0, 1}
    assert found.groupby("seed")["part"].agg(list)[0] == [
        "embed",
        "blocks.0",
        "blocks.1",
        "all",
        *["vectors"] * 3,
        *["atoms"] * 3,
    ]
    settings = replace(FULL_FT, method="wise_ft", grid=({"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0}))
    mixed = table(interpolate(cell, settings, full))
    whole = mixed[(mixed["part"] == "all") & (mixed["seed"] == 1)].set_index("setting")["value"]
    tuned = found[(found["part"] == "all") & (found["seed"] == 1)]["value"].item()
    assert whole['{"alpha":0.0}'] == 0
    assert whole['{"alpha":0.5}'] == pytest.approx(tuned / 2, rel=1e-5)
    assert whole['{"alpha":1.0}'] == pytest.approx(tuned, rel=1e-6)
    ends = mixed[(mixed["setting"] == '{"alpha":1.0}') & (mixed["quantity"] == "cka")].set_index("seed")["value"]
    wanted = found[found["quantity"] == "cka"].set_index("seed")["value"]
    np.testing.assert_allclose(ends, wanted, atol=1e-6)


def test_from_scratch_distances_are_from_its_own_draw_and_vectors_from_the_pretrained_ones(cell):
    found = table(finetune(cell, replace(FULL_FT, method="scratch")))
    tuned = table(finetune(cell, FULL_FT, "tuned"))
    distance = found[found["part"] == "all"].set_index("seed")["value"]
    assert (distance < 0.5).all()  # two independent draws would be at about the square root of 2
    column = "effective_rank_pretrained"
    one, other = (frame[frame["quantity"] == column]["value"].tolist() for frame in (found, tuned))
    np.testing.assert_allclose(one, other)
    cka = found[found["quantity"] == "cka"].set_index("seed")["value"]
    data, encoder = corpus(), load_encoder(cell / "encoder.safetensors", FULL_FT.training.dropout)
    method, honest, assigned = METHODS["scratch"], PROTOCOLS["honest"], schemas.read("splits", cell / "splits.parquet")
    for seed in FULL_FT.seeds:
        _, fold = next(folds(assigned, seed))
        fit = Fit(method, method.parse({}), data, fold, TASK, honest, FULL_FT.training, seed)
        model = new_model(encoder, fit)
        train(model, fit)
        before, after = (Centred(pooled(network, data, fold.held_out)) for network in (encoder, model.encoder))
        assert cka[seed] == pytest.approx(linear_cka(before, after), abs=1e-4)


def test_what_was_before_is_of_the_same_seed_and_fold():
    # Three folds that hold out different molecules: the pretrained vectors of one are not those of another.
    torch.manual_seed(0)
    data, encoder = corpus(), new_encoder({"kind": "gin", "layers": 2, "width": 16})
    moved = copy.deepcopy(encoder)
    with torch.no_grad():
        moved.blocks[1].norm.weight.mul_(1.5)
    cuts = [((0, 0), 12), ((0, 1), 8), ((1, 0), 15)]
    reference = Reference(encoder, data)
    for (seed, number), cut in cuts * 2:
        fold = Fold(np.arange(cut), np.arange(cut, 19), np.arange(19, 24))
        vectors = pooled(moved, data, fold.held_out)
        again = reference.changes(moved, vectors, seed, number, fold)
        assert again == Reference(encoder, data).changes(moved, vectors, seed, number, fold)
