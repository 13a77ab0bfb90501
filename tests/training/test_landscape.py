"""The loss along the line and over the plane: both pass through the models that they are drawn through."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch

import own_models
from cell_jobs import FULL_FT, finetune, interpolate, write_cell
from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json
from roftmol.encoders.checkpoints import convert
from roftmol.encoders.kinds import new_encoder
from roftmol.encoders.minimol import MiniMol
from roftmol.features import featurize
from roftmol.methods.protocols import PROTOCOLS
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.training import batchnorm
from roftmol.training.landscape import ALPHAS, SIDE, LandscapeSettings, Plane, landscape
from small_dataset import SMILES, corpus, labels_of_size, split_table

SETTINGS = LandscapeSettings("honest", "tiny", "sizes", "random", "all", "regression", "rmse", (0, 1), True, "cpu")
DWISE = replace(FULL_FT, method="dwise_ft", grid=({"granularity": "block", "start": 0.5},))


def measure(cell, settings=SETTINGS, data="graphs.safetensors", checkpoint="encoder.safetensors"):
    out = cell / "landscape"
    landscape(settings, cell / data, cell / "splits.parquet", cell / checkpoint, cell / "runs", out)
    return schemas.read("paths", out / "paths.parquet"), schemas.read("planes", out / "planes.parquet")


def bent(cell, seeds=(0,)):
    """Give DWiSE-FT's run coefficients that differ by block, as a learned one has, in these seeds."""
    file = cell / "runs/dwise_ft/coefficients.parquet"
    table = schemas.read("coefficients", file)
    chosen = table["seed"].isin(seeds)
    alphas = table["part"].map({"embed": 0.2, "blocks.0": 0.9, "blocks.1": 0.6})
    table["alpha"] = alphas.where(chosen, 0.5)
    schemas.write("coefficients", table, file)
    return table


@pytest.fixture(scope="module", params=["honest", "paper"])
def fitted(request, tmp_path_factory):
    """A cell with the runs that a landscape is drawn from, which are made once, and its settings."""
    folder = write_cell(tmp_path_factory.mktemp("fitted"))
    full = finetune(folder, replace(FULL_FT, protocol=request.param), "runs/full_ft")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROTOCOLS, request.param, replace(PROTOCOLS[request.param], mixing_steps=10))
        interpolate(folder, replace(DWISE, protocol=request.param), full, "runs/dwise_ft")
    return folder, replace(SETTINGS, protocol=request.param)


@pytest.fixture
def fits(fitted, tmp_path):
    """A copy of these runs, which a test may change."""
    folder, settings = fitted
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path, settings


@pytest.fixture
def coarse(monkeypatch):
    """A plane of few points, where others are looked at than where they lie."""
    monkeypatch.setattr("roftmol.training.landscape.SIDE", 3)


def test_the_line_ends_at_full_ft_and_the_pretrained_encoder_and_passes_wise_ft(fits):
    cell, settings = fits
    paths, _ = measure(cell, replace(settings, plane=False))
    sweep = replace(
        FULL_FT, protocol=settings.protocol, method="wise_ft", grid=tuple({"alpha": a} for a in (0.0, 0.5, 1.0))
    )
    swept = interpolate(cell, sweep, cell / "runs/full_ft", "runs/wise_ft")
    predictions = schemas.read("predictions", swept / "predictions.parquet")
    labels = corpus().labels
    for (seed, setting, partition), rows in predictions.groupby(["seed", "setting", "partition"]):
        alpha = json.loads(setting)["alpha"]
        at = (paths["seed"] == seed) & (paths["alpha"] == alpha) & (paths["partition"] == partition)
        point = paths[at]
        assert len(point) == 1
        mine, truth = np.stack(rows["prediction"]), labels[rows["molecule"]]
        assert point["value"].item() == pytest.approx(metrics.primary("rmse", truth, mine), rel=1e-5)
        assert point["loss"].item() == pytest.approx(metrics.loss("regression", truth, mine), rel=1e-5)
    tuned = schemas.read("fits", cell / "runs/full_ft/fits.parquet").set_index("seed")["valid_metric"]
    end = paths[(paths["alpha"] == 1) & (paths["partition"] == "valid")].set_index("seed")["value"]
    np.testing.assert_allclose(end, tuned, rtol=1e-5)


def test_the_line_goes_beyond_both_ends_for_every_seed_and_partition(fits):
    cell, settings = fits
    paths, _ = measure(cell, replace(settings, plane=False))
    assert (min(ALPHAS), max(ALPHAS)) == (-0.5, 1.5)
    assert len(paths) == 2 * 3 * len(ALPHAS)
    beyond = paths[~paths["alpha"].between(0, 1)]
    assert np.isfinite(beyond["loss"]).all()  # no variance became negative
    train = paths[paths["partition"] == "train"]["molecules"].unique()
    splits = split_table()
    assert train.tolist() == [len(splits[(splits["seed"] == 0) & (splits["role"] == "train")])]


