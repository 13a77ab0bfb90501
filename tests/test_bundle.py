"""A bundle: the ensemble behind it, its calibration and domain, its file, and tables through it."""

from __future__ import annotations

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
from rdkit.Chem import rdFingerprintGenerator
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression

from molecules_for_tests import SMILES, labels_of_size
from roftmol import bundle, graphs
from roftmol.cli import main
from roftmol.encoders import new_encoder
from roftmol.ensemble import EnsembleSettings, Fingerprint, fit_fingerprints, fit_networks
from roftmol.errors import UserError
from roftmol.fingerprints import GRID, learner, morgan_counts
from roftmol.train import TrainSettings

ARCHITECTURE = {"kind": "gin", "layers": 2, "width": 8}
SETTINGS = EnsembleSettings("full_ft", ({},), "regression", "rmse", TrainSettings(epochs=3), members=3)
ABOUT = {
    "target": "size",
    "task": "regression",
    "metric": "rmse",
    "method": "full_ft",
    "model": "gin",
    "architecture": ARCHITECTURE,
    "featuriser": "hu",
}
TWINS = np.arange(len(SMILES))
OTHERS = ["CCCO", "c1ccccc1C", "CC(C)C(=O)O", "FC(F)F", "[SiH4]", "OCC"]


def labels(task: str = "regression") -> np.ndarray:
    return labels_of_size(classification=task == "classification")[:, 0]


def network(settings: EnsembleSettings = SETTINGS):
    torch.manual_seed(0)
    data = graphs.from_smiles(SMILES, labels(settings.task)[:, None])
    return fit_networks(new_encoder(ARCHITECTURE), data, TWINS, settings)


@pytest.fixture(scope="module")
def regression() -> bundle.Bundle:
    return bundle.make(network(), SMILES, labels(), ABOUT, level=0.8)


@pytest.fixture(scope="module")
def classification() -> bundle.Bundle:
    settings = replace(SETTINGS, task="classification", metric="roc_auc")
    about = ABOUT | {"task": "classification", "metric": "roc_auc", "target": "large"}
    return bundle.make(network(settings), SMILES, labels("classification"), about)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("setting", GRID, ids=str)
def test_arrays_predict_as_scikit_learn(setting, task):
    X, y = morgan_counts(SMILES), labels(task)
    model = learner(setting, task, 20, 0).fit(X, y)
    Z = morgan_counts(OTHERS)
    expected = model.predict_proba(Z)[:, 1] if task == "classification" else model.predict(Z)
    if task == "classification" and setting.learner == "forest":
        expected = (20 * expected + y.mean()) / 21
    found = Fingerprint.of(model, task, float(y.mean())).predict(Z, task)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["linear_probing", "wise_ft", "dwise_ft", "fingerprint"])
def test_the_setting_with_the_best_out_of_fold_score_is_kept(method):
    grids = {"wise_ft": ({"alpha": 0.0}, {"alpha": 0.5}, {"alpha": 1.0}), "dwise_ft": ({"start": 0.5},)}
    grid = grids.get(method, ({"learner": "linear"}, {"learner": "forest"}) if method == "fingerprint" else ({},))
    settings = replace(SETTINGS, method=method, grid=grid)
    fitted = [
        fit_fingerprints(morgan_counts(SMILES), labels(), TWINS, s) if method == "fingerprint" else network(s)
        for s in (settings, *(replace(settings, grid=(one,)) for one in grid))
    ]
    for one in fitted:
        assert one.score == pytest.approx(math.sqrt(np.mean((one.out_of_fold - labels()) ** 2)), rel=1e-5)
    assert fitted[0].score == min(one.score for one in fitted[1:])
    assert len(fitted[0].members) == 3


def test_identical_molecules_teach_and_test_the_same_members():
    twice = [*SMILES, *SMILES]
    target = np.random.default_rng(0).normal(size=len(twice)).astype(np.float32)
    fitted = fit_fingerprints(
        morgan_counts(twice),
        target,
        np.tile(TWINS, 2),
        replace(SETTINGS, method="fingerprint", grid=({"learner": "linear"},)),
    )
    half = len(SMILES)
    np.testing.assert_allclose(fitted.out_of_fold[:half], fitted.out_of_fold[half:], rtol=1e-5)


def test_the_interval_is_the_quantile_of_the_out_of_fold_residuals(regression):
    residuals = np.sort(np.abs(network().out_of_fold - labels()))
    half = regression.card["calibration"]["half_width"]
    assert half == pytest.approx(residuals[math.ceil(0.8 * (len(SMILES) + 1)) - 1], rel=1e-4)
    found = regression.predict(OTHERS)
    np.testing.assert_allclose(found["high"] - found["prediction"], half)
    np.testing.assert_allclose(found["prediction"] - found["low"], half)
    few = bundle.make(network(), SMILES, labels(), ABOUT, level=0.99).card["calibration"]
    assert few["half_width"] == pytest.approx(residuals[-1], rel=1e-4)
    assert "too few" in few["note"]


