"""Behind the mean score: each measure against its closed form, and the stage on real molecules."""

import math

import numpy as np
import pandas as pd
import pytest
import synthetic
from molecules_for_tests import SMILES
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from rdkit.DataStructs import TanimotoSimilarity
from scipy import stats
from sklearn.calibration import calibration_curve

from roftmol.cli.main import main
from roftmol.core.errors import UserError
from roftmol.data.splits import SplitSettings, assign
from roftmol.evaluation.diagnostics import TABLES, calibration, cliffs, similarity
from roftmol.evaluation.diagnostics.cells import Cell, Data, Entries, entries, read_cells, read_data
from roftmol.evaluation.diagnostics.collapse import collapse, correlation, points
from roftmol.evaluation.diagnostics.shift import inside, shift
from roftmol.evaluation.diagnostics.stage import DiagnosticsSettings, diagnose
from roftmol.tables import schemas

CELL = {"protocol": "honest", "model": "m", "dataset": "d", "split": "random", "budget": "50", "method": "full_ft"}
MODEL = {"fingerprint": "morgan"}


def cell_of(seeds, molecules, predictions, dataset: str = "d") -> Cell:
    values = np.asarray(predictions, np.float64)
    identity = {**CELL, "dataset": dataset}
    return Cell(identity, np.asarray(seeds), np.asarray(molecules), values.reshape(len(seeds), -1))


def entries_of(y, p, *, seeds=None, molecules=None) -> Entries:
    """One task; without more said, one seed and a molecule of its own for each."""
    molecules = np.arange(len(y)) if molecules is None else np.asarray(molecules)
    seeds = np.zeros(len(y), np.int64) if seeds is None else np.asarray(seeds)
    return Entries(seeds, molecules, molecules, np.asarray(y, np.float64), np.asarray(p, np.float64))


# --- shift ---------------------------------------------------------------------------------------------------------


def selected_on(**splits: dict[str, list[float]]) -> pd.DataFrame:
    """Runs on bbbp, or on esol for a split whose name begins with esol_."""
    frames = []
    for name, values in splits.items():
        dataset, split = ("esol", name.removeprefix("esol_")) if name.startswith("esol_") else ("bbbp", name)
        frames.append(synthetic.selected_rows(values, dataset=dataset, split=split))
    return pd.concat(frames, ignore_index=True)


def test_a_loss_is_positive_where_the_score_is_worse_for_either_metric():
    found = shift(
        selected_on(
            random={"full_ft": [0.8, 0.9], "bss": [0.7, 0.7]},
            scaffold={"full_ft": [0.7, 0.7], "bss": [0.8, 0.8]},
            esol_random={"full_ft": [1.0, 1.2]},
            esol_size={"full_ft": [2.0, 2.4]},
        )
    ).set_index(["dataset", "method"])
    drop = found["drop"].to_dict()
    assert drop == pytest.approx({("bbbp", "full_ft"): 0.15, ("bbbp", "bss"): -0.1, ("esol", "full_ft"): 1.1})
    assert found["ratio"][("esol", "full_ft")] == pytest.approx(2)
    assert found["ratio"].isna().tolist() == [True, True, False]
    assert found["split"].tolist() == ["scaffold", "scaffold", "size"]
    assert set(found["reference"]) == {"random"}


def test_the_error_of_a_loss_by_hand():
    found = shift(selected_on(esol_random={"full_ft": [1.0, 1.2]}, esol_scaffold={"full_ft": [2.0, 2.3, 2.6]}))
    e_reference, e_shifted = math.sqrt(0.02 / 2), 0.3 / math.sqrt(3)
    assert found["drop_error"].item() == pytest.approx(math.hypot(e_reference, e_shifted))
    relative = math.hypot(e_reference / 1.1, e_shifted / 2.3)
    assert found["ratio_error"].item() == pytest.approx(2.3 / 1.1 * relative)
    assert (found["reference_seeds"].item(), found["shifted_seeds"].item()) == (2, 3)


def test_shift_needs_both_splits_and_a_score_in_each():
    alone = selected_on(scaffold={"full_ft": [0.7]})
    failed = selected_on(random={"full_ft": [np.nan]}, scaffold={"full_ft": [0.7]})
    other_budget = pd.concat([alone, synthetic.selected_rows({"full_ft": [0.8]}, split="random", budget="50")])
    for selected in (alone, failed, other_budget, schemas.empty("selected")):
        found = shift(selected)
        assert found.empty
        schemas.table("shift", found)