def test_the_plane_passes_through_its_three_models(fits):
    cell, settings = fits
    table = bent(cell, seeds=(1,))
    # Seed 0's three points are in line: the plane is of seed 1.
    paths, planes = measure(cell, settings)
    assert set(planes["seed"]) == {1}
    assert len(planes[planes["point"] == ""]) == 2 * SIDE**2
    ends = paths[paths["seed"] == 1].set_index(["alpha", "partition"])["loss"]
    anchors = planes[planes["point"] != ""].set_index(["point", "partition"])
    for partition in ("train", "test"):
        assert anchors["loss"]["pretrained", partition] == pytest.approx(ends[0.0, partition], rel=1e-5)
        assert anchors["loss"]["full_ft", partition] == pytest.approx(ends[1.0, partition], rel=1e-5)
        assert anchors["loss"]["dwise_ft", partition] == pytest.approx(direct(cell, settings, table, partition), 1e-4)
    x, y = anchors["x"], anchors["y"]
    assert (x["pretrained", "test"], y["pretrained", "test"], y["full_ft", "test"]) == (0, 0, 0)
    assert y["dwise_ft", "test"] > 0
    grid = planes[planes["point"] == ""]
    assert grid["x"].min() < min(0, x.min())
    assert grid["x"].max() > x.max()
    assert grid["y"].min() < 0 < y.max() < grid["y"].max()


def direct(cell, settings, coefficients, partition):
    """The loss of the model that mixes with these coefficients, made without any of the landscape's code."""
    from roftmol.encoders.checkpoints import load_encoder
    from roftmol.training.fit import Task
    from roftmol.training.model import Model
    from roftmol.training.saved_fits import saved_weights

    fits = schemas.read("fits", cell / "runs/full_ft/fits.parquet").set_index("seed")
    weights = saved_weights(cell / "runs/full_ft/parts" / fits.loc[1, "part"])
    alpha = coefficients[coefficients["seed"] == 1].set_index("part")["alpha"]
    model = Model(load_encoder(cell / "encoder.safetensors", 0.0), 1, Task("regression", "rmse"))
    pretrained = model.encoder.state_dict()
    for name, tensor in pretrained.items():
        if tensor.is_floating_point():
            a = alpha[model.encoder.part_of(name)]
            weights[f"encoder.{name}"] = (1 - a) * tensor + a * weights[f"encoder.{name}"]
    model.load_state_dict(weights)
    splits = split_table()
    of = {
        role: splits.loc[(splits["seed"] == 1) & (splits["role"] == role), "molecule"].to_numpy()
        for role in ("train", "test")
    }
    data = corpus()
    if settings.protocol == "honest":
        batchnorm.estimate_all(model.encoder, model.evaluation_batches(data, of["train"]))
    return metrics.loss("regression", data.labels[of[partition]], model.predict(data, of[partition]))


def test_points_of_the_plane_are_linear_in_the_weights():
    theta_0 = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([0.0, 1.0])}
    theta = {"a": torch.tensor([4.0, 2.0]), "b": torch.tensor([0.0, 5.0])}
    plane = Plane.through(theta_0, theta, {"a": 1.0, "b": 0.5}, ["a", "b"])
    # u = (3, 0, 0, 4), d = (3, 0, 0, 2), k = 17/25, v = d - k u
    u, d = np.array([3.0, 0, 0, 4]), np.array([3.0, 0, 0, 2])
    v = d - 17 / 25 * u
    assert plane.length == 5
    assert plane.k == pytest.approx(17 / 25)
    assert plane.height == pytest.approx(np.linalg.norm(v))
    x, y = 1.3, -0.4
    c = plane.coefficients(x, y)
    found = np.concatenate([c["a"] * u[:2], c["b"] * u[2:]])
    np.testing.assert_allclose(found, x * u / 5 + y * v / np.linalg.norm(v), atol=1e-12)
    for at_x, at_y, coefficients in plane.points.values():
        assert plane.coefficients(at_x, at_y) == pytest.approx(coefficients)


def test_points_in_line_span_no_plane():
    theta_0, theta = {"a": torch.zeros(3), "b": torch.zeros(2)}, {"a": torch.ones(3), "b": torch.ones(2)}
    assert Plane.through(theta_0, theta, {"a": 0.5, "b": 0.5}, ["a", "b"]).height == 0
    assert Plane.through(theta_0, theta_0, {"a": 0.5, "b": 0.2}, ["a", "b"]).height == 0


