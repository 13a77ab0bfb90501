"""A bundle: the ensemble behind it, its calibration and domain, its file, and tables through it."""

from __future__ import annotations

import gzip
import io
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rdkit import Chem, DataStructs
from rdkit.Chem import Descriptors, rdFingerprintGenerator
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.deploy import bundle, ensemble
from roftmol.deploy.ensemble import EnsembleSettings, Networks, Reference, References, deal, fit_ensemble, out_of_sample
from roftmol.deploy.new_molecules import NewMolecules
from roftmol.deploy.uncertainty import Difficulty, Intervals, OutOfSample, Probabilities, conformal_quantile, platt
from roftmol.encoders.kinds import new_encoder
from roftmol.features import featurize
from roftmol.features.fingerprints import morgan_counts
from roftmol.methods.fingerprint import GRID, learner
from roftmol.training.fit import TrainSettings
from small_bundles import ABOUT, ARCHITECTURE
from small_dataset import SMILES, labels_of_size

SETTINGS = EnsembleSettings("full_ft", ({},), "regression", "rmse", TrainSettings(epochs=3), members=3)
FINGER = ABOUT | {"method": "fingerprint", "model": "morgan", "architecture": None}
TWINS = np.arange(len(SMILES))
OTHERS = ["CCCO", "c1ccccc1C", "CC(C)C(=O)O", "FC(F)F", "[SiH4]", "OCC"]


def labels(task: str = "regression") -> np.ndarray:
    return labels_of_size(classification=task == "classification")[:, 0]


def networks(task: str = "regression") -> Networks:
    torch.manual_seed(0)
    return Networks(new_encoder(ARCHITECTURE), featurize.from_smiles(SMILES, labels(task)[:, None]), TWINS)


def references(task: str = "regression") -> References:
    return References(morgan_counts(SMILES), labels(task), TWINS)


def fitted(source: Networks | References, settings: EnsembleSettings = SETTINGS) -> ensemble.Ensemble:
    return fit_ensemble(source, deal(source, np.arange(len(source.labels)), settings), settings)


def made(source: Networks | References, settings: EnsembleSettings, about: dict, level: float = 0.9) -> bundle.Bundle:
    found = out_of_sample(source, settings)
    return bundle.make(fitted(source, settings), found, SMILES, source.labels, about, level)


@pytest.fixture(scope="module")
def regression() -> bundle.Bundle:
    return made(networks(), SETTINGS, ABOUT, level=0.8)


@pytest.fixture(scope="module")
def classification() -> bundle.Bundle:
    settings = replace(SETTINGS, task="classification", metric="roc_auc")
    about = ABOUT | {"task": "classification", "metric": "roc_auc", "target": "large"}
    return made(networks("classification"), settings, about)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("setting", GRID, ids=str)
def test_arrays_predict_as_scikit_learn(setting, task):
    X, y = morgan_counts(SMILES), labels(task)
    model = learner(setting, task, 20, 0).fit(X, y)
    Z = morgan_counts(OTHERS)
    expected = model.predict_proba(Z)[:, 1] if task == "classification" else model.predict(Z)
    if task == "classification" and setting.learner == "forest":
        expected = (20 * expected + y.mean()) / 21
    found = Reference.of(model, task, float(y.mean())).predict(Z, task)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["linear_probing", "wise_ft", "dwise_ft", "fingerprint"])