def test_cross_validation_is_its_scaffolds_reference():
    found = shift(selected_on(cv={"full_ft": [0.8]}, scaffold_cv={"full_ft": [0.7]}))
    assert found["reference"].tolist() == ["cv"]
    assert np.isnan(found["drop_error"].item())  # one seed has no spread


# --- cliffs --------------------------------------------------------------------------------------------------------


def test_rmse_on_and_off_cliffs_by_hand():
    members = cliffs.Cliffs(np.array([True, True, False, False]), "published")
    y, p = [0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0]
    more = [1.0, 1.0, 2.0, 0.0]
    two_seeds = entries_of(y * 2, p + more, seeds=[0] * 4 + [1] * 4, molecules=[0, 1, 2, 3] * 2)
    (row,) = cliffs.compare(CELL, two_seeds, members)
    on, off = [math.sqrt(5), 1.0], [1.0, math.sqrt(2)]
    assert row["cliff_rmse"] == pytest.approx(np.mean(on))
    assert row["other_rmse"] == pytest.approx(np.mean(off))
    assert row["gap_std"] == pytest.approx(np.std(np.subtract(on, off), ddof=1))
    assert (row["seeds"], row["cliff_molecules"], row["other_molecules"]) == (2, 2, 2)


def test_a_seed_without_cliffs_in_its_test_part_is_not_counted():
    members = cliffs.Cliffs(np.array([True, False, False]), "computed")
    parts = entries_of([0.0, 0, 0, 0], [1.0, 2, 3, 4], seeds=[0, 0, 1, 1], molecules=[0, 1, 1, 2])
    (row,) = cliffs.compare(CELL, parts, members)
    assert (row["seeds"], row["cliff_rmse"], row["other_rmse"]) == (1, 1, 2)
    assert np.isnan(row["gap_std"])
    assert cliffs.compare(CELL, parts.of(parts.seeds == 1), members) == []


# --- calibration of probabilities ----------------------------------------------------------------------------------


def test_ece_by_hand():
    # two bins of ten: 0.2 predicted and 5 of 10 observed, 0.8 predicted and 8 of 10 observed
    p = np.repeat([0.2, 0.8], 10)
    y = np.array([1] * 5 + [0] * 5 + [1] * 8 + [0] * 2, np.float64)
    curve = calibration.reliability(y, p, np.arange(20))
    assert curve.observed.tolist() == [0.5, 0.8]
    assert calibration.ece(curve) == pytest.approx(0.15)
    assert calibration.brier(y, p) == pytest.approx((10 * (0.25 + 0.09) + 10 * 0.16) / 20)
    # sqrt(2 p (1 - p) / (pi 10)) is the same in both
    assert calibration.ece_by_chance(p, curve) == pytest.approx(math.sqrt(2 * 0.16 / (10 * math.pi)))


def test_the_curve_is_scikit_learns():
    rng = np.random.default_rng(3)
    p = rng.beta(0.5, 0.7, 500)
    y = (rng.random(500) < p**2).astype(np.float64)
    observed, predicted = calibration_curve(y, p, n_bins=10, strategy="quantile")
    curve = calibration.reliability(y, p, np.arange(500))
    assert curve.observed == pytest.approx(observed)
    assert curve.predicted == pytest.approx(predicted)
    assert curve.entries.tolist() == [50] * 10


def test_true_probabilities_have_the_ece_of_chance():
    rng = np.random.default_rng(0)
    found, chance = [], []
    for _ in range(300):
        p = rng.random(200)
        curve = calibration.reliability((rng.random(200) < p).astype(np.float64), p, np.arange(200))
        found.append(calibration.ece(curve))
        chance.append(calibration.ece_by_chance(p, curve))
    error = np.std(found) / math.sqrt(len(found))
    # within-bin scatter of p is left out of the formula, and normal stands for binomial
    assert abs(np.mean(found) - np.mean(chance)) < 3 * error + 0.03 * np.mean(chance)


