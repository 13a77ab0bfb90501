"""Jobs: tables of a cell, finished fits kept, cross-fitting pooled."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cell_jobs import FULL_FT, finetune, interpolate, parts
from roftmol.core import tensor_file
from roftmol.core.errors import UserError
from roftmol.encoders.checkpoints import load_encoder
from roftmol.tables import schemas
from roftmol.training import batchnorm, jobs, saved_fits
from roftmol.training.cell import folds
from roftmol.training.fit import Task, TrainSettings
from roftmol.training.model import Model
from small_dataset import SMILES, corpus, split_table


@pytest.mark.parametrize("run", ["finetune", "interpolate"])
def test_threads_are_limited_before_anything_is_prepared(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second task learns when it is read: its last bits hang on the threads."""

    class ReadError(Exception):
        """Ends the job where the second task is read."""

    def read(*_: object) -> None:
        raise ReadError(torch.get_num_threads())

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(jobs.graphs, "load", lambda _path: None)
    monkeypatch.setattr(jobs, "load_encoder", lambda *_: torch.nn.Identity())
    monkeypatch.setattr(jobs.tasks, "read", read)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ReadError, match=r"^1$"):
            getattr(jobs, run)(FULL_FT, *[tmp_path] * (4 if run == "finetune" else 5))
    finally:
        torch.set_num_threads(before)


def test_tables_of_a_cell(cell):
    settings = replace(FULL_FT, method="l2_sp", grid=({"lam": 0.1}, {"lam": 0.001}))
    run = finetune(cell, settings)
    fits = schemas.read("fits", run / "fits.parquet")
    assert len(fits) == 4
    assert set(fits["status"]) == {"ok"}
    assert list(fits["setting"][:2]) == ['{"lam":0.1}', '{"lam":0.001}']
    predictions = schemas.read("predictions", run / "predictions.parquet")
    splits = split_table()
    for (seed, _, partition), rows in predictions.groupby(["seed", "setting", "partition"]):
        wanted = splits.loc[(splits["seed"] == seed) & (splits["role"] == partition), "molecule"]
        assert rows["molecule"].tolist() == wanted.tolist()
        assert np.isfinite(np.stack(rows["prediction"])).all()
    curves = schemas.read("curves", run / "curves.parquet")
    assert len(curves) == fits["epochs"].sum()


def test_finished_fits_are_not_computed_again(cell):
    run = finetune(cell, FULL_FT)
    before, table = parts(run), (run / "fits.parquet").read_bytes()
    finetune(cell, FULL_FT)
    assert parts(run) == before
    assert (run / "fits.parquet").read_bytes() == table
    schemas.write("splits", split_table(seeds=(0, 1, 2)), cell / "splits.parquet")
    finetune(cell, replace(FULL_FT, seeds=(0, 1, 2)))
    after = parts(run)
    assert len(after) == 3
    assert before.items() <= after.items()


def test_finished_fits_are_found_by_what_their_inputs_say_not_by_their_bytes(cell):
    """The format writes metadata in no fixed order: files made again differ in bytes though not in content."""
    run = finetune(cell, FULL_FT)
    for name in ("encoder.safetensors", "graphs.safetensors"):
        path, known = cell / name, parts(run)
        with safe_open(path, "np") as file:
            metadata = file.metadata()
        with tensor_file.opened(path, "", "") as file:
            said = dict(file.metadata)
        tensor_file.save(path, load_file(path), said | {"more": "said"})
        finetune(cell, FULL_FT)
        again = parts(run)
        assert len(again) > len(known)  # what is said counts
        before = path.read_bytes()
        for _ in range(100):  # until the order is another one, where there is more than one thing to order
            save_file(load_file(path), path, metadata=metadata)
            if path.read_bytes()[:200] != before[:200]:
                break
        finetune(cell, FULL_FT)
        assert parts(run) == again


@pytest.mark.parametrize(
    "change",
    [
        {"training": TrainSettings(epochs=2, batch_size=8)},
        {"protocol": "paper"},
        {"method": "scratch"},
    ],
)
def test_whatever_changes_the_result_is_computed_again(cell, change):
    run = finetune(cell, FULL_FT)
    before = parts(run)
    finetune(cell, replace(FULL_FT, **change))
    assert len(parts(run)) == 2 * len(before)


