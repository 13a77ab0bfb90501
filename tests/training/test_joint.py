"""The jobs of joint fine-tuning: parts of a panel's fits, and the run folders that they give each dataset."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cell_jobs import FULL_FT, finetune
from molecule_tables import molecule_table
from roftmol.core.errors import UserError
from roftmol.experiment.config import experiment
from roftmol.features import array_file, featurize
from roftmol.features.descriptors import MADE as DESCRIPTORS
from roftmol.features.descriptors import NAMES as NAMES_OF_RDKIT
from roftmol.features.inputs import GFN2, GFN2_FIELDS, GFN2_NAMES
from roftmol.methods import ALL_METHODS, of_panels
from roftmol.tables import schemas
from roftmol.training import jobs, joint, tuned_heads
from roftmol.training.fit import DivergedError, TrainSettings
from roftmol.training.forward import pooled
from roftmol.training.joint import JointSettings
from roftmol.training.learners import LearnerSettings
from roftmol.training.saved_fits import saved_weights
from roftmol.training.tuned_heads import TunedHeadSettings
from small_dataset import SMILES, labels_of_size, split_table
from stage_settings import settings_for

#: A dataset of values and one of classes, of the same molecules but for a few.
NAMES = ("many", "sizes")
MEMBERS = {
    "many": replace(FULL_FT, method="joint_ft", dataset="many", task="classification", metric="roc_auc"),
    "sizes": replace(FULL_FT, method="joint_ft"),
}


def members(names=NAMES, **changes) -> tuple[jobs.RunSettings, ...]:
    return tuple(replace(MEMBERS[name], panel="liver", together=tuple(names), **changes) for name in names)


@pytest.fixture
def results(cell: Path) -> Path:
    """A results folder with two datasets and their splits, each with molecules of its own."""
    for name, chosen in (("many", slice(2, None)), ("sizes", slice(0, 22))):
        texts = SMILES[chosen]
        table = molecule_table(texts, labels_of_size(classification=name == "many")[chosen], dataset=name)
        folder = cell / "data" / name
        schemas.write("molecules", table, folder / "molecules.parquet")
        featurize.featurize(table).save(folder / "graphs" / "hu.safetensors")
        # By the molecule, so that most of them have one role in both.
        split = split_table().assign(dataset=name)
        of_molecule = {SMILES.index(text): number for number, text in enumerate(texts)}
        split = split[split["molecule"].isin(of_molecule)]
        schemas.write(
            "splits",
            split.assign(molecule=split["molecule"].map(of_molecule)),
            cell / "splits" / "honest" / name / "random-all.parquet",
        )
    return cell


def train(results: Path, settings: tuple[jobs.RunSettings, ...], out: str = "panel") -> Path:
    joint.train_panel(JointSettings("hu", settings), results, results / "encoder.safetensors", results / out)
    return results / out


def share(results: Path, settings: jobs.RunSettings, panel: Path) -> Path:
    out = results / "runs" / settings.dataset
    joint.share(settings, results / "splits" / "honest" / settings.dataset / "random-all.parquet", panel, out)
    return out


def times(panel: Path) -> dict[str, int]:
    return {str(path.relative_to(panel)): path.stat().st_mtime_ns for path in panel.glob("parts/*/*")}


def test_a_panel_of_one_dataset_gives_the_run_of_full_ft_and_finished_fits_are_kept(results: Path):
    alone = members(("sizes",), seeds=(1,))
    panel = train(results, alone)
    run = share(results, alone[0], panel)
    folder = results / "data" / "sizes"
    shutil.copy(folder / "graphs" / "hu.safetensors", results / "graphs.safetensors")
    shutil.copy(results / "splits/honest/sizes/random-all.parquet", results / "splits.parquet")
    single = finetune(results, replace(FULL_FT, keep_weights=True, seeds=(1,)))
    for name in ("predictions", "curves", "changes"):
        one, other = (schemas.read(name, path / f"{name}.parquet") for path in (run, single))
        setting = '{"weighting":"equal"}'
        pd.testing.assert_frame_equal(one, other.assign(method="joint_ft", setting=setting))
    fits, others = (schemas.read("fits", path / "fits.parquet") for path in (run, single))
    same = ["seed", "fold", "status", "best_epoch", "epochs", "valid_metric", "valid_loss", "trained_parameters"]
    pd.testing.assert_frame_equal(fits[same], others[same])
    for one, other in zip(fits["part"], others["part"], strict=True):
        mine, theirs = saved_weights(run / "parts" / one), saved_weights(single / "parts" / other)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def test_each_dataset_gets_a_run_and_another_seed_costs_itself_alone(results: Path, capsys):
    grid = ({"weighting": "equal"}, {"weighting": "learned"})
    settings = members(grid=grid, seeds=(0,))
    panel = train(results, settings)
    before = times(panel)
    assert len(before) == 4
    settings = members(grid=grid)
    train(results, settings)
    after = times(panel)
    assert len(after) == 8
    assert before.items() <= after.items()
    all_fits = schemas.read("fits", panel / "fits.parquet")
    weights = []
    for member in settings:
        run = share(results, member, panel)
        data = results / "data" / member.dataset
        fits, curves = (schemas.read(name, run / f"{name}.parquet") for name in ("fits", "curves"))
        assert len(fits) == 4
        assert set(fits["status"]) == {"ok"}
        assert fits["configuration"].nunique() == 1
        # What a part holds is an ordinary model of the dataset, which predicts what stands in the table.
        cell = jobs.Cell(member, data / "graphs" / "hu.safetensors", results / "encoder.safetensors", None)
        predictions = schemas.read("predictions", run / "predictions.parquet")
        first = fits.iloc[0]
        rows = predictions[(predictions["seed"] == first["seed"]) & (predictions["setting"] == first["setting"])]
        tested = rows[rows["partition"] == "test"]
        again = jobs.saved_model(cell, run / "parts" / first["part"]).predict(cell.molecules, tested["molecule"])
        np.testing.assert_allclose(np.stack(tested["prediction"].tolist()), again, rtol=1e-5)
        weights.append(schemas.read("loss_weights", run / "loss_weights.parquet"))
        assert len(weights[-1]) == len(curves)
        assert set(weights[-1]["panel"]) == {"liver"}
    # The same encoder, and two heads.
    parts = [
        saved_weights(results / "runs" / name / "parts" / rows["part"].iloc[0])
        for name, rows in all_fits.groupby("dataset")
    ]
    assert all(
        torch.equal(parts[0][name], parts[1][name]) == name.startswith("encoder.")
        for name in parts[0]
        if name.startswith(("encoder.", "head."))
    )
    equal, learned = (
        weights[0].loc[weights[0]["setting"] == f'{{"weighting":"{name}"}}', "weight"] for name in ("equal", "learned")
    )
    assert set(equal) == {1.0}
    assert learned.nunique() > 1
    # A part that cannot be read is named, and made again.
    part = panel / "parts" / "many" / all_fits.loc[all_fits["dataset"] == "many", "part"].iloc[0]
    shutil.rmtree(results / "runs" / "many")
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(UserError, match=f"{part}.*cannot be read. Delete it, and fits.parquet in the panel's folder"):
        share(results, settings[0], panel)
    capsys.readouterr()
    train(results, settings)
    assert len(capsys.readouterr().err.splitlines()) == 2  # a line a dataset, of one fit
    share(results, settings[0], panel)


def test_what_a_fit_of_one_dataset_depends_on_are_the_others_too(results: Path):
    settings = members(seeds=(0,))
    panel = train(results, settings)
    parts = set(times(panel))
    path = results / "splits" / "honest" / "sizes" / "random-all.parquet"
    split = schemas.read("splits", path)
    first = split[(split["seed"] == 0) & (split["role"] == "train")].index[0]
    schemas.write("splits", split.drop(index=first), path)
    train(results, settings)
    assert len(set(times(panel)) - parts) == 2
    fewer = split[split["seed"] == 0].assign(fold=1)
    schemas.write("splits", fewer, path)
    with pytest.raises(UserError, match="panel liver: the splits of many and sizes have other seeds or folds"):
        train(results, settings)


def test_a_fit_that_fails_fails_for_every_dataset_and_its_time_is_shared(results: Path, monkeypatch):
    def diverges(*_):
        raise DivergedError("the training loss became nan in epoch 1")

    monkeypatch.setattr(joint.joint_loop, "train", diverges)
    settings = members(seeds=(0,), training=TrainSettings(epochs=1, batch_size=8))
    panel = train(results, settings)
    fits = schemas.read("fits", panel / "fits.parquet")
    assert set(fits["reason"]) == {"the training loss became nan in epoch 1"}
    train_molecules = []
    for member in settings:
        run = share(results, member, panel)
        assert schemas.read("predictions", run / "predictions.parquet").empty
        split = schemas.read("splits", results / "splits" / "honest" / member.dataset / "random-all.parquet")
        train_molecules.append(((split["seed"] == 0) & (split["role"] == "train")).sum())
    seconds = fits["wall_seconds"].to_numpy()
    assert seconds[0] / seconds[1] == pytest.approx(train_molecules[0] / train_molecules[1])


def described(results: Path, changed: tuple[str, str, int] = ("", "", 0)) -> None:
    """Write the datasets' descriptors; of `changed`, a dataset, a kind of them and a molecule, this one is another."""
    for dataset in NAMES:
        molecules = schemas.read("molecules", results / "data" / dataset / "molecules.parquet")
        rng = np.random.default_rng([len(text) for text in SMILES])
        rows = [SMILES.index(text) for text in molecules["smiles"]]
        rdkit = rng.normal(7, 3, (len(SMILES), len(NAMES_OF_RDKIT))).astype(np.float32)[rows]
        gfn2 = rng.normal(-20, 9, (len(SMILES), len(GFN2_NAMES))).astype(np.float32)[rows]
        gfn2[:, len(GFN2_FIELDS) :] = 1
        gfn2[np.array(rows) == 5] = 0  # it has none
        of_kind = {"descriptors": (DESCRIPTORS, rdkit), "gfn2": (GFN2, gfn2)}
        if changed[0] == dataset:
            of_kind[changed[1]][1][changed[2], : len(GFN2_FIELDS)] += 50
        for name, (made, values) in of_kind.items():
            array_file.save(name, values, made, results / "data" / dataset / f"{name}.safetensors")


