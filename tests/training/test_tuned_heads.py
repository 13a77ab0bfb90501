"""METHOD+HEAD: a head in closed form on the vectors of the encoders that a method's fits left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import atoms_in_space
import small_dataset
from cell_jobs import FULL_FT, finetune, interpolate, parts
from molecule_tables import molecule_table
from roftmol.core.errors import UserError
from roftmol.core.seeds import seed_of
from roftmol.data import parents
from roftmol.encoders.base import Encoder
from roftmol.encoders.checkpoints import convert, load_encoder
from roftmol.encoders.kinds import new_encoder
from roftmol.features import featurize, graphs
from roftmol.features.inputs import Inputs
from roftmol.heads import kernel_head, linear_head
from roftmol.methods import ALL_METHODS, setting_text
from roftmol.methods.protocols import PROTOCOLS
from roftmol.methods.wise_ft import Settings as WiSE
from roftmol.tables import schemas
from roftmol.tasks import TASKS
from roftmol.training import batchnorm, jobs, saved_fits, tuned_heads
from roftmol.training.forward import evaluation_batches
from roftmol.training.jobs import RunSettings
from roftmol.training.learners import LearnerSettings
from roftmol.training.mixing import interpolate as interpolated
from roftmol.training.tuned_heads import TunedHeadSettings
from roftmol.training.vectors import vectors

CONTEXT = {name: getattr(FULL_FT, name) for name in ("protocol", "dataset", "split", "budget", "task", "metric")}
HEADS = {"ridge": linear_head.fit, "kernel": kernel_head.fit}
KEPT = replace(FULL_FT, keep_weights=True)


@pytest.fixture
def folder(cell: Path) -> Path:
    """The fixture `cell`, whose splits are of two folds, with the dataset's table of molecules."""
    labels = small_dataset.labels_of_size()
    table = molecule_table(small_dataset.SMILES, labels, dataset="sizes")
    schemas.write("molecules", table, cell / "molecules.parquet")
    schemas.write("splits", small_dataset.split_table(folds=2), cell / "splits.parquet")
    return cell


def fit_heads(folder: Path, head: str, encoders: RunSettings, tuned: Path, mixed: Path | None = None) -> Path:
    """The run of a head on the fits in the folder `tuned`."""
    context = {name: getattr(encoders, name) for name in CONTEXT}
    name = f"{encoders.method}+{head}"
    told = LearnerSettings(**context, seeds=encoders.seeds, method=name, grid=({},), model=encoders.model)
    paths = (folder, folder / "graphs.safetensors", folder / "splits.parquet", folder / "encoder.safetensors", tuned)
    tuned_heads.run(TunedHeadSettings(told, encoders), *paths, folder / name, mixed=mixed)
    return folder / name


def saved_encoder(folder: Path, part: Path) -> Encoder:
    """The encoder in the file of a finished fit."""
    encoder = load_encoder(folder / "encoder.safetensors", 0.0)
    weights = {name: tensor for name, tensor in load_file(part).items() if name.startswith("weights.encoder.")}
    encoder.load_state_dict({name.removeprefix("weights.encoder."): tensor for name, tensor in weights.items()})
    return encoder


def rows_of(run: Path, setting: str) -> pd.DataFrame:
    fits = schemas.read("fits", run / "fits.parquet")
    return fits[fits["setting"] == setting].set_index(["seed", "fold"])