def test_bins_weigh_as_many_entries_as_they_hold():
    # Thirty equal probabilities are one bin, ten others the second: 0.1 and 0.3 off.
    p = np.concatenate([np.full(30, 0.1), np.full(10, 0.7)])
    y = np.concatenate([np.repeat([1.0, 0.0], [6, 24]), np.repeat([1.0, 0.0], [4, 6])])
    curve = calibration.reliability(y, p, np.arange(40))
    assert curve.entries.tolist() == [30, 10]
    assert calibration.ece(curve) == pytest.approx((30 * 0.1 + 10 * 0.3) / 40)
    chance = (30 * math.sqrt(2 * 0.09 / (30 * math.pi)) + 10 * math.sqrt(2 * 0.21 / (10 * math.pi))) / 40
    assert calibration.ece_by_chance(p, curve) == pytest.approx(chance)


def test_wilsons_interval():
    low, high = calibration.wilson(np.array([0.3, 0.0]), np.array([10, 10]))
    expected = [stats.binomtest(k, 10).proportion_ci(method="wilson") for k in (3, 0)]
    assert low == pytest.approx([interval.low for interval in expected])
    assert high == pytest.approx([interval.high for interval in expected])


def test_what_seeds_repeat_is_one_label():
    rng = np.random.default_rng(1)
    y, p = (rng.random(100) < 0.5).astype(np.float64), rng.random(100)
    once = calibration.reliability(y, p, np.arange(100))
    thrice = calibration.reliability(np.tile(y, 3), np.tile(p, 3), np.tile(np.arange(100), 3))
    assert thrice.observed == pytest.approx(once.observed)
    assert thrice.low == pytest.approx(once.low)
    assert (thrice.molecules == once.molecules).all()
    assert calibration.ece_by_chance(np.tile(p, 3), thrice) == pytest.approx(calibration.ece_by_chance(p, once))
    assert thrice.entries.sum() == 300


def test_one_probability_for_all_is_one_bin():
    curve = calibration.reliability(np.array([0.0, 1] * 50), np.full(100, 0.5), np.arange(100))
    assert len(curve.observed) == 1
    assert calibration.ece(curve) == 0


# --- calibration of errors -----------------------------------------------------------------------------------------


def ensemble(seeds: int, molecules: int, noise: float = 1.0) -> Entries:
    """Predictions of seeds that scatter about the truth as much as (times 1 / noise) the label does."""
    rng = np.random.default_rng(5)
    truth, sigma = rng.normal(size=molecules), rng.uniform(0.5, 2, molecules)
    y = truth + noise * sigma * rng.normal(size=molecules)
    p = truth + sigma * rng.normal(size=(seeds, molecules))
    where = np.tile(np.arange(molecules), seeds)
    return entries_of(np.tile(y, seeds), p.ravel(), seeds=np.repeat(np.arange(seeds), molecules), molecules=where)


def values_of(found: Entries, kind: str = "regression") -> dict[str, float]:
    rows, _ = calibration.measure(CELL, found, kind)
    return {str(row["measure"]): float(row["value"]) for row in rows}


def test_a_calibrated_ensemble_covers_as_much_as_it_says():
    values = values_of(ensemble(300, 3000))
    for level in calibration.LEVELS:
        nominal = level / 100
        error = math.sqrt(nominal * (1 - nominal) / 3000)
        assert values[f"coverage_{level}"] == pytest.approx(nominal, abs=3 * error + 0.005)
    assert values["ence"] < 0.06
    assert values["sharpness"] == pytest.approx(values["rmse"], rel=0.05)


def test_an_ensemble_too_sure_of_itself_covers_less():
    values = values_of(ensemble(300, 3000, noise=2.0))
    z = stats.norm.ppf(0.95)
    assert values["coverage_90"] == pytest.approx(2 * stats.norm.cdf(z / 2) - 1, abs=0.03)
    assert values["ence"] == pytest.approx(1, abs=0.1)


def test_few_seeds_cover_less_than_they_say_and_by_how_much_is_known():
    """Labels are one more draw of each molecule's distribution, which no ensemble can know better than its seeds do."""
    values = values_of(ensemble(3, 20_000))
    for level in calibration.LEVELS:
        assert values[f"coverage_{level}"] == pytest.approx(values[f"coverage_{level}_by_few_seeds"], abs=0.012)
    assert values["coverage_90_by_few_seeds"] == pytest.approx(0.71, abs=0.005)
    assert calibration.coverage_by_few_seeds(np.array([10_000]), 0.9) == pytest.approx(0.9, abs=1e-3)