def in_union(results: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """The row in `SMILES` of each dataset's molecules, and the rows that train either in seed 0."""
    rows, train = [], []
    for dataset in NAMES:
        molecules = schemas.read("molecules", results / "data" / dataset / "molecules.parquet")
        rows.append(np.array([SMILES.index(text) for text in molecules["smiles"]]))
        split = schemas.read("splits", results / "splits" / "honest" / dataset / "random-all.parquet")
        train.append(rows[-1][split.loc[(split["seed"] == 0) & (split["role"] == "train"), "molecule"]])
    return rows, np.unique(np.concatenate(train))


DESCRIBED = tuple({"weighting": "equal", "descriptors": name} for name in ("none", "rdkit", "gfn2", "both", "qw4"))


def test_heads_read_descriptors_that_are_standardised_on_the_molecules_that_train_any_dataset(results: Path):
    described(results)
    settings = members(grid=DESCRIBED, seeds=(0,))
    panel = train(results, settings)
    rows, trains = in_union(results)
    assert set(trains) != set(rows[0]) & set(rows[1])  # some train one dataset alone
    for member, of_dataset in zip(settings, rows, strict=True):
        data = results / "data" / member.dataset
        run = share(results, member, panel)
        cell = jobs.Cell(member, data / "graphs" / "hu.safetensors", results / "encoder.safetensors", None)
        rdkit = array_file.load("descriptors", DESCRIPTORS, data / "descriptors.safetensors")
        fits = schemas.read("fits", run / "fits.parquet").set_index("setting")
        predictions = schemas.read("predictions", run / "predictions.parquet")
        setting = '{"descriptors":"rdkit","weighting":"equal"}'
        tested = predictions[(predictions["setting"] == setting) & (predictions["partition"] == "test")]
        part = run / "parts" / fits.loc[setting, "part"]
        weights = saved_weights(part)
        encoder = jobs.saved_encoder(cell, part)
        x = pooled(encoder, cell.molecules, tested["molecule"].to_numpy()).numpy()
        # All descriptors of the union in the order of `SMILES`, from both datasets' files.
        union = np.full((len(SMILES), rdkit.shape[1]), np.nan)
        for name, of_other in zip(NAMES, rows, strict=True):
            path = results / "data" / name / "descriptors.safetensors"
            union[of_other] = array_file.load("descriptors", DESCRIPTORS, path)
        mean, deviation = union[trains].mean(0), union[trains].std(0)
        d = np.clip((union[of_dataset[tested["molecule"]]] - mean) / deviation, -5, 5)
        W, b = weights["head.weight"].numpy(), weights["head.bias"].numpy()
        assert W.shape == (1, encoder.width + rdkit.shape[1])
        output = (np.hstack([x, d]) @ W.T + b).ravel()
        if member.task == "classification":
            expected = 1 / (1 + np.exp(-output))
        else:
            expected = output * weights["scale"].item() + weights["shift"].item()
        np.testing.assert_allclose(np.concatenate(tested["prediction"].tolist()), expected, rtol=1e-3, atol=1e-4)
        widths = {
            text: saved_weights(run / "parts" / name)["head.weight"].shape[1] - encoder.width
            for text, name in fits["part"].items()
        }
        f, q = len(NAMES_OF_RDKIT), len(GFN2_FIELDS)
        marks = q if 5 in trains else 0
        assert list(widths.values()) == [0, f, q + marks, f + q + marks, f + 8]
        trained = fits["trained_parameters"]
        assert (trained - trained.iloc[0]).tolist() == list(widths.values())


def test_a_fit_depends_on_the_descriptors_that_it_reads_and_on_no_others(results: Path):
    before = set(times(train(results, members(seeds=(0,)))))  # there is no file of descriptors yet
    described(results)
    settings = members(grid=DESCRIBED, seeds=(0,))
    panel = train(results, settings)
    parts = schemas.read("fits", panel / "fits.parquet")
    assert before < set(times(panel))
    roles: list[dict[int, str]] = []
    for dataset, of_dataset in zip(NAMES, in_union(results)[0], strict=True):
        split = schemas.read("splits", results / "splits" / "honest" / dataset / "random-all.parquet")
        split = split[split["seed"] == 0]
        roles.append(dict(zip(of_dataset[split["molecule"]].tolist(), split["role"], strict=True)))
    tested = next(row for row, role in roles[0].items() if {role, roles[1].get(row, role)} == {"test"})
    described(results, ("many", "gfn2", in_union(results)[0][0].tolist().index(tested)))
    train(results, settings)
    again = schemas.read("fits", panel / "fits.parquet")
    other = parts["part"] != again["part"]
    assert set(parts.loc[other, "setting"]) == {
        f'{{"descriptors":"{name}","weighting":"equal"}}' for name in ("gfn2", "both", "qw4")
    }
    # What only tests changes no weight, nor do the numbers of another dataset than the first one of a molecule's.
    trains = next(row for row, role in roles[0].items() if role == "train" and row in roles[1])
    described(results, ("sizes", "gfn2", in_union(results)[0][1].tolist().index(trains)))
    train(results, settings)
    third = schemas.read("fits", panel / "fits.parquet")
    assert ((third["part"] != again["part"]) == other).all()
    for runs in zip(*(fits[other].itertuples() for fits in (parts, again, third)), strict=True):
        mine, *theirs = (saved_weights(panel / "parts" / row.dataset / row.part) for row in runs)
        assert all(torch.equal(tensor, one[name]) for name, tensor in mine.items() for one in theirs)


def test_a_test_label_changes_no_weight_of_a_head_with_descriptors(results: Path):
    described(results)
    settings = members(grid=DESCRIBED[3:4], seeds=(0,))
    panel = train(results, settings)
    parts = schemas.read("fits", panel / "fits.parquet")
    path = results / "data" / "sizes" / "molecules.parquet"
    molecules = schemas.read("molecules", path)
    split = schemas.read("splits", results / "splits" / "honest" / "sizes" / "random-all.parquet")
    tested = set(split.loc[(split["seed"] == 0) & (split["role"] == "test"), "molecule"])
    changed = [
        np.array(y) + 100 * (n in tested) for n, y in zip(molecules["molecule"], molecules["labels"], strict=True)
    ]
    molecules["labels"] = changed
    schemas.write("molecules", molecules, path)
    featurize.featurize(molecules).save(results / "data" / "sizes" / "graphs" / "hu.safetensors")
    train(results, settings)
    again = schemas.read("fits", panel / "fits.parquet")
    assert (parts["part"] != again["part"]).all()
    for one, two in zip(parts.itertuples(), again.itertuples(), strict=True):
        mine, theirs = (saved_weights(panel / "parts" / row.dataset / row.part) for row in (one, two))
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())