def test_the_setting_with_the_best_out_of_fold_score_is_kept(method):
    grids = {"wise_ft": ({"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0}), "dwise_ft": ({"start": 0.5},)}
    grid = grids.get(method, ({"learner": "linear"}, {"learner": "forest"}) if method == "fingerprint" else ({},))
    settings = replace(SETTINGS, method=method, grid=grid)
    source = references() if method == "fingerprint" else networks()
    folds = deal(source, TWINS, settings)
    scores = {}
    for one in grid:
        alone = fit_ensemble(source, folds, replace(settings, grid=(one,)))
        predicted = np.empty(len(SMILES))
        for member, fold in zip(alone.members, folds, strict=True):
            predicted[fold.valid] = source.predict([member], fold.valid, settings)[0]
        scores[alone.setting] = math.sqrt(np.mean((predicted - labels()) ** 2))
    found = fit_ensemble(source, folds, settings)
    assert found.setting == min(scores, key=scores.get)
    assert len(found.members) == 3


@pytest.mark.parametrize("method", ["linear_probing", "dwise_ft", "fingerprint", "constant"])
def test_what_calibrates_was_predicted_by_models_that_did_not_have_it(method, monkeypatch):
    """Neither to learn from nor to choose an epoch, a setting or coefficients by."""
    grid = ({"start": 0.5},) if method == "dwise_ft" else ({"learner": "linear"},) if method == "fingerprint" else ({},)
    settings = replace(SETTINGS, method=method, grid=grid)
    source = networks() if method in ("linear_probing", "dwise_ft") else references()
    kind, had, asked = type(source), {}, []
    start, predict = kind.start, kind.predict

    def noted_start(self, number, fold, settings):
        fitting = start(self, number, fold, settings)

        def noted(setting):
            member, valid = fitting(setting)
            had[id(member)] = (member, {*fold.train.tolist(), *fold.valid.tolist()})
            return member, valid

        return noted

    def noted_predict(self, members, molecules, settings):
        asked.extend((id(member), molecule) for member in members for molecule in molecules.tolist())
        return predict(self, members, molecules, settings)

    monkeypatch.setattr(kind, "start", noted_start)
    monkeypatch.setattr(kind, "predict", noted_predict)
    found = out_of_sample(source, settings)
    assert sorted(found.molecule) == list(range(len(SMILES)))
    assert len(asked) == len(SMILES) * settings.members
    assert not [molecule for member, molecule in asked if molecule in had[member][1]]
    # Yet each ensemble has all the others, so that it is as good as the one that is handed out.
    assert all(
        len(known) + np.sum(found.part == found.part[molecule]) == len(SMILES)
        for molecule in range(len(SMILES))
        for known in [had[next(m for m, asked_of in asked if asked_of == molecule)][1]]
    )


def test_identical_molecules_stay_together():
    twice = References(
        morgan_counts([*SMILES, *SMILES]),
        np.random.default_rng(0).normal(size=2 * len(SMILES)).astype(np.float32),
        np.tile(TWINS, 2),
    )
    settings = replace(SETTINGS, method="fingerprint", grid=({"learner": "linear"},))
    found, half = out_of_sample(twice, settings), len(SMILES)
    np.testing.assert_allclose(found.prediction[:half], found.prediction[half:], rtol=1e-5)
    assert found.part[:half].tolist() == found.part[half:].tolist()


def test_the_quantile_is_the_textbooks():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 20))  # 1 to 19
    assert conformal_quantile(scores, 0.9, 19) == (18, True)  # ceil(20 * 0.9)
    assert conformal_quantile(scores, 0.95, 19) == (19, True)
    assert conformal_quantile(scores, 0.96, 19) == (19, False)  # ceil(19.2) = 20 of 19
    assert conformal_quantile(np.repeat(scores, 2), 0.9, 19) == (18, True)  # two scores a molecule are not two


def test_intervals_are_wider_where_it_is_harder_and_hold_the_stated_share():
    """In all and, unlike a width for all, where the spread is large: labels whose noise grows with it."""
    rng = np.random.default_rng(0)
    held, hard, widths = [], [], []
    for _ in range(300):
        spread, distance = rng.exponential(size=101), rng.random(101)
        values = (0.2 + spread) * rng.normal(size=101)
        found = OutOfSample(np.arange(100), np.zeros(100), spread[:100], np.arange(100) % 5)
        intervals = Intervals.of(found, values[:100], distance[:100], 0.9)
        half = float(intervals.half(spread[100:], distance[100:])[0])
        held.append(abs(values[100]) <= half)
        widths.append((spread[100], half))
        if spread[100] > 1.5:
            hard.append(held[-1])
    assert 0.85 <= np.mean(held) <= 0.95  # 0.9, and three standard deviations of 300 draws are 0.052
    assert np.mean(hard) > 0.75  # one width for all, some 2.3, would hold 69% of these
    assert np.corrcoef(np.transpose(widths))[0, 1] > 0.9


def test_a_difficulty_is_positive_and_never_falls_with_spread_or_distance():
    rng = np.random.default_rng(1)
    spread, distance = rng.random(50), rng.random(50)
    found = Difficulty.of(np.exp(-3 * spread - 3 * distance), spread, distance)  # the data say the contrary
    assert min(found.constant, found.of_spread, found.of_distance) > 0
    many = rng.random((3, 20000))
    fitted = Difficulty.of(1 + 2 * many[1] + 3 * many[2], many[1], many[2])
    assert (fitted.constant, fitted.of_spread, fitted.of_distance) == pytest.approx((1, 2, 3), rel=0.02)


def test_every_molecule_has_an_interval_of_its_own(regression):
    found = regression.predict([*OTHERS, "C" * 40])
    widths = found["high"] - found["low"]
    assert widths.nunique() >= len(OTHERS) - 1  # CCO is there as a training molecule, written OCC
    np.testing.assert_allclose(found["high"] - found["prediction"], found["prediction"] - found["low"], rtol=1e-6)
    intervals = Intervals.from_card(regression.card["calibration"])
    outputs = regression._outputs(NewMolecules(OTHERS))
    expected = intervals.quantile * intervals.difficulty(outputs.spread, 1 - found["similarity"][:6])
    np.testing.assert_allclose((widths / 2)[:6], expected, rtol=1e-6)
    few = made(references(), replace(SETTINGS, method="constant"), FINGER | {"method": "constant"}, level=0.99)
    assert "24 molecules are too few for this level" in few.card["calibration"]["note"]


def test_the_brier_score_and_the_reliability_are_of_parts_that_calibrated_nothing():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.05, 0.95, 4000)
    y = (rng.random(4000) < truth).astype(float)
    part = np.arange(4000) % 5
    # Too sure of themselves: the logits are doubled.
    given = 1 / (1 + np.exp(-2 * np.log(truth / (1 - truth))))
    found = Probabilities.of(OutOfSample(np.arange(4000), given, np.zeros(4000), part), y, np.zeros(4000), 0.9)
    assert found.slope == pytest.approx(0.5, abs=0.05)
    assert found.brier == pytest.approx(np.mean((truth - y) ** 2), abs=0.003)
    assert found.brier < np.mean((given - y) ** 2) - 0.005
    assert found.brier_constant == pytest.approx(y.mean() * (1 - y.mean()), abs=0.002)
    assert [one.molecules for one in found.reliability] == [800] * 5
    assert all(abs(one.share - one.probability) < 0.05 for one in found.reliability)
    assert Probabilities.from_card(found.to_card()) == found
    # A part whose labels are turned round is not calibrated by itself.
    turned = np.where(part == 0, 1 - y, y)
    again = Probabilities.of(OutOfSample(np.arange(4000), given, np.zeros(4000), part), turned, np.zeros(4000), 0.9)
    p = 1 / (1 + np.exp(-(platt(given[part > 0], y[part > 0])[0] * np.log(given / (1 - given)))))
    alone = np.mean((p[part == 0] - turned[part == 0]) ** 2)
    assert np.mean((p[part == 0] - y[part == 0]) ** 2) < 0.25 < alone
    assert again.brier > found.brier + 0.02
    assert "Brier score" in found.words()
    assert "Brier" not in Probabilities(1.0, 0.0, 20).words()


