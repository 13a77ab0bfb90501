"""The first verdict: the fits of the cells' own stages, all of them in one job, and the verdict of the last one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import Crippen

from molecule_tables import SMILES, molecule_table
from roftmol.data.splits import SplitSettings, assign
from roftmol.deploy.first_verdict import FirstSettings, first_verdict, folder_of
from roftmol.deploy.verdict import VerdictSettings
from roftmol.features import array_file, descriptors, featurize
from roftmol.registry import catalog
from roftmol.stages import fetch_checkpoint
from roftmol.tables import schemas
from roftmol.training import learners, vectors
from roftmol.training.learners import LearnerSettings

SEEDS = (0, 1, 2, 3, 4)
CELL = {"protocol": "honest", "dataset": "own", "split": "cv", "budget": "all", "seeds": SEEDS}
FINGERPRINT = ({"learner": "linear", "alpha": 10.0}, {"learner": "linear", "alpha": 1.0})
PRIOR = (("gin-distilled", "hybrid"), ("rdkit", "classical"))


def cell(method: str, model: str = "", grid: tuple[dict, ...] = ({},)) -> LearnerSettings:
    return LearnerSettings(**CELL, task="regression", metric="rmse", method=method, grid=grid, model=model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty molecules with their logP, dealt into five parts, and an encoder."""
    folder = tmp_path_factory.mktemp("own")
    smiles = SMILES[20:80]
    values = np.array([[Crippen.MolLogP(Chem.MolFromSmiles(text))] for text in smiles])
    table = molecule_table(smiles, values)
    data = folder / "data"
    schemas.write("molecules", table, data / "molecules.parquet")
    schemas.write("rejects", schemas.empty("rejects"), data / "rejects.parquet")
    task = {"dataset": "own", "task": 0, "name": "logP", "kind": "regression", "labelled": len(smiles)}
    task |= {"positives": None, "mean": values.mean(), "std": values.std(), "lower_limits": 0, "upper_limits": 0}
    schemas.write("tasks", pd.DataFrame([task]), data / "tasks.parquet")
    about = SplitSettings("honest", "own", "cv", "all", SEEDS, "regression", validation="crossfit", folds=5)
    schemas.write("splits", assign(table, about), folder / "splits.parquet")
    entry = catalog.checkpoints()["gin-distilled"]
    fetch_checkpoint.run(entry.to_dict(), archives=folder, out=folder / "checkpoints/gin-distilled.safetensors")
    return folder


def test_it_makes_the_fits_that_the_stages_make_and_judges_them(folder: Path, tmp_path: Path):
    cells = (
        cell("hybrid", "gin-distilled"),
        cell("classical"),
        cell("descriptors"),
        cell("fingerprint", grid=FINGERPRINT),
        cell("constant"),
    )
    verdict = VerdictSettings("own", "logP", "regression", "rmse", "cv", prior=PRIOR)
    settings = FirstSettings(cells, {"gin-distilled": "hu"}, "validation", verdict)
    paths = (folder / "data", folder / "splits.parquet")
    first_verdict(settings, *paths, folder / "checkpoints", tmp_path / "runs", tmp_path / "first", processes=2)

    table = schemas.read("molecules", folder / "data/molecules.parquet")
    described = tmp_path / "descriptors.safetensors"
    array_file.save("descriptors", descriptors.descriptors(table["smiles"].tolist()), descriptors.MADE, described)
    featurize.featurize(table, "hu", 1).save(tmp_path / "graphs.safetensors")
    checkpoint = folder / "checkpoints/gin-distilled.safetensors"
    vectors.embed(tmp_path / "graphs.safetensors", checkpoint, "cpu", tmp_path / "vectors.safetensors")
    for one in cells:
        read = (
            described if one.method in ("hybrid", "classical", "descriptors") else None,
            tmp_path / "vectors.safetensors" if one.model else None,
        )
        learners.run(one, *paths, tmp_path / "own" / one.method, *read)
        tables = [
            schemas.read("predictions", path / "predictions.parquet").drop(columns="spread")
            for path in (folder_of(one, tmp_path / "runs"), tmp_path / "own" / one.method)
        ]
        predicted = [np.concatenate(part.pop("prediction").to_numpy()) for part in tables]
        pd.testing.assert_frame_equal(*tables)
        assert predicted[0] == pytest.approx(predicted[1], rel=1e-6)

    decided = json.loads((tmp_path / "first/verdict.json").read_text())
    assert decided["choice"] == {"model": "gin-distilled", "method": "hybrid"}
    assert decided["candidates"] == 4
    assert decided["predictable"]
    assert schemas.read("ranking", tmp_path / "first/ranking.parquet")["method"].iloc[-1] == "constant"
    assert folder_of(cells[0], tmp_path / "runs") == tmp_path / "runs/honest/gin-distilled/own/cv-all/hybrid"
    assert folder_of(cells[1], tmp_path / "runs") == tmp_path / "runs/honest/rdkit/own/cv-all/classical"


def test_labels_without_a_signal_are_called_so(folder: Path, tmp_path: Path):
    """Shuffled labels: the heads are as good as the mean, and the constant is handed out."""
    table = schemas.read("molecules", folder / "data/molecules.parquet")
    shuffled = table.assign(labels=table["labels"].sample(frac=1, random_state=1).tolist())
    for name in ("tasks", "rejects"):
        schemas.write(name, schemas.read(name, folder / f"data/{name}.parquet"), tmp_path / f"data/{name}.parquet")
    schemas.write("molecules", shuffled, tmp_path / "data/molecules.parquet")
    verdict = VerdictSettings("own", "logP", "regression", "rmse", "cv", prior=PRIOR)
    cells = (cell("hybrid", "gin-distilled"), cell("classical"), cell("constant"))
    settings = FirstSettings(cells, {"gin-distilled": "hu"}, "validation", verdict)
    about = SplitSettings("honest", "own", "cv", "all", SEEDS, "regression", validation="crossfit", folds=5)
    schemas.write("splits", assign(shuffled, about), tmp_path / "splits.parquet")
    paths = (tmp_path / "data", tmp_path / "splits.parquet", folder / "checkpoints")
    first_verdict(settings, *paths, tmp_path / "runs", tmp_path / "first")
    decided = json.loads((tmp_path / "first/verdict.json").read_text())
    assert not decided["predictable"]
    assert decided["choice"]["method"] == "constant"
    assert decided["sentences"][0].startswith("These labels cannot be predicted")


def test_a_seed_that_is_not_dealt_is_named(folder: Path, tmp_path: Path):
    from roftmol.core.errors import UserError

    verdict = VerdictSettings("own", "logP", "regression", "rmse", "cv", prior=PRIOR)
    settings = FirstSettings((replace(cell("constant"), seeds=(9,)),), {}, "validation", verdict)
    with pytest.raises(UserError, match="seed 9 is not in the table"):
        first_verdict(settings, folder / "data", folder / "splits.parquet", folder, tmp_path / "runs", tmp_path / "out")