def test_another_head_reads_an_encoder_whose_own_head_reads_descriptors(results: Path):
    described(results)
    settings = members(grid=DESCRIBED[1:2], seeds=(0,))
    run = share(results, settings[1], train(results, settings))
    context = {name: getattr(settings[1], name) for name in (*schemas.CONTEXT, "seeds", "task", "metric", "model")}
    head = LearnerSettings(**context, method="joint_ft+ridge", grid=({},))
    data = results / "data" / "sizes"
    splits = results / "splits" / "honest" / "sizes" / "random-all.parquet"
    paths = (data, data / "graphs" / "hu.safetensors", splits, results / "encoder.safetensors", run)
    tuned_heads.run(TunedHeadSettings(head, settings[1]), *paths, results / "ridge")
    (fit,) = schemas.read("fits", results / "ridge" / "fits.parquet").to_dict("records")
    assert (fit["status"], fit["note"]) == ("ok", 'encoder of {"descriptors":"rdkit","weighting":"equal"}')


def test_a_file_of_descriptors_that_is_missing_is_named(results: Path):
    with pytest.raises(UserError, match=r"many/gfn2\.safetensors: no file of gfn2"):
        train(results, members(grid=DESCRIBED[2:3], seeds=(0,)))


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_single_training_starts_from_the_joint_fit_of_its_seed_which_is_a_candidate_in_honest(
    results: Path, protocol: str
):
    # Two weightings, so that the one that is better on validation is what is started from.
    panel = train(results, members(grid=({"weighting": "equal"}, {"weighting": "pooled"})))
    settings = members(grid=({"weighting": "equal"}, {"weighting": "pooled"}))[1]
    run = share(results, settings, panel)
    # With such steps whatever trains is destroyed.
    wild = replace(FULL_FT.training, learning_rate=30.0)
    single = replace(settings, method="joint_then_single", grid=({},), training=wild, protocol=protocol)
    data = results / "data" / "sizes" / "graphs" / "hu.safetensors"
    splits = results / "splits" / "honest" / "sizes" / "random-all.parquet"
    jobs.finetune(single, data, splits, results / "encoder.safetensors", results / "single", source=run)
    fits, curves = (schemas.read(name, results / "single" / f"{name}.parquet") for name in ("fits", "curves"))
    joint_fits = schemas.read("fits", run / "fits.parquet")
    best = joint_fits.sort_values("valid_metric").groupby("seed").first()
    assert best["setting"].tolist() != ['{"weighting":"equal"}'] * 2
    if protocol == "paper":
        assert curves["epoch"].min() == 1
        return
    for fit, (_, start) in zip(fits.to_dict("records"), best.iterrows(), strict=True):
        assert fit["best_epoch"] == 0
        assert fit["valid_metric"] == start["valid_metric"]
    one, other = (schemas.read("predictions", path / "predictions.parquet") for path in (results / "single", run))
    of_best = other.merge(best.reset_index()[["seed", "setting"]])
    assert [row.tolist() for row in one["prediction"]] == [row.tolist() for row in of_best["prediction"]]