def test_probabilities_are_those_of_platt(classification):
    settings = replace(SETTINGS, task="classification", metric="roc_auc")
    found = out_of_sample(networks("classification"), settings)
    logit = np.log(found.prediction / (1 - found.prediction))
    y = labels("classification")

    def negative_log_posterior(theta):
        p = 1 / (1 + np.exp(-(np.exp(theta[0]) * logit + theta[1])))
        return log_loss(y, p, normalize=False) + theta[0] ** 2 / 2

    expected = minimize(negative_log_posterior, [0.5, 0.5], method="Nelder-Mead", options={"xatol": 1e-7}).x
    slope, intercept = classification.card["calibration"]["slope"], classification.card["calibration"]["intercept"]
    assert (slope, intercept) == pytest.approx((np.exp(expected[0]), expected[1]), rel=1e-3)
    single = [
        m.predict(featurize.from_smiles(OTHERS, np.zeros((6, 1), np.float32)), range(6)) for m in classification.members
    ]
    p = np.mean(single, 0)[:, 0]
    logit = slope * np.log(p / (1 - p)) + intercept
    np.testing.assert_allclose(classification.predict(OTHERS)["probability"], 1 / (1 + np.exp(-logit)), rtol=1e-3)


def test_a_calibration_never_turns_predictions_round():
    truth = np.array([0, 0, 0, 1] * 10)
    against = np.where(truth == 1, 0.2, 0.7) + np.linspace(0, 0.1, 40)
    slope, intercept = platt(against, truth)
    assert 0 < slope < 0.15
    p = 1 / (1 + np.exp(-(slope * np.log(against / (1 - against)) + intercept)))
    np.testing.assert_array_equal(np.argsort(p, kind="stable"), np.argsort(against, kind="stable"))
    np.testing.assert_allclose(p, 0.25, atol=0.05)  # nearly the share of class 1
    assert platt(1 - against, truth)[0] > 1
    classes = np.random.default_rng(3).integers(0, 2, len(SMILES)).astype(np.float32)
    source = References(morgan_counts(SMILES), classes, TWINS)
    settings = EnsembleSettings("constant", ({},), "classification", "roc_auc", members=3)
    about = FINGER | {"method": "constant", "task": "classification", "metric": "roc_auc"}
    # A part with more of class 1 is predicted by a lower rate of the others: the worst of predictions, and no signal.
    found = bundle.make(fitted(source, settings), out_of_sample(source, settings), SMILES, classes, about)
    np.testing.assert_allclose(found.predict(OTHERS)["probability"], classes.mean(), rtol=0.02)


