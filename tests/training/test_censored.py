"""Labels that may be limits, from a user's file to tables, verdict and bundle: who learns what, and what is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem
from rdkit.Chem.Crippen import MolLogP

from molecule_tables import SMILES
from roftmol.data import molecules, splits
from roftmol.deploy import bundle
from roftmol.deploy.ensemble import EnsembleSettings
from roftmol.deploy.refit import fit_bundle
from roftmol.deploy.verdict import VerdictSettings, decide
from roftmol.encoders.checkpoints import convert
from roftmol.encoders.kinds import new_encoder
from roftmol.evaluation.aggregate import aggregate
from roftmol.evaluation.diagnostics.stage import DiagnosticsSettings, diagnose
from roftmol.experiment.config import experiment
from roftmol.features import array_file, descriptors, featurize
from roftmol.methods.fingerprint import GRID
from roftmol.statistics import stage as statistics
from roftmol.tables import schemas
from roftmol.tasks import TASKS
from roftmol.tasks.censored_regression import concordance, encoded, numbers, sides
from roftmol.training import jobs, learners
from roftmol.training.fit import TrainSettings

CHOSEN = SMILES[20:80]
LOG_P = np.array([MolLogP(Chem.MolFromSmiles(text)) for text in CHOSEN]).round(2)
LIMIT = float(np.quantile(LOG_P, 0.7).round(2))
BOUND = LOG_P > LIMIT
TASK = "censored_regression"
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of networks, a mixture, a head and references on a file with limits."""
    place = tmp_path_factory.mktemp("censored")
    results, tables = place / "results", place / "tables"
    data, cell = results / "data" / "mine", "honest/{}/mine/cv-all"
    texts = [f">{LIMIT}" if bound else str(value) for bound, value in zip(BOUND, LOG_P, strict=True)]
    pd.DataFrame({"smiles": CHOSEN, "logP": texts}).to_csv(place / "mine.csv", index=False)
    own = {"path": str(place / "mine.csv"), "smiles": "smiles", "labels": ["logP"], "task": "regression"}
    planned = experiment({"own_datasets": {"mine": {**own, "censored": "one_sided"}}, "datasets": ["mine"]})
    read = dict(
        zip(
            ("molecules", "rejects", "tasks"),
            molecules.read(place / "mine.csv", planned.datasets["mine"], max_rejected=0.0),
            strict=True,
        )
    )
    for name, table in read.items():
        schemas.write(name, table, data / f"{name}.parquet")
    data.joinpath("graphs").mkdir()
    featurize.featurize(read["molecules"]).save(data / "graphs" / "hu.safetensors")
    array_file.save("descriptors", descriptors.descriptors(CHOSEN), descriptors.MADE, data / "descriptors.safetensors")
    file = results / "splits" / "honest" / "mine" / "cv-all.parquet"
    asked = splits.SplitSettings("honest", "mine", "cv", "all", SEEDS, TASK)
    schemas.write("splits", splits.assign(read["molecules"], asked), file, asked)
    torch.manual_seed(0)
    architecture = {"kind": "gin", "layers": 2, "width": 16}
    torch.save(new_encoder(architecture).state_dict(), place / "raw.pth")
    convert(place / "raw.pth", architecture, place / "encoder.safetensors", name="tiny")
    common = {
        **{"protocol": "honest", "dataset": "mine", "split": "cv", "budget": "all"},
        **{"seeds": SEEDS, "task": TASK, "metric": "rmse_of_values"},
    }
    training = {"model": "tiny", "training": TrainSettings(epochs=3, batch_size=8), "device": "cpu"}
    names = ("full_ft", "bss", "lp_ft_closed", "wise_ft", "dwise_ft", "fingerprint", "constant", "classical")
    of = {"fingerprint": "morgan", "constant": "none", "classical": "rdkit"}
    runs = {name: results / "runs" / cell.format(of.get(name, "tiny")) / name for name in names}
    inputs = (data / "graphs" / "hu.safetensors", file, place / "encoder.safetensors")
    for name, grid in (("full_ft", {}), ("bss", {"lam": 0.01, "k": 1}), ("lp_ft_closed", {})):
        jobs.finetune(jobs.RunSettings(**common, **training, method=name, grid=(grid,)), *inputs, runs[name])
    for name, grid in (("wise_ft", {"alpha": 0.5}), ("dwise_ft", {"start": 0.5})):
        mixture = jobs.RunSettings(**common, **training, method=name, grid=(grid,))
        jobs.interpolate(mixture, *inputs, runs["full_ft"], runs[name])
    for name, grid in (("fingerprint", {"learner": "linear"}), ("constant", {}), ("classical", {})):
        described = data / "descriptors.safetensors" if name == "classical" else None
        settings = learners.LearnerSettings(**common, method=name, grid=(grid,))
        learners.run(settings, data, file, runs[name], described)
    for run in runs.values():
        assert set(schemas.read("fits", run / "fits.parquet")["status"]) == {"ok"}, run
    aggregate(list(runs.values()), [data], "validation", tables)
    diagnose(DiagnosticsSettings(), tables, results, tables)
    statistics.build(tables, tables, 100)
    decide(VerdictSettings("mine", "logP", TASK, "rmse_of_values", "cv"), tables, tables)
    return place