def test_a_joint_job_is_the_same_in_whatever_order_a_configuration_names_the_datasets():
    cell = ("honest", "gin-zinc-masking", "two", "scaffold", "50", "joint_ft")
    panels = (["freesolv", "esol"], ["esol", "freesolv"])
    made = [experiment({"panels": {"two": names}, "datasets": names, "methods": ["joint_ft"]}) for names in panels]
    one, other = (settings_for("joint", given, *cell) for given in made)
    assert one == other
    assert [member["dataset"] for member in one["members"]] == ["esol", "freesolv"]
    # What goes on from a panel's weights says which panel; what does not, says none.
    for method, expected in (("joint_wise_ft", ["esol", "freesolv"]), ("full_ft", None)):
        of_cell = settings_for("finetune", made[0], "honest", "gin-zinc-masking", "esol", "scaffold", "50", method)
        assert of_cell.get("together") == expected


def test_what_needs_a_panel_is_what_trains_one_and_what_goes_on_from_that():
    needing = {name for name in ALL_METHODS if of_panels(name)}
    first = {name.partition("+")[0] for name in needing}
    assert first == {"joint_ft", "joint_then_single", "joint_wise_ft", "joint_dwise_ft"}
    assert needing == {name for name in ALL_METHODS if name.partition("+")[0] in first}