def test_labels_that_teach_little_leave_the_order_of_the_molecules():
    rng = np.random.default_rng(0)
    y = (rng.random(100) < 0.2).astype(float)
    part = np.arange(100) % 5
    others = np.array([y[part != one].mean() for one in part])
    # A cautious model: the mean of the other parts, which runs against the labels, and a little of what it has learnt.
    p = others + 0.002 * (y - y.mean()) + 0.002 * rng.normal(size=100)
    assert LogisticRegression().fit(np.log(p / (1 - p))[:, None], y).coef_[0, 0] < 0  # so that a free slope is negative
    found = Probabilities.of(OutOfSample(np.arange(100), p, np.zeros(100), part), y, np.zeros(100), 0.9)
    new = np.linspace(0.15, 0.25, 9)
    calibrated = found.values(new, new, new)["probability"]
    assert (np.diff(calibrated) > 1e-3).all()
    np.testing.assert_allclose(calibrated, new, atol=0.05)


def test_similarity_is_tanimoto_to_the_nearest_and_the_domain_its_quantile(regression):
    morgan = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    training = [morgan.GetFingerprint(Chem.MolFromSmiles(text)) for text in SMILES]
    new = [morgan.GetFingerprint(Chem.MolFromSmiles(text)) for text in OTHERS]
    expected = [max(DataStructs.BulkTanimotoSimilarity(one, training)) for one in new]
    found = regression.predict(OTHERS)
    np.testing.assert_allclose(found["similarity"], expected, rtol=1e-6)
    own = [
        max(s for j, s in enumerate(DataStructs.BulkTanimotoSimilarity(one, training)) if j != i)
        for i, one in enumerate(training)
    ]
    threshold = regression.card["domain"]["threshold"]
    assert threshold == pytest.approx(np.quantile(own, 0.05))
    silicon = OTHERS.index("[SiH4]")
    assert not found["in_domain"][silicon]
    assert "elements Si" in found["problem"][silicon]
    others = [row for row, text in enumerate(OTHERS) if text != "[SiH4]"]
    assert found["in_domain"][others].tolist() == [expected[row] >= threshold for row in others]
    assert ((found["problem"] == "") == found["in_domain"]).all()