def test_seeds_that_share_a_split_have_fits_of_their_own(cell):
    # As in protocol `paper`, where every seed trains on the same molecules.
    table = split_table(seeds=(0,))
    schemas.write("splits", pd.concat([table, table.assign(seed=1)]), cell / "splits.parquet")
    run = finetune(cell, FULL_FT)
    assert len(parts(run)) == 2
    predictions = schemas.read("predictions", run / "predictions.parquet")
    one, two = (np.stack(predictions.loc[predictions["seed"] == seed, "prediction"]) for seed in (0, 1))
    assert not np.array_equal(one, two)


def test_a_seed_starts_from_the_pretrained_weights_whatever_was_fitted_before(cell):
    both = finetune(cell, FULL_FT)
    alone = finetune(cell, replace(FULL_FT, seeds=(1,)), "alone")
    fitted = [schemas.read("predictions", run / "predictions.parquet") for run in (both, alone)]
    one, two = (np.stack(table.loc[table["seed"] == 1, "prediction"]) for table in fitted)
    assert np.array_equal(one, two)


def test_mixing_is_computed_again_where_the_fine_tuned_weights_are_others(cell):
    how = replace(FULL_FT, method="wise_ft", grid=({"alpha": 0.5},))
    mixed = interpolate(cell, how, finetune(cell, FULL_FT))
    before = parts(mixed)
    longer = finetune(cell, replace(FULL_FT, training=TrainSettings(epochs=2, batch_size=4)), "longer")
    interpolate(cell, how, longer)
    assert len(parts(mixed)) == 2 * len(before)


@pytest.mark.parametrize(("metric", "better", "worse"), [("rmse", 0.7, 0.9), ("roc_auc", 0.9, 0.7)])
def test_the_best_setting_by_validation_is_mixed(metric, better, worse):
    row = {"seed": 0, "fold": 0, "status": "ok", "valid_loss": 0.5}
    rows = [
        {**row, "setting": "worse", "valid_metric": worse},
        {**row, "setting": "best", "valid_metric": better},
        {**row, "setting": "tied", "valid_metric": better, "valid_loss": 0.6},
        {**row, "setting": "failed", "status": "failed", "valid_metric": np.nan, "valid_loss": np.nan},
        {**row, "setting": "alone", "fold": 1, "status": "failed", "valid_metric": np.nan, "valid_loss": np.nan},
    ]
    for order in (rows, rows[::-1]):
        found = jobs._sources(pd.DataFrame(order), metric)
        assert {where: source["setting"] for where, source in found.items()} == {(0, 0): "best", (0, 1): "alone"}


def test_another_split_is_computed_again(cell):
    run = finetune(cell, FULL_FT)
    table = split_table()
    swapped = table["seed"].eq(1) & table["role"].isin(["train", "valid"])
    first, last = table.index[swapped][[0, -1]]
    table.loc[[first, last], "molecule"] = table.loc[[last, first], "molecule"].to_numpy()
    schemas.write("splits", table, cell / "splits.parquet")
    finetune(cell, FULL_FT)
    assert len(parts(run)) in (2, 3)  # seed 1 again, unless both molecules had one role
    schemas.write("splits", split_table().assign(seed=lambda t: t["seed"] * 5), cell / "splits.parquet")
    with pytest.raises(UserError, match="no seed 1"):
        finetune(cell, FULL_FT)


def test_a_truncated_part_is_computed_again(cell):
    run = finetune(cell, FULL_FT)
    table = schemas.read("predictions", run / "predictions.parquet")
    victim = next((run / "parts").iterdir())
    victim.write_bytes(victim.read_bytes()[:1000])
    finetune(cell, FULL_FT)
    again = schemas.read("predictions", run / "predictions.parquet")
    assert np.array_equal(np.stack(table["prediction"]), np.stack(again["prediction"]))