def test_intervals_hold_the_stated_share_of_new_molecules():
    rng = np.random.default_rng(0)
    held = []
    for _ in range(200):  # one number is drawn for each of 31 molecules, and 30 calibrate the interval of the last
        values = rng.normal(size=31)
        ensemble = replace(network_of_zeros(), out_of_fold=np.zeros(30, np.float32))
        card = bundle.make(ensemble, ["C" * n for n in range(1, 31)], values[:30].astype(np.float32), FINGER).card
        held.append(abs(values[30]) <= card["calibration"]["half_width"])
    assert 0.83 <= np.mean(held) <= 0.97  # 0.9, and three standard deviations of 200 draws are 0.064


FINGER = ABOUT | {"method": "fingerprint", "model": "morgan"}


def network_of_zeros():
    from roftmol.ensemble import Ensemble

    return Ensemble([Fingerprint({"coefficients": np.zeros(2048), "intercept": np.zeros(1)})], "{}", np.zeros(1), 0.0)


def test_probabilities_are_those_of_platt(classification):
    settings = replace(SETTINGS, task="classification", metric="roc_auc")
    out_of_fold = network(settings).out_of_fold
    platt = LogisticRegression().fit(np.log(out_of_fold / (1 - out_of_fold))[:, None], labels("classification"))
    single = [
        m.predict(graphs.from_smiles(OTHERS, np.zeros((6, 1), np.float32)), range(6)) for m in classification.members
    ]
    logit = np.mean([np.log(p / (1 - p)) for p in single], 0)
    expected = platt.predict_proba(logit)[:, 1]
    np.testing.assert_allclose(classification.predict(OTHERS)["probability"], expected, rtol=1e-3)


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
    assert not found["in_domain"][OTHERS.index("[SiH4]")]  # no training molecule has silicon
    others = [row for row, text in enumerate(OTHERS) if text != "[SiH4]"]
    assert found["in_domain"][others].tolist() == [expected[row] >= threshold for row in others]


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
    fingerprint = fit_fingerprints(
        morgan_counts(SMILES), labels(), TWINS, replace(SETTINGS, method="fingerprint", grid=({"learner": "forest"},))
    )
    made = bundle.make(fingerprint, SMILES, labels(), FINGER | {"architecture": None})
    for one in (regression, classification, made):
        bundle.write(one, tmp_path / "a.roftmol")
        back = bundle.read(tmp_path / "a.roftmol")
        pd.testing.assert_frame_equal(back.predict(OTHERS), one.predict(OTHERS), rtol=1e-6)
        assert bundle.describe(back.card) == bundle.describe(one.card)


def test_what_no_member_changed_is_stored_once(tmp_path):
    ensemble = network(replace(SETTINGS, method="linear_probing"))
    made = bundle.make(ensemble, SMILES, labels(), ABOUT | {"method": "linear_probing"})
    bundle.write(made, tmp_path / "a.roftmol")
    with safe_open(tmp_path / "a.roftmol", "pt") as file:
        names = set(file.keys())
    own = {name for name in names if name.startswith("member.0.")}
    assert own <= {"member.0.head.weight", "member.0.head.bias", "member.0.shift", "member.0.scale"}
    assert any(name.startswith("shared.encoder.") for name in names)
    back = bundle.read(tmp_path / "a.roftmol")
    assert len({id(member.encoder) for member in back.members}) == 1
    pd.testing.assert_frame_equal(back.predict(OTHERS), made.predict(OTHERS), rtol=1e-6)


def test_what_is_no_bundle_is_refused(regression, tmp_path):
    path = tmp_path / "a.roftmol"
    with pytest.raises(UserError, match="there is no such file"):
        bundle.read(path)
    bundle.write(regression, path)
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="truncated or no bundle"):
            bundle.read(path)
    path.write_bytes(b"SMILES,y\nCCO,1\n" * 20)
    with pytest.raises(UserError, match="truncated or no bundle"):
        bundle.read(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"format": "pt"})
    with pytest.raises(UserError, match="no bundle, but another kind of safetensors file"):
        bundle.read(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"format": "roftmol-bundle", "version": "9", "card": "{}"})
    with pytest.raises(UserError, match="version 9, and this program reads up to 1"):
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
    assert (after.loc[after["problem"] != "", new[:-1]] == "").all(axis=None)
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
    environment = {"PYTHONPATH": str(Path(bundle.__file__).parents[1]), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
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
        ('SMILES,b\nC,2\nC,2,3\n"', (), "cannot be read as CSV"),
    ],
)
def test_a_table_that_cannot_be_used_leaves_nothing(place, capsys, content, arguments, told):
    (place / "bad.csv").write_text(content)
    with pytest.raises(SystemExit) as caught:
        predict(place, str(place / "bad.csv"), "-o", str(place / "bad.out.csv"), *arguments)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err
    assert not list(place.glob("*bad.out*"))


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