def test_the_domain_knows_sizes(regression):
    """A chain has the bits of octane, however long it is."""
    found = regression.predict(["CCCCCCCC", "C" * 800, "CCCCCCCCC"])
    assert found["similarity"].tolist() == [1, 1, 1]
    assert found["in_domain"].tolist() == [True, False, True]
    problem = found["problem"][1]
    assert problem.startswith("outside the domain: heavy atoms 800, above 16.4; molecular weight ")
    assert "logP" in problem
    assert "rotatable bonds 797, above" in problem
    assert "TPSA" not in problem
    assert np.isfinite(found["prediction"]).all()  # it is predicted all the same
    low, high = regression.card["domain"]["ranges"]["molecular weight"]
    weights = [Descriptors.MolWt(Chem.MolFromSmiles(text)) for text in SMILES]
    margin = 0.1 * (max(weights) - min(weights))
    assert (low, high) == pytest.approx((0, max(weights) + margin))  # nothing weighs less
    assert regression.card["domain"]["ranges"]["logP (Crippen)"][0] < 0


def test_rows_that_are_no_molecules_stay_empty_with_the_reason(regression):
    found = regression.predict(["CCO", "C(", "", "*C", "OCC"])
    assert found["prediction"].isna().tolist() == [False, True, True, True, False]
    assert found["problem"].tolist() == [
        "",
        "invalid_smiles: not SMILES",
        "empty_smiles",
        "unsupported_atom: atom 0 is '*'",
        "",
    ]
    assert found["prediction"][0] == pytest.approx(found["prediction"][4])
    assert regression.predict(["C("])["problem"].tolist() == ["invalid_smiles: not SMILES"]


def test_a_file_gives_the_bundle_back(regression, classification, tmp_path):
    fingerprint = made(references(), replace(SETTINGS, method="fingerprint", grid=({"learner": "forest"},)), FINGER)
    constant = made(references(), replace(SETTINGS, method="constant"), FINGER | {"method": "constant"})
    assert constant.predict(OTHERS)["prediction"].to_numpy() == pytest.approx(labels().mean())
    assert "the same for every molecule, as nothing was better than that beyond doubt" in constant.describe()
    for one in (regression, classification, fingerprint, constant):
        bundle.write(one, tmp_path / "a.roftmol")
        back = bundle.read(tmp_path / "a.roftmol")
        pd.testing.assert_frame_equal(back.predict(OTHERS), one.predict(OTHERS), rtol=1e-6)
        assert back.describe() == one.describe()


def test_what_no_member_changed_is_stored_once(tmp_path):
    probed = made(networks(), replace(SETTINGS, method="linear_probing"), ABOUT | {"method": "linear_probing"})
    bundle.write(probed, tmp_path / "a.roftmol")
    with safe_open(tmp_path / "a.roftmol", "pt") as file:
        names = set(file.keys())
    own = {name for name in names if name.startswith("member.0.")}
    assert own <= {"member.0.head.weight", "member.0.head.bias", "member.0.shift", "member.0.scale"}
    assert any(name.startswith("shared.encoder.") for name in names)
    back = bundle.read(tmp_path / "a.roftmol")
    assert len({id(member.encoder) for member in back.members}) == 1
    pd.testing.assert_frame_equal(back.predict(OTHERS), probed.predict(OTHERS), rtol=1e-6)