def test_ence_by_hand():
    sigma = np.repeat([1.0, 2.0, 4.0], 10)
    assert calibration.ence(calibration.error_curve(sigma, sigma)) == 0
    assert calibration.ence(calibration.error_curve(sigma * 1.5, sigma)) == pytest.approx(0.5)
    assert np.isnan(calibration.ence(calibration.error_curve(sigma, np.repeat([0.0, 1.0, 1.0], 10))))


def test_the_interval_of_an_observed_error_holds_as_often_as_it_says():
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(400):
        curve = calibration.error_curve(rng.normal(0, 1, 60), np.linspace(0.5, 1.5, 60))
        inside += int(((curve.low <= 1) & (curve.high >= 1)).sum())
    assert inside / 2400 == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("seeds", "molecules", "words"),
    [
        (2, 100, "2 seeds, 3 needed"),
        (3, 20, "20 test molecules in 3 seeds or more, 30 needed"),
    ],
)
def test_too_little_for_an_ensemble_is_said(seeds, molecules, words):
    rows, curve = calibration.measure(CELL, ensemble(seeds, molecules), "regression")
    assert curve == []
    assert all(np.isnan(row["value"]) and words in str(row["note"]) for row in rows)
    assert {row["measure"] for row in rows} == set(calibration.SPREAD)


def test_test_parts_that_differ_count_where_three_seeds_meet():
    three = ensemble(3, 60)
    elsewhere = three.of((three.molecules < 40) | (three.seeds != 2))  # 40 molecules in three seeds, 20 in two
    rows, _ = calibration.measure(CELL, elsewhere, "regression")
    assert rows[0]["molecules"] == 40
    assert rows[0]["note"] == ""


def test_seeds_that_agree_wholly_have_no_deviation():
    one = ensemble(1, 50)
    same = entries_of(
        np.tile(one.y, 3), np.tile(one.p, 3), seeds=np.repeat(np.arange(3), 50), molecules=np.tile(one.molecules, 3)
    )
    rows, curve = calibration.measure(CELL, same, "regression")
    assert curve == []
    assert "all seeds predict the same" in str(rows[0]["note"])


# --- similarity ----------------------------------------------------------------------------------------------------


def test_known_similarities(tmp_path):
    # ethanol was learnt; in folds 0 and 1 together, so was benzene
    roles = [(0, 0, "train"), (0, 1, "test"), (0, 2, "test"), (0, 3, "valid"), (0, 4, "test")]
    roles += [(1, 5, "train"), *((1, molecule, "test") for molecule in (1, 2, 4))]
    smiles = ["CCO", "OCC", "CCN", "CCCCCC", "c1ccccc1C", "c1ccccc1"]
    cell = cell_of([0, 0, 0], [1, 2, 4], [0, 0, 0])
    write_split(tmp_path, [(0, *role) for role in roles])
    data = {"d": Data("regression", smiles, np.zeros((6, 1)), np.ones(1))}
    found = similarity.Neighbours(tmp_path, data).of(cell, entries(cell, data["d"]))
    make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048).GetFingerprint
    prints = [make(Chem.MolFromSmiles(text)) for text in smiles]
    assert found == pytest.approx(
        [1.0, TanimotoSimilarity(prints[2], prints[0]), TanimotoSimilarity(prints[4], prints[5])]
    )
    # ethanol has six environments: O, CH2, CH3, and those of radius 1 about each
    assert found[1] == pytest.approx(1 / 3)


def test_what_only_validates_was_not_learnt(tmp_path):
    # The test molecule's twin is validated, and trained on with another seed.
    rows = [(0, 0, 0, "train"), (0, 0, 1, "valid"), (0, 0, 2, "test")]
    write_split(tmp_path, [*rows, (1, 0, 1, "train"), (1, 0, 0, "valid"), (1, 0, 2, "test")])
    data = {"d": Data("regression", ["CCCCCC", "OCC", "CCO"], np.zeros((3, 1)), np.ones(1))}
    cell = cell_of([0, 1], [2, 2], [0, 0])
    first, second = similarity.Neighbours(tmp_path, data).of(cell, entries(cell, data["d"]))
    assert first < 0.5
    assert second == 1


def write_split(folder, rows, dataset: str = "d") -> None:
    frame = pd.DataFrame(rows, columns=["seed", "fold", "molecule", "role"])
    frame = frame.assign(protocol="honest", dataset=dataset, split="random", budget="50")
    schemas.write("splits", frame, folder / "honest" / dataset / "random-50.parquet")


