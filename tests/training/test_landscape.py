"""The loss along the line and over the plane: both pass through the models that they are drawn through."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import test_own_models
import torch
from molecules_for_tests import SMILES, corpus, labels_of_size, split_table
from test_jobs import FIRST, finetune, interpolate

from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.core.files import canonical_json
from roftmol.encoders.checkpoints import convert
from roftmol.encoders.kinds import new_encoder
from roftmol.encoders.minimol import MiniMol
from roftmol.features import featurize
from roftmol.scoring import metrics
from roftmol.tables import schemas
from roftmol.training import batchnorm
from roftmol.training.landscape import ALPHAS, SIDE, LandscapeSettings, Plane, landscape

SETTINGS = LandscapeSettings("honest", "tiny", "sizes", "random", "all", "regression", "rmse", (0, 1), True, "cpu")
DWISE = replace(FIRST, method="dwise_ft", grid=({"granularity": "block", "start": 0.5},))


def measure(place, settings=SETTINGS, data="graphs.safetensors", checkpoint="encoder.safetensors"):
    out = place / "landscape"
    landscape(settings, place / data, place / "splits.parquet", place / checkpoint, place / "runs", out)
    return schemas.read("paths", out / "paths.parquet"), schemas.read("planes", out / "planes.parquet")


def bent(place, seeds=(0,)):
    """Give DWiSE-FT's run coefficients that differ by block, as a learned one has, in these seeds."""
    file = place / "runs/dwise_ft/coefficients.parquet"
    table = schemas.read("coefficients", file)
    chosen = table["seed"].isin(seeds)
    alphas = table["part"].map({"embed": 0.2, "blocks.0": 0.9, "blocks.1": 0.6})
    table["alpha"] = alphas.where(chosen, 0.5)
    schemas.write("coefficients", table, file)
    return table


@pytest.fixture(params=["honest", "paper"])
def fits(request, place):
    """The runs that a landscape is drawn from."""
    for settings in (FIRST, DWISE):
        settings = replace(settings, protocol=request.param)
        if settings.method == "full_ft":
            full = finetune(place, settings, "runs/full_ft")
        else:
            interpolate(place, settings, full, "runs/dwise_ft")
    return place, replace(SETTINGS, protocol=request.param)


def test_the_line_ends_at_full_ft_and_the_pretrained_encoder_and_passes_wise_ft(fits):
    place, settings = fits
    paths, _ = measure(place, settings)
    sweep = replace(
        FIRST, protocol=settings.protocol, method="wise_ft", grid=tuple({"alpha": a} for a in (0.0, 0.5, 1.0))
    )
    swept = interpolate(place, sweep, place / "runs/full_ft", "runs/wise_ft")
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
    tuned = schemas.read("fits", place / "runs/full_ft/fits.parquet").set_index("seed")["valid_metric"]
    end = paths[(paths["alpha"] == 1) & (paths["partition"] == "valid")].set_index("seed")["value"]
    np.testing.assert_allclose(end, tuned, rtol=1e-5)


def test_the_line_goes_beyond_both_ends_for_every_seed_and_partition(fits):
    place, settings = fits
    paths, _ = measure(place, settings)
    assert (min(ALPHAS), max(ALPHAS)) == (-0.5, 1.5)
    assert len(paths) == 2 * 3 * len(ALPHAS)
    beyond = paths[~paths["alpha"].between(0, 1)]
    assert np.isfinite(beyond["loss"]).all()  # no variance became negative
    train = paths[paths["partition"] == "train"]["molecules"].unique()
    splits = split_table()
    assert train.tolist() == [len(splits[(splits["seed"] == 0) & (splits["role"] == "train")])]


def test_the_plane_passes_through_its_three_models(fits):
    place, settings = fits
    table = bent(place, seeds=(1,))
    # Seed 0's three points are in line: the plane is of seed 1.
    _, planes = measure(place, settings)
    assert set(planes["seed"]) == {1}
    assert len(planes[planes["point"] == ""]) == 2 * SIDE**2
    paths, _ = measure(place, settings)
    ends = paths[paths["seed"] == 1].set_index(["alpha", "partition"])["loss"]
    anchors = planes[planes["point"] != ""].set_index(["point", "partition"])
    for partition in ("train", "test"):
        assert anchors["loss"]["pretrained", partition] == pytest.approx(ends[0.0, partition], rel=1e-5)
        assert anchors["loss"]["full_ft", partition] == pytest.approx(ends[1.0, partition], rel=1e-5)
        assert anchors["loss"]["dwise_ft", partition] == pytest.approx(direct(place, settings, table, partition), 1e-4)
    x, y = anchors["x"], anchors["y"]
    assert (x["pretrained", "test"], y["pretrained", "test"], y["full_ft", "test"]) == (0, 0, 0)
    assert y["dwise_ft", "test"] > 0
    grid = planes[planes["point"] == ""]
    assert grid["x"].min() < min(0, x.min())
    assert grid["x"].max() > x.max()
    assert grid["y"].min() < 0 < y.max() < grid["y"].max()