def test_what_is_no_bundle_is_refused(regression, tmp_path):
    path = tmp_path / "a.roftmol"
    with pytest.raises(UserError, match="there is no such file"):
        bundle.read(path)
    bundle.write(regression, path)
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="truncated, damaged or no bundle"):
            bundle.read(path)
    path.write_bytes(b"SMILES,y\nCCO,1\n" * 20)
    with pytest.raises(UserError, match="truncated, damaged or no bundle"):
        bundle.read(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="no bundle, but another kind of safetensors file"):
        bundle.read(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"format": "roftmol-bundle", "version": "9", "card": "{}"})
    with pytest.raises(UserError, match="version 9, and this program reads 6"):
        bundle.read(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"format": "roftmol-bundle", "version": "1", "card": "{}"})
    with pytest.raises(UserError, match=r"version 1, and this program reads 6\. Make it again"):
        bundle.read(path)


@pytest.fixture
def place(regression, tmp_path) -> Path:
    bundle.write(regression, tmp_path / "size.roftmol")
    rows = [f"{number:04d},{text},{number}.50" for number, text in enumerate([*OTHERS, "C(", "", *SMILES])]
    (tmp_path / "new.csv").write_text("\n".join(["id,SMILES,price", *rows]) + "\n")
    return tmp_path


def predict(place: Path, *arguments: str) -> None:
    main(["predict", str(place / "size.roftmol"), *arguments])


def test_a_table_keeps_its_rows_and_columns(place, regression):
    predict(place, str(place / "new.csv"), "-o", str(place / "out.csv"))
    before = pd.read_csv(place / "new.csv", dtype=str, keep_default_na=False)
    after = pd.read_csv(place / "out.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(after[before.columns.tolist()], before)
    new = ["size_prediction", "size_low", "size_high", "similarity", "in_domain", "problem"]
    assert after.columns.tolist() == [*before.columns, *new]
    expected = regression.predict(before["SMILES"].tolist())["prediction"].to_numpy()
    found = pd.to_numeric(after["size_prediction"], errors="coerce").to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    unread = (after["problem"] != "") & ~after["problem"].str.startswith("outside the domain: ")
    assert (after.loc[unread, new[:-1]] == "").all(axis=None)
    assert ((after["in_domain"] == "False") == after["problem"].str.startswith("outside the domain: ")).all()
    assert set(after["in_domain"]) == {"True", "False", ""}


def test_predictions_do_not_depend_on_the_batch_nor_the_format(place):
    predict(place, str(place / "new.csv"), "-o", str(place / "out.csv"))
    whole = pd.read_csv(place / "out.csv")
    predict(place, str(place / "new.csv"), "-o", str(place / "three.csv"), "--batch-size", "3", "--processes", "2")
    pd.testing.assert_frame_equal(pd.read_csv(place / "three.csv"), whole, rtol=1e-4)
    pd.read_csv(place / "new.csv").to_parquet(place / "new.parquet")
    predict(place, str(place / "new.parquet"), "-o", str(place / "out.parquet"), "--batch-size", "5")
    pd.testing.assert_frame_equal(
        pd.read_parquet(place / "out.parquet")
        .replace({"problem": {"": None}})
        .fillna({"SMILES": np.nan})[["size_low"]],
        whole[["size_low"]],
        rtol=1e-4,
    )
    (place / "new.tsv").write_text((place / "new.csv").read_text().replace(",", "\t"))
    predict(place, str(place / "new.tsv"), "-o", str(place / "out.tsv"))
    pd.testing.assert_frame_equal(pd.read_csv(place / "out.tsv", sep="\t"), whole, rtol=1e-4)


def test_a_stream_goes_through(place):
    command = [sys.executable, "-m", "roftmol", "predict", str(place / "size.roftmol"), "-", "-o", "-"]
    environment = {"PYTHONPATH": str(Path(bundle.__file__).parents[2]), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    text = (place / "new.csv").read_text()
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, env=environment)
    predict(place, str(place / "new.csv"), "-o", str(place / "out.csv"))
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(done.stdout)), pd.read_csv(place / "out.csv"), rtol=1e-4)