def test_molecules_of_two_data_sets_have_the_same_numbers_and_are_not_the_same(tmp_path):
    # What was learnt is ethanol in both; tested are ethanol in the first and hexane in the second.
    sets = {"d": ["CCO", "OCC"], "e": ["CCO", "CCCCCC"]}
    data = {name: Data("regression", smiles, np.zeros((2, 1)), np.ones(1)) for name, smiles in sets.items()}
    for name in sets:
        write_split(tmp_path, [(0, 0, 0, "train"), (0, 0, 1, "test")], name)
    cells = {name: cell_of([0], [1], [0], name) for name in sets}
    neighbours = similarity.Neighbours(tmp_path, data)
    found = {name: neighbours.of(cell, entries(cell, data[name])).item() for name, cell in cells.items()}
    assert found["d"] == 1
    assert found["e"] < 0.5


def test_a_split_of_another_run_is_refused(tmp_path):
    write_split(tmp_path, [(0, 0, 0, "train"), (0, 0, 1, "test")])
    cell = cell_of([0], [2], [0])
    data = {"d": Data("regression", ["CCO", "CCN", "CCC"], np.zeros((3, 1)), np.ones(1))}
    with pytest.raises(UserError, match=r"random-50\.parquet: its test molecules of seed 0"):
        similarity.Neighbours(tmp_path, data).of(cell, entries(cell, data["d"]))


def test_errors_by_bin_by_hand():
    found = entries_of([0.0] * 5, [1.0, 3.0, 0.5, 1.5, 2.0])
    rows = similarity.errors(CELL, found, np.array([0.05, 0.15, 0.2, 0.25, 1.0]), "regression")
    assert [(row["lower"], row["upper"], row["entries"]) for row in rows] == [(0, 0.2, 2), (0.2, 0.3, 2), (0.8, 1, 1)]
    assert rows[0]["value"] == pytest.approx(math.sqrt(5))
    # squared errors 1 and 9: deviation sqrt(32), standard error 4, by the derivative of the root 4 / (2 sqrt 5)
    assert rows[0]["error"] == pytest.approx(2 / math.sqrt(5))
    assert np.isnan(rows[2]["error"])
    (brier, *_) = similarity.errors(CELL, found, np.zeros(5), "classification")
    assert brier["value"] == pytest.approx(np.mean([1, 9, 0.25, 2.25, 4]))


def test_the_standard_error_does_not_shrink_by_repeating():
    values = np.random.default_rng(0).normal(size=40)
    mean, error = similarity.clustered(values, np.arange(40))
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(40))
    assert similarity.clustered(np.tile(values, 5), np.tile(np.arange(40), 5)) == pytest.approx((mean, error))


# --- the stage -----------------------------------------------------------------------------------------------------


def write_run(folder, kind: str = "regression", methods=("full_ft", "fingerprint"), seeds=(0, 1, 2)) -> pd.DataFrame:
    """Tables, splits and cliffs of a made-up run on real molecules; returns its predictions."""
    rng = np.random.default_rng(4)
    labels = np.array([math.log(Chem.MolFromSmiles(text).GetNumAtoms()) for text in SMILES])
    if kind == "classification":
        labels = (labels > np.median(labels)).astype(np.float64)
    tables = synthetic.data_tables("d", kind)
    molecules = pd.DataFrame(
        {
            "dataset": "d",
            "molecule": range(len(SMILES)),
            "row": range(len(SMILES)),
            "smiles": SMILES,
            "canonical": SMILES,
            "scaffold": "",
            "atoms": 5,
            "group": "",
            "labels": [[float(value)] for value in labels],
        }
    )
    settings = SplitSettings("paper", "d", "random", "10", tuple(seeds), kind)
    split = assign(molecules, settings)
    schemas.write("splits", split, folder / "splits" / "paper" / "d" / "random-10.parquet")
    tested = split[split["role"].isin(["test", "valid"])]
    frames = [
        tested[["seed", "molecule"]].assign(
            **{**CELL, "protocol": "paper", "budget": "10", "method": method, "model": MODEL.get(method, "m")},
            setting="{}",
            partition=tested["role"],
            prediction=[[float(value)] for value in rng.random(len(tested))],
            spread=None,
        )
        for method in methods
    ]
    predictions = pd.concat(frames, ignore_index=True) if frames else schemas.empty("predictions")
    chosen = {method: [0.7] * len(seeds) for method in methods}
    selected = synthetic.selected_rows(chosen, dataset="d", budget="10") if methods else schemas.empty("selected")
    written = {"molecules": molecules, "predictions": predictions, "selected": selected}
    for name, frame in {**tables, **written, "changes": schemas.empty("changes")}.items():
        schemas.write(name, frame, folder / "tables" / f"{name}.parquet")
    member = pd.DataFrame({"dataset": "d", "molecule": range(len(SMILES)), "cliff": np.arange(len(SMILES)) % 2 == 0})
    schemas.write("cliff_molecules", member.assign(origin="computed"), folder / "data" / "d" / "cliffs.parquet")
    return predictions