def test_scores_of_errors_are_of_values_and_order_is_of_all(results: Path):
    tables = results / "tables"
    predictions = schemas.read("predictions", tables / "predictions.parquet")
    selected = schemas.read("selected", tables / "selected.parquet").set_index(["method", "seed"])
    scores = schemas.read("scores", tables / "scores.parquet")
    scores = scores[(scores["partition"] == "test") & (scores["task"] == "macro")]
    tested = predictions[predictions["partition"] == "test"]
    y = encoded(np.where(BOUND, LIMIT, LOG_P), BOUND.astype(np.int64))
    assert tested["method"].nunique() == 8
    for (method, seed), rows in tested.groupby(["method", "seed"]):
        p, rowsof = rows["prediction"].str[0].to_numpy(np.float64), rows["molecule"].to_numpy()
        known = ~BOUND[rowsof]
        assert not known.all()
        rmse = np.sqrt(np.mean((p - LOG_P[rowsof])[known] ** 2))
        assert selected.loc[(method, seed), "test_value"] == pytest.approx(rmse, rel=1e-4), method
        assert np.isfinite(selected.loc[(method, seed), "test_r2"])
        here = scores[(scores["method"] == method) & (scores["seed"] == seed)].drop_duplicates("metric")
        if method != "wise_ft":
            value = here.set_index("metric").loc["concordance", "value"]
            assert value == pytest.approx(concordance(y[rowsof], p), abs=1e-6), method


def test_the_constant_is_the_mean_of_the_values(results: Path):
    assigned = schemas.read("splits", results / "results/splits/honest/mine/cv-all.parquet")
    learnt = assigned[(assigned["seed"] == 0) & assigned["role"].isin(["train", "valid"])]["molecule"].to_numpy()
    predictions = schemas.read("predictions", results / "tables/predictions.parquet")
    here = predictions[(predictions["method"] == "constant") & (predictions["seed"] == 0)]
    constant = here[here["partition"] == "test"]["prediction"].str[0]
    assert constant.to_numpy() == pytest.approx(LOG_P[learnt][~BOUND[learnt]].mean(), rel=1e-5)


def test_a_gaussian_process_learns_what_the_limits_say(results: Path):
    """What it predicts for molecules of which the limit alone is known lies higher than without the limits."""
    predictions = schemas.read("predictions", results / "tables/predictions.parquet")
    tested = predictions[(predictions["partition"] == "test") & predictions["molecule"].isin(np.flatnonzero(BOUND))]
    mean = tested.assign(value=tested["prediction"].str[0]).groupby("method")["value"].mean()
    assert mean["classical"] > LIMIT > mean["fingerprint"] > mean["constant"]


def test_statistics_and_verdict_go_by_the_same_metric(results: Path):
    comparisons = schemas.read("comparisons", results / "tables/comparisons.parquet")
    assert set(comparisons["metric"]) == {"rmse_of_values"}
    assert set(comparisons["scale"]) == {"relative"}
    ranking = schemas.read("ranking", results / "tables/ranking.parquet").set_index("method")
    assert np.isfinite(ranking["r2"]).all()
    assert "RMSE of values" in (results / "tables/verdict.json").read_text()


@pytest.mark.parametrize("method", ["classical", "descriptors", "fingerprint", "constant"])
def test_a_bundle_is_calibrated_by_values_alone(method: str, tmp_path: Path):
    side = BOUND.astype(np.int64)
    labels = encoded(np.where(BOUND, LIMIT, LOG_P), side).astype(np.float32)
    grid = tuple(vars(setting) for setting in GRID[:2]) if method == "fingerprint" else ({},)
    settings = EnsembleSettings(method, grid, TASK, TASKS[TASK].primary.name)
    fitted = fit_bundle(list(CHOSEN), CHOSEN, labels, settings, None, {"target": "logP"}, 0.9)
    assert fitted.card["calibration"]["molecules"] == (~BOUND).sum()
    assert fitted.card["labels"]["limits"] == BOUND.sum()
    assert fitted.card["labels"]["max"] == pytest.approx(LOG_P[~BOUND].max())
    assert fitted.card["labels"]["mean"] == pytest.approx(LOG_P[~BOUND].mean(), rel=1e-5)
    assert f"{BOUND.sum()} limits" in fitted.describe()
    bundle.write(fitted, tmp_path / "a.roftmol")
    again = bundle.read(tmp_path / "a.roftmol")
    new, old = again.predict(list(SMILES[:20])), fitted.predict(list(SMILES[:20]))
    assert new["prediction"].to_numpy() == pytest.approx(old["prediction"].to_numpy(), rel=1e-9)
    if method != "classical":  # the others leave limits out, whatever they say
        moved = encoded(np.where(BOUND, LIMIT + 100, LOG_P), side).astype(np.float32)
        others = fit_bundle(list(CHOSEN), CHOSEN, moved, settings, None, {"target": "logP"}, 0.9)
        assert others.card["labels"] == fitted.card["labels"]
        assert others.card["out_of_sample"] == fitted.card["out_of_sample"]
        assert others.predict(list(SMILES[:20])).equals(old)


def test_every_part_of_a_cross_validation_has_values_and_limits(results: Path):
    stored = np.concatenate(schemas.read("molecules", results / "tables/molecules.parquet")["labels"].tolist())
    assert np.array_equal(sides(stored) == 1, BOUND)
    assert numbers(stored)[BOUND] == pytest.approx(LIMIT)
    assigned = schemas.read("splits", results / "results/splits/honest/mine/cv-all.parquet")
    for _, part in assigned.groupby(["seed", "role"]):
        assert 0 < BOUND[part["molecule"].to_numpy()].sum() < len(part)
