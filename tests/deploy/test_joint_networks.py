"""Joint fine-tuning as it is handed out: folds of the union, one encoder for all targets, a bundle for each."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from molecule_tables import molecule_table
from roftmol.deploy import bundle, joint_networks, refit
from roftmol.deploy.bundle import Bundle
from roftmol.deploy.ensemble import EnsembleSettings, Networks
from roftmol.deploy.joint_networks import JointNetworks
from roftmol.deploy.refit import Learnt, RefitSettings
from roftmol.features import featurize
from roftmol.registry import catalog
from roftmol.stages import fetch_checkpoint
from roftmol.tables import schemas
from roftmol.training.fit import Fold, Task, TrainSettings
from small_dataset import SMILES, labels_of_size
from small_fits import pretrained

SHORT = TrainSettings(epochs=2, batch_size=8)
SETTINGS = EnsembleSettings("joint_ft", ({},), "regression", "rmse", SHORT, members=2)
TASKS = {"mine-class": Task("classification", "roc_auc"), "mine-size": Task("regression", "rmse")}
#: The molecules of each dataset: most are in both, one of them as a salt.
ROWS = {"mine-class": range(4, len(SMILES)), "mine-size": range(len(SMILES) - 4)}


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    found = {}
    for name, rows in ROWS.items():
        texts = [SMILES[row] + ("." + "Cl" if name == "mine-class" and row == 6 else "") for row in rows]
        labels = labels_of_size(classification=name == "mine-class")[list(rows)]
        found[name] = molecule_table(texts, labels, dataset=name)
    return found


def source(tables: dict[str, pd.DataFrame], dataset: str) -> JointNetworks:
    return JointNetworks.of(pretrained(), "hu", tables, TASKS, dataset)


def test_a_substance_stops_one_member_in_all_targets_and_every_label_teaches(tables: dict[str, pd.DataFrame]) -> None:
    folds = source(tables, "mine-size").folds(SETTINGS)
    stops: dict[str, set[int]] = {}
    for name, of in folds.items():
        assert sorted(np.concatenate([fold.valid for fold in of])) == list(range(len(tables[name])))
        for number, fold in enumerate(of):
            assert sorted([*fold.train, *fold.valid]) == list(range(len(tables[name])))
            for parent in tables[name]["parent"].to_numpy()[fold.valid]:
                stops.setdefault(parent, set()).add(number)
    assert all(len(numbers) == 1 for numbers in stops.values())
    assert len(stops) < sum(map(len, tables.values()))


def test_all_targets_have_the_same_encoders_and_heads_of_their_own(tables: dict[str, pd.DataFrame]) -> None:
    everything = {name: np.arange(len(table)) for name, table in tables.items()}
    forwards = {
        name: source(tables, name).fit(
            everything[name], replace(SETTINGS, task=TASKS[name].kind, metric=TASKS[name].metric)
        )
        for name in tables
    }
    backwards = source(dict(reversed(tables.items())), "mine-class").fit(
        everything["mine-class"], replace(SETTINGS, task="classification", metric="roc_auc")
    )
    for one, other, again in zip(*(of.members for of in (*forwards.values(), backwards)), strict=True):
        state, theirs, same = (model.state_dict() for model in (one, other, again))
        encoder = [name for name in state if name.startswith("encoder.")]
        assert encoder
        assert all(torch.equal(state[name], theirs[name]) for name in encoder)
        assert all(torch.equal(state[name], same[name]) for name in state)
        assert not torch.equal(state["head.weight"], theirs["head.weight"])


def test_a_panel_of_one_is_full_fine_tuning(tables: dict[str, pd.DataFrame], monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables["mine-size"]
    alone = JointNetworks.of(pretrained(), "hu", {"mine-size": table}, TASKS, "mine-size")
    rows = np.arange(len(table))
    fold = Fold(rows[6:], rows[:6], np.empty(0, np.int64))
    monkeypatch.setattr(joint_networks.JointNetworks, "folds", lambda *_: {"mine-size": [fold]})
    labels = np.array(table["labels"].tolist(), np.float32)
    single = Networks(pretrained(), featurize.from_smiles(table["smiles"].tolist(), labels, name="hu"), rows)
    (_, joint), (_, full) = (
        of.start(0, fold, replace(SETTINGS, method=method))(settings)
        for of, method, settings in (
            (alone, "joint_ft", joint_networks.METHODS["joint_ft"].parse({})),
            (single, "full_ft", joint_networks.METHODS["full_ft"].parse({})),
        )
    )
    np.testing.assert_array_equal(joint, full)


def refitted(tables: dict[str, pd.DataFrame], folder: Path, dataset: str) -> Bundle:
    """Refit a target for which a verdict has chosen joint fine-tuning."""
    table = tables[dataset]
    for name, of in tables.items():
        schemas.write("molecules", of, folder / name / "molecules.parquet")
    keys = {"protocol": "honest", "model": "gin-distilled", "dataset": dataset, "split": "joint_cv", "budget": "all"}
    rows = pd.DataFrame({"molecule": table["molecule"], "seed": table["molecule"] % 5})
    values = [[0.5 + 0.01 * number] for number in range(len(rows))]
    rows = rows.assign(
        **keys, method="joint_ft", setting="{}", partition="test", prediction=values, spread=[[0.1]] * len(rows)
    )
    schemas.write("predictions", rows, folder / "tables/predictions.parquet")
    (folder / "verdict.json").write_text(json.dumps({"choice": {"model": "gin-distilled", "method": "joint_ft"}}))
    settings = RefitSettings(
        target=dataset,
        task=TASKS[dataset].kind,
        metric=TASKS[dataset].metric,
        grids={"gin-distilled": {"joint_ft": [{}]}},
        featurizers={"gin-distilled": "hu"},
        training={"epochs": 1, "batch_size": 8},
        members=2,
        level=0.9,
        dataset=dataset,
        panel=tuple(Learnt(name, task.kind, task.metric) for name, task in TASKS.items()),
    )
    paths = folder / dataset / "molecules.parquet", folder / "tables", folder / "verdict.json"
    checkpoints, out = folder / "checkpoints", folder / f"{dataset}.roftmol"
    refit.refit(settings, *paths, checkpoints, out, folder)
    read = bundle.read(out)
    assert isinstance(read, Bundle)
    return read


def test_the_choice_of_joint_fine_tuning_becomes_a_bundle_of_each_target(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    entry = catalog.checkpoints()["gin-distilled"]
    fetch_checkpoint.run(entry.to_dict(), archives=tmp_path, out=tmp_path / "checkpoints/gin-distilled.safetensors")
    read = {name: refitted(tables, tmp_path, name) for name in tables}
    for name, one in read.items():
        assert one.card["method"] == "joint_ft"
        assert one.card["molecules"] == len(tables[name])
        assert np.isfinite(one.predict(["CCO"])[one.columns[0]]).all()
    # One encoder for both, as many times as there are members.
    for models in zip(*(one.members for one in read.values()), strict=True):
        state, theirs = (model.encoder.state_dict() for model in models)
        assert all(torch.equal(state[name], theirs[name]) for name in state)


def test_a_part_of_one_target_alone_is_never_learnt_jointly(tables: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(AssertionError, match="leaves open what the others learn from"):
        source(tables, "mine-size").fit(np.arange(5), SETTINGS)