def run(folder, *datasets: str) -> dict[str, pd.DataFrame]:
    diagnose(DiagnosticsSettings(datasets), folder / "tables", folder, folder / "out")
    return {name: schemas.read(name, folder / "out" / f"{name}.parquet") for name in TABLES}


def test_the_stage_asks_every_question_of_every_method(tmp_path):
    predictions = write_run(tmp_path)
    found = run(tmp_path, "d")
    tests = predictions[predictions["partition"] == "test"]
    for name in ("calibration", "similarity", "cliffs"):
        assert found[name]["method"].drop_duplicates().tolist() == ["full_ft", "fingerprint"]
    of_one = found["similarity"][found["similarity"]["method"] == "full_ft"]
    assert of_one["entries"].sum() == len(tests) / 2
    labels = read_data(tmp_path / "tables")["d"].labels[:, 0]
    mine = tests[tests["method"] == "full_ft"]
    error = np.array([value[0] for value in mine["prediction"]]) - labels[mine["molecule"]]
    total = np.average(of_one["value"] ** 2, weights=of_one["entries"])
    assert total == pytest.approx(np.mean(error**2), rel=1e-6)
    assert found["shift"].empty


def test_probabilities_of_real_molecules(tmp_path):
    write_run(tmp_path, "classification")
    found = run(tmp_path)
    assert set(found["calibration"]["measure"]) == set(calibration.PROBABILITIES)
    assert set(found["reliability"]["kind"]) == {"classification"}
    assert set(found["similarity"]["measure"]) == {"brier"}
    assert found["cliffs"].empty
    assert found["calibration"]["note"].str.contains("labels are few").all()


def test_nothing_predicted_gives_empty_tables(tmp_path):
    write_run(tmp_path, methods=())
    assert all(frame.empty for frame in run(tmp_path, "d").values())


def test_row_groups_of_any_size_give_the_same(tmp_path):
    import pyarrow.parquet as pq

    predictions = write_run(tmp_path)
    whole = run(tmp_path, "d")
    path = tmp_path / "tables" / "predictions.parquet"
    pq.write_table(schemas.table("predictions", predictions), path, row_group_size=3)
    assert len(list(read_cells(tmp_path / "tables"))) == 2
    for name, frame in run(tmp_path, "d").items():
        pd.testing.assert_frame_equal(frame, whole[name])


def test_a_seed_that_predicts_no_number_is_left_out(tmp_path):
    predictions = write_run(tmp_path)
    gone = predictions.index[(predictions["seed"] == 1) & (predictions["partition"] == "test")][0]
    predictions.at[gone, "prediction"] = [np.inf]
    schemas.write("predictions", predictions, tmp_path / "tables" / "predictions.parquet")
    seeds = run(tmp_path)["calibration"].groupby("method")["seeds"].first()
    assert seeds.to_dict() == {"full_ft": 2, "fingerprint": 3}


def test_missing_labels_are_no_entries():
    data = Data("regression", ["C", "CC"], np.array([[1.0, np.nan], [2.0, 3.0]]), np.array([2.0, 1.0]))
    found = entries(cell_of([0, 0], [0, 1], [[4.0, 9.0], [6.0, 5.0]]), data)
    assert found.y.tolist() == [0.5, 1.0, 3.0]
    assert found.p.tolist() == [2.0, 3.0, 5.0]
    assert len(set(found.label.tolist())) == 3