def check_by_hand(folder: Path, run: Path, head: str, encoder_of: Callable[[int, int], Encoder]) -> None:
    """Compare a run's predictions with those of heads that are fitted on the encoders' vectors here."""
    data = graphs.load(folder / "graphs.safetensors")
    substances = parents.groups(schemas.read("molecules", folder / "molecules.parquet"))
    splits = schemas.read("splits", folder / "splits.parquet")
    predictions = schemas.read("predictions", run / "predictions.parquet")
    first = predictions.iloc[0]
    cell = [first[column] for column in schemas.CELL]
    task = TASKS["classification" if len(np.unique(data.labels[~np.isnan(data.labels)])) == 2 else "regression"]
    for seed, of_seed in splits.groupby("seed"):
        tests = []
        for fold, rows in of_seed.groupby("fold"):
            X = vectors(encoder_of(seed, fold), data, np.arange(len(data)))
            role = {name: part["molecule"].to_numpy() for name, part in rows.groupby("role")}
            everything = Inputs(len(data), vectors=X, substances=substances)
            number = seed_of(*[first[name] for name in schemas.CONTEXT], first["model"], first["method"], seed, fold)

            def predicted(
                taught: np.ndarray, asked: np.ndarray, inputs: Inputs = everything, number: int = number
            ) -> np.ndarray:
                fitted = HEADS[head](inputs[taught], data.labels[taught].astype(np.float64), task, number)
                return fitted.predict(inputs[asked]).mean

            stored = predictions[(predictions["seed"] == seed) & (predictions["partition"] == "valid")]
            stored = stored.set_index("molecule").loc[role["valid"], "prediction"]
            assert np.stack(stored) == pytest.approx(predicted(role["train"], role["valid"]), abs=2e-3)
            taught = np.concatenate([role["train"], role["valid"]])
            tests.append(predicted(taught, role["test"]))
        stored = predictions[(predictions["seed"] == seed) & (predictions["partition"] == "test")]
        stored = stored.set_index("molecule").loc[role["test"], "prediction"]
        assert np.stack(stored) == pytest.approx(np.mean(tests, 0), abs=2e-3)
    assert cell[-1] == run.name


@pytest.mark.parametrize("head", HEADS)
def test_a_head_on_fine_tuned_encoders_is_that_on_the_saved_encoders_vectors(folder: Path, head: str):
    """Of a method with a grid: the encoder is that of the hyperparameters that validation selects for the seed."""
    grid = ({"lam": 10.0}, {"lam": 0.0001})
    settings = replace(KEPT, method="l2_sp", grid=tuple({**point, "lam_head": 0.0} for point in grid))
    tuned = finetune(folder, settings, "l2_sp")
    run = fit_heads(folder, head, settings, tuned)
    fits = schemas.read("fits", run / "fits.parquet")
    assert (fits["status"] == "ok").all()
    assert set(fits["setting"]) == {"{}"}
    predictions, truth = schemas.read("predictions", tuned / "predictions.parquet"), small_dataset.labels_of_size()
    chosen = {}
    for seed, rows in predictions[predictions["partition"] == "valid"].groupby("seed"):
        errors = {}
        for setting, of_setting in rows.groupby("setting"):
            gap = np.stack(of_setting["prediction"]) - truth[of_setting["molecule"]]
            errors[setting] = float((gap**2).mean())
        chosen[seed] = min(errors, key=errors.get)
    assert fits.set_index("seed")["note"].to_dict() == {seed: f"encoder of {text}" for seed, text in chosen.items()}

    def encoder_of(seed: int, fold: int) -> Encoder:
        part = rows_of(tuned, chosen[seed]).loc[(seed, fold), "part"]
        return saved_encoder(folder, tuned / "parts" / part)

    check_by_hand(folder, run, head, encoder_of)
    frozen = load_encoder(folder / "encoder.safetensors", 0.0)
    with pytest.raises(AssertionError):
        check_by_hand(folder, run, head, lambda _seed, _fold: frozen)


def test_several_tasks_with_missing_labels_have_a_head_each(folder: Path):
    labels = small_dataset.labels_of_size(2, classification=True)
    labels[::5, 0] = np.nan
    labels[1::4, 1] = np.nan
    table = molecule_table(small_dataset.SMILES, labels, dataset="sizes")
    schemas.write("molecules", table, folder / "molecules.parquet")
    featurize.from_smiles(small_dataset.SMILES, labels).save(folder / "graphs.safetensors")
    settings = replace(KEPT, task="classification", metric="roc_auc")
    tuned = finetune(folder, settings, "full_ft")
    run = fit_heads(folder, "ridge", settings, tuned)
    part = rows_of(tuned, "{}")["part"]
    check_by_hand(folder, run, "ridge", lambda s, f: saved_encoder(folder, tuned / "parts" / part.loc[(s, f)]))