@pytest.mark.parametrize(
    ("content", "arguments", "told"),
    [
        ("", (), "the file is empty"),
        ("SMILES\n", (), "the table has no rows"),
        ("a,b\n1,2\n", (), "no column is called SMILES"),
        ("SMILES,b\nC,2\n", ("--smiles", "c"), "no column 'c'. The columns are 'SMILES', 'b'"),
        ("SMILES,problem\nC,2\n", (), "there is a column 'problem' already. Rename it, or put something before"),
        ("a,b\n1,2\n", (), "name it with `--smiles`"),
        ('SMILES,b\nC,2\nC,2,3\n"', (), "line 3 has 3 cells, but the header has 2"),
        ("SMILES\nC[C@H](N)O |&1:1,r|\n", (), "line 2 has 2 cells, but the header has 1"),
        ("SMILES,y,y\nC,1,2\n", (), "column 'y' is there twice"),
        ("Molecule,Drug\nCHEMBL1,C\nCHEMBL2,CC\n", (), "column 'Molecule' was taken for the SMILES, but 'CHEMBL1' is"),
    ],
)
def test_a_table_that_cannot_be_used_leaves_nothing(place, capsys, content, arguments, told):
    (place / "bad.csv").write_text(content)
    with pytest.raises(SystemExit) as caught:
        predict(place, str(place / "bad.csv"), "-o", str(place / "bad.out.csv"), *arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(place.glob("*bad.out*"))


def through(place: Path, text: str, *arguments: str) -> list[list[str]]:
    """What is written for a table: its header and rows, up to the predictions."""
    (place / "in.csv").write_text(text)
    predict(place, str(place / "in.csv"), "-o", str(place / "out.csv"), *arguments)
    frame = pd.read_csv(place / "out.csv", dtype=str, keep_default_na=False, header=None, skip_blank_lines=False)
    return frame.to_numpy().tolist()


def test_a_separator_too_many_moves_no_cell(place, regression):
    expected = through(place, "smiles,id\nCCO,CCN\nCCC,CCCl\n")
    for text in ("smiles,id\nCCO,CCN,\nCCC,CCCl,\n", "smiles,id\nCCO,CCN\nCCC,CCCl,,\n"):
        assert through(place, text) == expected
    assert [row[:2] for row in expected] == [["smiles", "id"], ["CCO", "CCN"], ["CCC", "CCCl"]]
    values = regression.predict(["CCO", "CCC"])["prediction"]
    assert [float(row[2]) for row in expected[1:]] == pytest.approx(values.tolist(), rel=1e-5)


def test_a_blank_line_is_a_row_and_a_column_may_have_no_name(place):
    rows = through(place, "smiles\nCCO\n\nCCN\n")
    assert [row[0] for row in rows] == ["smiles", "CCO", "", "CCN"]
    assert [row[-1].partition(":")[0] for row in rows[1:]] == ["", "empty_smiles", ""]
    assert [row[:2] for row in through(place, ",smiles\n0,CCO\n1,C\n")] == [["", "smiles"], ["0", "CCO"], ["1", "C"]]
    rows = through(place, '"smiles","IC50 (nM; 24 h; HepG2)"\n"CCO","1"\n')
    assert rows[0][:2] == ["smiles", "IC50 (nM; 24 h; HepG2)"]


def test_titles_above_the_header_are_skipped_and_told(place, capsys):
    expected = through(place, "smiles;logS\nCCO;1,5\nCCN;2,5\n")
    capsys.readouterr()
    assert through(place, "Our compounds;\n;\nsmiles;logS\nCCO;1,5\nCCN;2,5\n") == expected
    told = "in.csv: The header is in line 3; above it 1 line is skipped: 'Our compounds'."
    assert told in capsys.readouterr().err
    assert through(place, "Ours\nDrug,y\nCCO,1\n", "--smiles", "Drug")[0][:2] == ["Drug", "y"]


def test_packed_tables_are_read_and_written(place):
    expected = through(place, "smiles\nCCO\nCCN\n")
    (place / "in.csv.gz").write_bytes(gzip.compress(b"smiles\nCCO\nCCN\n"))
    predict(place, str(place / "in.csv.gz"), "-o", str(place / "out.csv.gz"))
    assert gzip.decompress((place / "out.csv.gz").read_bytes()).decode() == (place / "out.csv").read_text()
    assert len(expected) == 3
    predict(place, str(place / "in.csv.gz"), "-o", str(place / "out.tsv.gz"))
    assert gzip.decompress((place / "out.tsv.gz").read_bytes()).startswith(b"smiles\tsize_prediction")


@pytest.mark.parametrize(
    ("before", "after"), [(b"CCNO", b"C\xffNO"), (b'{"index', b"{{index"), (b'"index', b'"\xffndex')]
)
def test_a_damaged_parquet_is_told(place, capsys, before, after):
    pd.DataFrame({"smiles": ["CCNO", "CCC"]}).to_parquet(place / "in.parquet", compression=None, use_dictionary=False)
    whole = (place / "in.parquet").read_bytes()
    assert before in whole
    (place / "in.parquet").write_bytes(whole.replace(before, after))
    with pytest.raises(SystemExit) as caught:
        predict(place, str(place / "in.parquet"), "-o", str(place / "out.csv"))
    assert caught.value.code == 2
    assert f"error: {place / 'in.parquet'}: cannot be read as Parquet (" in capsys.readouterr().err
    assert not list(place.glob("*out*"))


@pytest.mark.parametrize("ending", ["xlsx", "XLS", "json", "parquet.gz"])
def test_a_format_that_is_not_written_is_refused(place, capsys, ending):
    with pytest.raises(SystemExit):
        predict(place, str(place / "new.csv"), "-o", str(place / f"out.{ending}"))
    assert f"out.{ending}: no .{ending.lower()} is written; let it end in .csv" in capsys.readouterr().err
    assert not list(place.glob("*out*"))


def test_an_index_of_pandas_is_a_column(place):
    index = pd.Index(["cpd-a", "cpd-b"], name="compound")
    pd.DataFrame({"smiles": ["CCO", None]}, index=index).to_parquet(place / "in.parquet")
    for out in ("out.csv", "out.parquet"):
        predict(place, str(place / "in.parquet"), "-o", str(place / out))
    assert pd.read_csv(place / "out.csv")["compound"].tolist() == ["cpd-a", "cpd-b"]
    assert pd.read_csv(place / "out.csv")["problem"].tolist()[1] == "empty_smiles"
    assert pd.read_parquet(place / "out.parquet").index.equals(index)


def test_the_class_of_a_probability_is_named(classification, tmp_path):
    card = {**classification.card, "classes": ["safe", "toxic"]}
    named = replace(classification, card=card)
    for one, column, told in [
        (
            classification,
            "large_probability",
            "large (classification): the probability of class 1; the other class is 0",
        ),
        (named, "large_probability_toxic", "the probability of class toxic; the other class is safe"),
    ]:
        assert told in one.describe()
        bundle.write(one, tmp_path / "size.roftmol")
        rows = through(tmp_path, "smiles\nCCO\n")
        assert rows[0][1] == column
        assert float(rows[1][1]) == pytest.approx(one.predict(["CCO"])["probability"][0], rel=1e-4)


def test_predictions_compute_no_scaffold(regression, monkeypatch):
    def never(*_: object, **__: object) -> str:
        raise AssertionError("a scaffold is computed")

    monkeypatch.setattr("roftmol.data.molecules.MurckoScaffold.MurckoScaffoldSmiles", never)
    assert np.isfinite(regression.predict(OTHERS)["prediction"]).all()


def test_a_prefix_makes_room(place):
    (place / "again.csv").write_text("SMILES,problem\nC,2\n")
    predict(place, str(place / "again.csv"), "-o", str(place / "out.csv"), "--prefix", "my_")
    assert "my_problem" in pd.read_csv(place / "out.csv")


def test_the_card_is_shown(place, capsys):
    main(["show", str(place / "size.roftmol")])
    shown = capsys.readouterr().out
    assert "size (regression)" in shown
    assert "Full FT of gin" in shown
    assert f"{len(SMILES)} labelled molecules" in shown