def direct(place, settings, coefficients, partition):
    """The loss of the model that mixes with these coefficients, made without any of the landscape's code."""
    from roftmol.encoders.checkpoints import load_encoder
    from roftmol.training.fit import Task
    from roftmol.training.model import Model
    from roftmol.training.saved_fits import saved_weights

    fits = schemas.read("fits", place / "runs/full_ft/fits.parquet").set_index("seed")
    weights = saved_weights(place / "runs/full_ft/parts" / fits.loc[1, "part"])
    alpha = coefficients[coefficients["seed"] == 1].set_index("part")["alpha"]
    model = Model(load_encoder(place / "encoder.safetensors", 0.0), 1, Task("regression", "rmse"))
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
        batchnorm.estimate_all(model.encoder, data, of["train"])
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


def test_without_dwise_ft_or_with_failed_fits(fits):
    place, settings = fits
    paths, planes = measure(place, replace(settings, plane=False))
    assert planes.empty
    assert len(paths)
    file = place / "runs/full_ft/fits.parquet"
    table = schemas.read("fits", file)
    table.loc[table["seed"] == 0, "status"] = "failed"
    schemas.write("fits", table, file)
    bent(place, seeds=(0, 1))
    paths, planes = measure(place, settings)
    assert set(paths["seed"]) == set(planes["seed"]) == {1}
    schemas.write("fits", table.assign(status="failed"), file)
    paths, planes = measure(place, settings)
    assert paths.empty
    assert planes.empty


def test_of_several_settings_the_one_that_validation_selects_spans_the_plane(fits):
    place, settings = fits
    file = place / "runs/dwise_ft/fits.parquet"
    table = schemas.read("fits", file)
    other = table.assign(setting='{"granularity":"block","start":0.9}', valid_metric=table["valid_metric"] + 1)
    schemas.write("fits", pd.concat([other, table]), file)
    coefficients = bent(place, seeds=(0,))
    measured = measure(place, settings)[1]
    worse = coefficients.assign(setting='{"granularity":"block","start":0.9}', alpha=coefficients["alpha"] / 2)
    schemas.write("coefficients", pd.concat([worse, coefficients]), place / "runs/dwise_ft/coefficients.parquet")
    pd.testing.assert_frame_equal(measure(place, settings)[1], measured)


def test_missing_weights_are_named(fits):
    place, settings = fits
    for part in (place / "runs/full_ft/parts").iterdir():
        part.unlink()
    with pytest.raises(UserError, match="fine-tuned weights cannot be read"):
        measure(place, settings)


def test_the_command_writes_both_tables(fits):
    place, settings = fits
    arguments = {"data": "graphs.safetensors", "splits": "splits.parquet", "checkpoint": "encoder.safetensors"}
    paths = {name: place / file for name, file in arguments.items()} | {"runs": place / "runs", "out": place / "told"}
    main(
        ["landscape", "--settings", canonical_json(asdict(settings))]
        + [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    )
    assert {path.name for path in (place / "told").iterdir()} == {"paths.parquet", "planes.parquet"}


@pytest.mark.parametrize("name", ["minimol", *test_own_models.PARTS])
def test_other_encoders(name, place, monkeypatch):
    """Without BatchNorm, or with parts of the user's own, lines and planes are drawn alike."""
    torch.manual_seed(0)
    if name == "minimol":
        kind, architecture = "minimol", {"kind": "minimol", "layers": 16, "width": 512}
        torch.save(MiniMol().state_dict(), place / "raw.pth")
    else:
        kind = str(test_own_models.code_of(name, place))
        architecture = test_own_models.architecture(name, kind)
        torch.save(new_encoder(architecture).module.state_dict(), place / "raw.pth")
    convert(place / "raw.pth", architecture, place / "encoder.safetensors", name=name)
    featurize.from_smiles(SMILES, labels_of_size(), name=kind).save(place / "graphs.safetensors")
    one = {"seeds": (0,), "training": replace(FIRST.training, epochs=1)}
    full = finetune(place, replace(FIRST, **one), "runs/full_ft")
    interpolate(place, replace(DWISE, **one), full, "runs/dwise_ft")
    file = place / "runs/dwise_ft/coefficients.parquet"
    table = schemas.read("coefficients", file)
    schemas.write("coefficients", table.assign(alpha=np.linspace(0.2, 0.9, len(table))), file)
    monkeypatch.setattr("roftmol.training.landscape.SIDE", 3)
    paths, planes = measure(place, replace(SETTINGS, seeds=(0,)))
    assert len(planes) == 2 * (3 + 9)
    assert np.isfinite(planes["loss"]).all()
    assert np.isfinite(paths[paths["alpha"].between(0, 1)]["loss"]).all()
    assert len(paths) == 3 * len(ALPHAS)