def test_interpolation_uses_the_saved_weights(cell):
    full = finetune(cell, FULL_FT)
    mixed = interpolate(cell, replace(FULL_FT, method="wise_ft", grid=({"alpha": 0.0}, {"alpha": 1.0})), full)
    tuned = schemas.read("predictions", full / "predictions.parquet")
    swept = schemas.read("predictions", mixed / "predictions.parquet")
    end = swept[swept["setting"] == '{"alpha":1.0}']
    assert np.array_equal(np.stack(end["prediction"]), np.stack(tuned["prediction"]))
    assert schemas.read("coefficients", mixed / "coefficients.parquet").empty  # a sweep learns none
    # The other end is the pretrained encoder under the fine-tuned head, with statistics of the training molecules.
    start = swept[(swept["setting"] == '{"alpha":0.0}') & (swept["seed"] == 1) & (swept["partition"] == "test")]
    part = schemas.read("fits", full / "fits.parquet").set_index("seed").loc[1, "part"]
    weights = saved_fits.saved_weights(full / "parts" / part)
    model = Model(load_encoder(cell / "encoder.safetensors", 0.0), 1, Task("regression", "rmse"))
    model.load_state_dict({name: tensor for name, tensor in weights.items() if "encoder" not in name}, strict=False)
    _, fold = next(folds(schemas.read("splits", cell / "splits.parquet"), 1))
    batchnorm.estimate_all(model.encoder, model.evaluation_batches(corpus(), batchnorm.sample(fold.train, 1)))
    expected = model.predict(corpus(), start["molecule"].to_numpy())
    assert np.array_equal(np.stack(start["prediction"]), expected)
    assert not np.allclose(expected, np.stack(end[end["seed"] == 1]["prediction"])[-len(expected) :])
    learned = interpolate(cell, replace(FULL_FT, method="dwise_ft", grid=({"start": 0.5},)), full, "learned")
    assert set(schemas.read("coefficients", learned / "coefficients.parquet")["part"]) == {
        "embed",
        "blocks.0",
        "blocks.1",
    }


def test_missing_weights_are_named(cell):
    full = finetune(cell, FULL_FT)
    for part in (full / "parts").iterdir():
        part.unlink()
    with pytest.raises(UserError, match="fine-tuned weights cannot be read"):
        interpolate(cell, replace(FULL_FT, method="wise_ft", grid=({"alpha": 0.5},)), full)


def test_cross_fitting_pools_validation_and_averages_test(cell):
    schemas.write("splits", split_table(folds=4), cell / "splits.parquet")
    run = finetune(cell, replace(FULL_FT, seeds=(0,)))
    fits = schemas.read("fits", run / "fits.parquet")
    assert fits["fold"].tolist() == [0, 1, 2, 3]
    predictions = schemas.read("predictions", run / "predictions.parquet")
    valid = predictions[predictions["partition"] == "valid"]
    test = predictions[predictions["partition"] == "test"]
    assert valid["molecule"].is_unique
    assert len(valid) == len(SMILES) - 5
    assert len(test) == 5
    folds = [saved_fits.read(run / "parts" / name).predictions["test"] for name in fits["part"]]
    assert np.allclose(np.stack(test["prediction"]), np.mean(folds, 0))


def test_a_run_that_diverges_is_recorded_and_the_others_go_on(cell):
    data = corpus()
    poisoned = split_table().query("seed == 1 and role == 'train'")["molecule"].iloc[0]
    table = split_table()
    elsewhere = (table["seed"] == 0) & (table["molecule"] == poisoned)
    schemas.write("splits", table[~elsewhere], cell / "splits.parquet")
    data.labels[poisoned] = np.inf
    data.save(cell / "graphs.safetensors")
    run = finetune(cell, replace(FULL_FT, protocol="paper"))
    fits = schemas.read("fits", run / "fits.parquet").set_index("seed")
    assert fits.loc[1, "status"] == "failed"
    assert "epoch 1" in fits.loc[1, "reason"]
    assert fits.loc[0, "status"] == "ok"
    mixed = interpolate(cell, replace(FULL_FT, protocol="paper", method="wise_ft", grid=({"alpha": 0.5},)), run)
    fits = schemas.read("fits", mixed / "fits.parquet").set_index("seed")
    assert fits.loc[1, "reason"].startswith("full_ft failed")


def test_fine_tuning_does_not_change_its_checkpoint(cell):
    before = (cell / "encoder.safetensors").read_bytes()
    finetune(cell, FULL_FT)
    assert (cell / "encoder.safetensors").read_bytes() == before