def test_a_head_on_a_mixture_reads_the_mixed_encoder(folder: Path):
    """Of WiSE-FT's line the point that validation selects, with BatchNorm's statistics under the mixed weights."""
    grid = ({"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0})
    source = finetune(folder, FULL_FT, "full_ft")
    settings = replace(FULL_FT, method="wise_ft", grid=grid)
    tuned = interpolate(folder, settings, source, "wise_ft")
    # So that it is the middle that is selected.
    fits = schemas.read("predictions", tuned / "predictions.parquet")
    middle = fits["setting"] == setting_text(WiSE(0.5))
    truth = small_dataset.labels_of_size()
    fits.loc[middle, "prediction"] = pd.Series(list(truth[fits["molecule"]]), fits.index)[middle]
    schemas.write("predictions", fits, tuned / "predictions.parquet")
    run = fit_heads(folder, "kernel", settings, tuned, source)
    assert set(schemas.read("fits", run / "fits.parquet")["note"]) == {'encoder of {"alpha":0.5}'}
    part, data = rows_of(source, "{}")["part"], graphs.load(folder / "graphs.safetensors")
    splits = schemas.read("splits", folder / "splits.parquet")

    def encoder_of(seed: int, fold: int) -> Encoder:
        encoder = saved_encoder(folder, source / "parts" / part.loc[(seed, fold)])
        theta_0 = load_encoder(folder / "encoder.safetensors", 0.0).state_dict()
        half = dict.fromkeys(theta_0, 0.5)
        encoder.load_state_dict(interpolated(theta_0, encoder.state_dict(), half))
        rows = splits[(splits["seed"] == seed) & (splits["fold"] == fold) & (splits["role"] == "train")]
        sample = batchnorm.sample(rows["molecule"].to_numpy(np.int64), seed)
        batchnorm.estimate_all(encoder, evaluation_batches(encoder, data, sample))
        return encoder

    check_by_hand(folder, run, "kernel", encoder_of)


@pytest.mark.parametrize("protocol", ["honest", "paper"])
@pytest.mark.parametrize("method", ["wise_ft", "dwise_ft"])
def test_a_mixture_that_is_mixed_again_is_the_same(
    folder: Path, method: str, protocol: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(PROTOCOLS, protocol, replace(PROTOCOLS[protocol], mixing_steps=3))
    grid: tuple[dict[str, Any], ...] = ({"alpha": 0.3},) if method == "wise_ft" else ({"start": 0.5},)
    base = replace(FULL_FT, protocol=protocol, seeds=(0,))
    source = finetune(folder, base, "full_ft")
    settings = replace(base, method=method, grid=grid)
    tuned = interpolate(folder, settings, source, method)
    told = LearnerSettings(
        **{name: getattr(settings, name) for name in CONTEXT}, seeds=(0,), method=f"{method}+ridge", grid=({},)
    )
    cell = tuned_heads.LearnerCell(told, folder, folder / "splits.parquet", None)
    substances = parents.groups(schemas.read("molecules", folder / "molecules.parquet").loc[cell.molecules])
    assert cell.inputs.substances is not None
    assert cell.inputs.substances.tolist() == substances.tolist()
    job = jobs.Cell(settings, folder / "graphs.safetensors", folder / "encoder.safetensors", None)
    encoders = tuned_heads.TunedEncoders(job, tuned, source, cell.assigned, cell.labels)
    row = encoders.row(0, 1)
    encoder = encoders.of(row)
    part = encoders.sources.parts / encoders.sources.rows[0, 1]["part"]
    model = jobs.saved_model(job, part)
    model.encoder = encoder
    saved = saved_fits.read(tuned / "parts" / row["part"])
    splits = schemas.read("splits", folder / "splits.parquet")
    tested = splits[(splits["fold"] == 1) & (splits["seed"] == 0) & (splits["role"] == "test")]["molecule"].to_numpy()
    # In batches of other molecules, so to rounding.
    assert model.predict(job.molecules, tested) == pytest.approx(saved.predictions["test"], abs=1e-6)


def test_models_of_atoms_in_space_are_read_as_others_are(folder: Path):
    """Their own heads read atoms; a head in closed form reads what molecules' atoms are together, mean and sum."""
    architecture = {"kind": "so3lr", "layers": 3, "width": 128}
    state = {name: tensor.clone() for name, tensor in new_encoder(architecture).state_dict().items()}  # some are shared
    save_file(state, folder / "raw.safetensors")
    convert(folder / "raw.safetensors", architecture, folder / "encoder.safetensors", name="drawn")
    data = atoms_in_space.molecules()
    data.save(folder / "graphs.safetensors")
    table = molecule_table(atoms_in_space.SMILES, data.labels, dataset="sizes")
    schemas.write("molecules", table, folder / "molecules.parquet")
    roles = [*["train"] * 5, *["valid"] * 2, "test"]
    rows = [("honest", "sizes", "random", "all", 0, 0, molecule, role) for molecule, role in enumerate(roles)]
    splits = pd.DataFrame(rows, columns=schemas.SCHEMAS["splits"].names)
    schemas.write("splits", splits, folder / "splits.parquet")
    settings = replace(KEPT, seeds=(0,), extensive=True)
    tuned = finetune(folder, settings, "full_ft")
    run = fit_heads(folder, "ridge", settings, tuned)
    part = rows_of(tuned, "{}")["part"]
    check_by_hand(folder, run, "ridge", lambda s, f: saved_encoder(folder, tuned / "parts" / part.loc[(s, f)]))


def test_fits_whose_encoders_are_to_be_read_are_made_again_once(folder: Path):
    """Weights are kept where a head asks for them: what was fitted before without them is fitted once more."""
    settings = replace(FULL_FT, method="lp_ft")
    tuned = finetune(folder, settings, "lp_ft")
    before = schemas.read("predictions", tuned / "predictions.parquet")
    with pytest.raises(UserError, match=r"lp_ft.*holds no weights.*Delete fits.parquet"):
        fit_heads(folder, "ridge", settings, tuned)
    without = parts(tuned)
    finetune(folder, replace(settings, keep_weights=True), "lp_ft")
    kept = parts(tuned)
    assert kept.keys() == without.keys()
    assert all(kept[name] > without[name] for name in kept)
    pd.testing.assert_frame_equal(schemas.read("predictions", tuned / "predictions.parquet"), before)
    fit_heads(folder, "ridge", settings, tuned)
    finetune(folder, settings, "lp_ft")  # no head asks any more: what is there stays
    finetune(folder, replace(settings, keep_weights=True), "lp_ft")
    assert parts(tuned) == kept


def test_where_every_fit_failed_the_head_says_why(folder: Path):
    tuned = finetune(folder, KEPT, "full_ft")
    fits = schemas.read("fits", tuned / "fits.parquet")
    gone = (fits["seed"] == 1) & (fits["fold"] == 0)
    fits.loc[gone, ["status", "reason"]] = ["failed", "the training loss became nan in epoch 2"]
    schemas.write("fits", fits, tuned / "fits.parquet")
    run = fit_heads(folder, "ridge", KEPT, tuned)
    made = schemas.read("fits", run / "fits.parquet")
    assert made.groupby("seed")["status"].first().to_dict() == {0: "ok", 1: "failed"}
    assert set(made.loc[made["seed"] == 1, "reason"]) == {"full_ft failed: the training loss became nan in epoch 2"}
    assert set(schemas.read("predictions", run / "predictions.parquet")["seed"]) == {0}
    schemas.write("fits", fits[fits["seed"] == 0], tuned / "fits.parquet")
    with pytest.raises(UserError, match="seed 1, fold 0 is not in it"):
        fit_heads(folder, "ridge", KEPT, tuned)


def test_the_names_are_those_of_what_changes_an_encoder_and_of_heads_that_read_it():
    pairs = [name for name, method in ALL_METHODS.items() if method.encoder_of]
    assert {"full_ft+hybrid", "wise_ft+kernel", "scratch+ridge", "mft+kernel"} <= set(pairs)
    assert not [name for name in pairs if name.startswith(("linear_probing", "ridge", "fingerprint", "constant"))]
    assert {name.split("+")[1] for name in pairs} == {"ridge", "kernel", "hybrid"}
    one = ALL_METHODS["wise_ft+hybrid"]
    assert (one.title, one.kind, one.marker) == ("WiSE-FT + hybrid head", "tuned_head", ALL_METHODS["hybrid"].marker)
    shades = [
        [int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (ALL_METHODS["wise_ft"].colour, one.colour)
    ]
    assert shades[1] == [round(part + (255 - part) / 3) for part in shades[0]]  # a third of the way to white
    assert [one.compared, one.trains_encoder] == [False] * 2
    assert one.by_default  # as WiSE-FT's record says
    assert not ALL_METHODS["wise_ft+kernel"].by_default
    assert not ALL_METHODS["scratch+ridge"].fine_tunes