@pytest.mark.usefixtures("coarse")
def test_without_dwise_ft_or_with_failed_fits(fits):
    cell, settings = fits
    paths, planes = measure(cell, replace(settings, plane=False))
    assert planes.empty
    assert len(paths)
    file = cell / "runs/full_ft/fits.parquet"
    table = schemas.read("fits", file)
    table.loc[table["seed"] == 0, "status"] = "failed"
    schemas.write("fits", table, file)
    bent(cell, seeds=(0, 1))
    paths, planes = measure(cell, settings)
    assert set(paths["seed"]) == set(planes["seed"]) == {1}
    schemas.write("fits", table.assign(status="failed"), file)
    paths, planes = measure(cell, settings)
    assert paths.empty
    assert planes.empty


@pytest.mark.usefixtures("coarse")
def test_of_several_settings_the_one_that_validation_selects_spans_the_plane(fits):
    cell, settings = fits
    file = cell / "runs/dwise_ft/fits.parquet"
    table = schemas.read("fits", file)
    other = table.assign(setting='{"granularity":"block","start":0.9}', valid_metric=table["valid_metric"] + 1)
    schemas.write("fits", pd.concat([other, table]), file)
    coefficients = bent(cell, seeds=(0,))
    measured = measure(cell, settings)[1]
    worse = coefficients.assign(setting='{"granularity":"block","start":0.9}', alpha=coefficients["alpha"] / 2)
    schemas.write("coefficients", pd.concat([worse, coefficients]), cell / "runs/dwise_ft/coefficients.parquet")
    pd.testing.assert_frame_equal(measure(cell, settings)[1], measured)


def test_missing_weights_are_named(fits):
    cell, settings = fits
    for part in (cell / "runs/full_ft/parts").iterdir():
        part.unlink()
    with pytest.raises(UserError, match="fine-tuned weights cannot be read"):
        measure(cell, settings)


@pytest.mark.usefixtures("coarse")
def test_the_command_writes_both_tables(fits):
    cell, settings = fits
    arguments = {"data": "graphs.safetensors", "splits": "splits.parquet", "checkpoint": "encoder.safetensors"}
    paths = {name: cell / file for name, file in arguments.items()} | {"runs": cell / "runs", "out": cell / "told"}
    main(
        ["landscape", "--settings", canonical_json(asdict(settings))]
        + [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    )
    assert {path.name for path in (cell / "told").iterdir()} == {"paths.parquet", "planes.parquet"}


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("name", ["minimol", "dmpnn", *own_models.PARTS])
def test_other_encoders(name, cell, monkeypatch):
    """Without BatchNorm, or with parts of the user's own, lines and planes are drawn alike."""
    monkeypatch.setitem(PROTOCOLS, "honest", replace(PROTOCOLS["honest"], mixing_steps=1))  # others stand in below
    torch.manual_seed(0)
    if name == "minimol":
        kind, architecture = "minimol", {"kind": "minimol", "layers": 16, "width": 512}
        torch.save(MiniMol().state_dict(), cell / "raw.pth")
    elif name == "dmpnn":
        kind, architecture = "chemprop", {"kind": "dmpnn", "depth": 3, "width": 16}
        torch.save(new_encoder(architecture).state_dict(), cell / "raw.pth")
    else:
        kind = str(own_models.code_of(name, cell))
        architecture = own_models.architecture(name, kind)
        torch.save(new_encoder(architecture).module.state_dict(), cell / "raw.pth")
    convert(cell / "raw.pth", architecture, cell / "encoder.safetensors", name=name)
    featurize.from_smiles(SMILES, labels_of_size(), name=kind).save(cell / "graphs.safetensors")
    own_code = architecture.get("code", "")
    one = {"seeds": (0,), "training": replace(FULL_FT.training, epochs=1), "own_code": own_code}
    full = finetune(cell, replace(FULL_FT, **one), "runs/full_ft")
    interpolate(cell, replace(DWISE, **one), full, "runs/dwise_ft")
    file = cell / "runs/dwise_ft/coefficients.parquet"
    table = schemas.read("coefficients", file)
    schemas.write("coefficients", table.assign(alpha=np.linspace(0.2, 0.9, len(table))), file)
    paths, planes = measure(cell, replace(SETTINGS, seeds=(0,), own_code=own_code))
    assert len(planes) == 2 * (3 + 9)
    assert np.isfinite(planes["loss"]).all()
    assert np.isfinite(paths[paths["alpha"].between(0, 1)]["loss"]).all()
    assert len(paths) == 3 * len(ALPHAS)