def test_cliffs_of_other_molecules_are_refused(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "data" / "d" / "cliffs.parquet"
    schemas.write("cliff_molecules", schemas.read("cliff_molecules", path).head(3), path)
    with pytest.raises(UserError, match=r"cliffs\.parquet: its molecules are not those of the dataset"):
        run(tmp_path, "d")


def test_the_command_says_what_is_missing(tmp_path, capsys):
    write_run(tmp_path)
    (tmp_path / "splits" / "paper" / "d" / "random-10.parquet").unlink()
    paths = ["--tables", str(tmp_path / "tables"), "--results", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stopped:
        main(["diagnostics", "--settings", '{"cliffs": []}', *paths])
    assert stopped.value.code == 2
    assert "random-10.parquet: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# --- collapse ------------------------------------------------------------------------------------------------------


def changed(**values: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables "changes" and "selected" of methods whose atoms' vectors moved as said, one value a seed."""
    selected = synthetic.selected_rows({name: [0.9 - v for v in found] for name, found in values.items()}, dataset="d")
    rows = selected[[*schemas.RUN]].assign(fold=0, part="atoms", quantity="wasserstein", molecules=9)
    rows["value"] = [value for found in values.values() for value in found]
    return rows, selected


def test_collapse_is_related_to_the_loss_over_methods():
    changes, selected = changed(
        full_ft=[0.3, 0.5], l2_sp=[0.1, 0.1], bss=[0.35, 0.35], mft=[0.0, 0.1], lp_ft=[0.2, 0.3], scratch=[9.0, 9.0]
    )
    (row,) = collapse(changes, selected).to_dict("records")
    assert (row["measure"], row["methods"], row["note"]) == ("wasserstein", 5, "")
    assert row["rho"] == pytest.approx(1.0)  # ROC-AUC falls by just as much, and from scratch does not count
    assert row["low"] <= row["rho"] <= row["high"] + 1e-12
    flipped = selected.assign(test_value=1 - selected["test_value"])
    assert collapse(changes, flipped)["rho"].item() == pytest.approx(-1.0)
    few, chosen = changed(full_ft=[0.3], bss=[0.2])
    (row,) = collapse(few, chosen).to_dict("records")
    assert np.isnan(row["rho"])
    assert "fewer than 5" in row["note"]
    assert collapse(schemas.empty("changes"), selected).empty


def test_a_cka_counts_from_one():
    changes, selected = changed(full_ft=[0.3], bss=[0.25])
    found = points(changes.assign(part="vectors", quantity="cka"), selected)
    assert found["value"].tolist() == pytest.approx([0.7, 0.75])


def test_the_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (2, 12)).astype(float)
    rho, low, high = correlation(x, y, "here")
    assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert low < rho < high
    assert correlation(x, y, "here") == (rho, low, high)
    assert np.isnan(correlation(np.ones(12), y, "here")[0])


def test_two_tests_of_one_model_are_paired(tmp_path):
    selected = synthetic.selected_rows({"full_ft": [2.0, 3.0, 4.0]}, dataset="d", split="boom", metric="rmse")
    scores = pd.concat(
        selected[[*schemas.RUN, "metric"]].assign(
            partition=partition, task=task, value=values, molecules=5, tasks=1, undefined=0
        )
        for partition, task, values in [
            ("test", "macro", [2.0, 3.0, 4.0]),
            ("test_id", "macro", [1.0, 1.5, 2.0]),
            ("test_id", "gap", [7.0, 7.0, 7.0]),
        ]
    )
    schemas.write("scores", scores, tmp_path / "scores.parquet")
    (row,) = shift(selected, inside(selected, tmp_path / "scores.parquet")).to_dict("records")
    assert (row["reference"], row["reference_mean"], row["shifted_mean"]) == ("test_id", 1.5, 3.0)
    assert row["drop"] == pytest.approx(1.5)
    assert row["drop_error"] == pytest.approx(np.std([1.0, 1.5, 2.0], ddof=1) / np.sqrt(3))
    assert (row["ratio"], row["ratio_error"]) == (2.0, 0.0)  # every seed has the same ratio
    # A seed without one of the two says nothing about what comes between them.
    lone = selected.tail(1).assign(seed=3, test_value=40.0)
    within = inside(selected, tmp_path / "scores.parquet")
    without = [selected, lone], [within, lone.assign(value=np.nan)]
    assert shift(*map(pd.concat, without)).to_dict("records") == [row]
    others = selected.assign(split="scaffold")
    assert inside(others, tmp_path / "none.parquet").empty
