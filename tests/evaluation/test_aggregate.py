import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rdkit import Chem
from sklearn.metrics import log_loss, roc_auc_score

import made_up_tables
from roftmol.core import parquet_footer
from roftmol.core.errors import UserError
from roftmol.evaluation.aggregate import TABLES, aggregate, summarise
from roftmol.evaluation.contamination import Audit
from roftmol.scoring import metrics
from roftmol.tables import schemas

NAN = float("nan")
SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "CCN", "c1ccncc1", "CCCl", "C1CCCCC1", "CC#N"]
VALID, TEST = range(0, 4), range(4, 8)
#: Two tasks; the second misses two labels and has one class among the test molecules.
LABELS = np.array([[0, 1, 0, 1, 0, 0, 1, 1], [1, 0, 1, 0, 1, NAN, 1, NAN]], dtype=np.float32).T
GOOD = [0.1, 0.9, 0.2, 0.8, 0.1, 0.2, 0.8, 0.9]  # AUC of the first task: 1 on both partitions
FAIR = [0.1, 0.9, 0.2, 0.8, 0.1, 0.85, 0.8, 0.9]  # 1 on validation, 3/4 on test
BAD = [0.8, 0.2, 0.9, 0.1, 0.1, 0.2, 0.8, 0.9]  # 0 on validation, 1 on test


def write_data(path):
    names = ["active", "toxic"]
    molecules = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
    frame = pd.DataFrame(
        {
            "dataset": "tiny",
            "molecule": range(len(SMILES)),
            "row": range(len(SMILES)),
            "smiles": SMILES,
            "canonical": [Chem.MolToSmiles(molecule) for molecule in molecules],
            "scaffold": "",
            "atoms": [molecule.GetNumHeavyAtoms() for molecule in molecules],
            "parent": SMILES,
            "group": "",
            "labels": list(LABELS),
        }
    )
    schemas.write("molecules", frame, path / "molecules.parquet")
    reject = {"dataset": "tiny", "row": 8, "smiles": "C(", "reason": "invalid", "detail": "", "action": "dropped"}
    reject |= {"position": "line 10", "group": ""}
    schemas.write("rejects", pd.DataFrame([reject]), path / "rejects.parquet")
    tasks = pd.DataFrame({"dataset": "tiny", "task": [0, 1], "name": names, "kind": "classification"})
    tasks = tasks.assign(
        labelled=[8, 6], positives=[4, 4], mean=[0.5, 2 / 3], std=[0.5, 0.5], lower_limits=0, upper_limits=0
    )
    schemas.write("tasks", tasks, path / "tasks.parquet")
    return path


def write_run(root, method, outputs, model="gin", budget="50", failed=()):
    """A run directory from {(seed, setting): predictions of the first task}; `failed` are (seed, setting, reason)."""
    cell = {"protocol": "honest", "model": model, "dataset": "tiny", "split": "scaffold", "budget": budget}
    cell["method"] = method
    fits, predictions, curves = [], [], []
    for seed, setting in outputs:
        fits.append({**cell, "setting": setting, "seed": seed, "status": "ok", "reason": ""})
        curves += [{**cell, "setting": setting, "seed": seed, "fold": 0, "stage": 0, "epoch": e} for e in (2, 1)]
        for molecule in [*TEST, *VALID]:
            partition = "valid" if molecule in VALID else "test"
            value = outputs[seed, setting][molecule]
            row = {"partition": partition, "molecule": molecule, "prediction": [value, 1 - value], "spread": None}
            predictions.append({**cell, "setting": setting, "seed": seed, **row})
    fits += [{**cell, "setting": k, "seed": s, "status": "failed", "reason": reason} for s, k, reason in failed]
    frame = pd.DataFrame(fits).assign(
        fold=0,
        note="",
        best_epoch=2,
        epochs=2,
        valid_metric=NAN,
        valid_loss=NAN,
        trained_parameters=10,
        wall_seconds=1.5,
        cpu_seconds=1.0,
        peak_memory_mb=100.0,
        device="cpu",
        part="0",
        **made_up_tables.ORIGIN,
    )
    path = root / model / budget / method
    schemas.write("fits", frame, path / "fits.parquet")
    schemas.write(
        "predictions",
        pd.DataFrame(predictions) if predictions else schemas.empty("predictions"),
        path / "predictions.parquet",
    )
    losses = {"train_loss": 0.5, "valid_loss": 0.6, "valid_metric": 0.7}
    schemas.write(
        "curves", pd.DataFrame(curves).assign(**losses) if curves else schemas.empty("curves"), path / "curves.parquet"
    )
    return path


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data" / "tiny")


def write_runs(root):
    """Full FT, L2-SP with two settings (one of them failed for seed 1), WiSE-FT, a method that failed, a baseline."""
    paths = [
        write_run(root, "full_ft", {(0, "{}"): FAIR, (1, "{}"): GOOD}),
        write_run(
            root,
            "l2_sp",
            {(0, '{"lam":1.0}'): BAD, (0, '{"lam":0.1}'): GOOD, (1, '{"lam":1.0}'): FAIR},
            failed=[(1, '{"lam":0.1}', "loss is NaN in epoch 3")],
        ),
        write_run(root, "wise_ft", {(0, '{"alpha":1.0}'): FAIR, (0, '{"alpha":0.0}'): BAD, (1, '{"alpha":0.0}'): BAD}),
        write_run(root, "bss", {}, failed=[(0, '{"lam":1.0}', "loss is NaN in epoch 1"), (1, '{"lam":1.0}', "killed")]),
        write_run(root, "fingerprint", {(0, "{}"): FAIR, (1, "{}"): FAIR}, model="morgan"),
    ]
    coefficients = pd.DataFrame({"part": ["embed", "blocks.0"], "alpha": [0.2, 0.7], "fold": 0, "seed": 0})
    identity = schemas.read("fits", paths[2] / "fits.parquet").iloc[0][[*schemas.CELL, "setting"]].to_dict()
    schemas.write("coefficients", coefficients.assign(**identity), paths[2] / "coefficients.parquet")
    return paths


@pytest.fixture
def runs(tmp_path):
    return write_runs(tmp_path / "runs")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    return read_all(write_runs(root / "runs"), write_data(root / "tiny"), root / "tables")


def read_all(runs, data, out, rule="validation", **audit):
    aggregate(runs, [data], rule, out, **audit)
    assert {path.stem for path in out.iterdir()} == set(TABLES)
    return {name: schemas.read(name, out / f"{name}.parquet") for name in TABLES}


def of(table, method, **values):
    for column, value in {"method": method, **values}.items():
        table = table[table[column] == value]
    return table


def test_scores_are_those_of_the_predictions_and_count_undefined_tasks(tables):
    full = of(tables["scores"], "full_ft", seed=0, partition="test", metric="roc_auc").set_index("task")
    assert full["value"]["active"] == roc_auc_score(LABELS[4:, 0], FAIR[4:]) == 0.75
    assert np.isnan(full["value"]["toxic"])
    assert full["value"]["macro"] == 0.75
    assert full.loc["macro", ["molecules", "tasks", "undefined"]].tolist() == [4, 2, 1]
    assert full["molecules"]["toxic"] == 2


def test_every_setting_has_macro_scores_and_the_selected_one_its_tasks(tables):
    tasks = (
        of(tables["scores"], "l2_sp", seed=0, partition="valid", metric="pr_auc").groupby("setting")["task"].agg(list)
    )
    assert tasks.to_dict() == {'{"lam":1.0}': ["macro"], '{"lam":0.1}': ["macro", "active", "toxic"]}


def test_selection_is_on_validation_and_the_oracle_differs(tables, runs, data, tmp_path):
    validated = of(tables["selected"], "l2_sp").set_index("seed")
    assert validated["setting"].tolist() == ['{"lam":0.1}', '{"lam":1.0}']
    assert validated["valid_value"].tolist() == [1, 1]
    assert validated["test_value"].tolist() == [1, 0.75]
    assert validated["failed"].tolist() == [0, 1]
    selected = of(tables["selected"], "wise_ft", seed=0).iloc[0]
    assert (selected["setting"], selected["test_value"]) == ('{"alpha":1.0}', 0.75)
    oracle = of(read_all(runs, data, tmp_path / "oracle", "oracle")["selected"], "wise_ft", seed=0).iloc[0]
    assert (oracle["setting"], oracle["test_value"], oracle["rule"]) == ('{"alpha":0.0}', 1, "oracle")


def test_equal_validation_metrics_are_told_apart_by_validation_loss_and_never_by_the_test(data, tmp_path):
    # Both settings order validation as they should. The first is surer there, the second on the test.
    sure = [0.01, 0.99, 0.01, 0.99, 0.4, 0.4, 0.6, 0.6]
    unsure = [0.4, 0.6, 0.4, 0.6, 0.01, 0.01, 0.99, 0.99]
    run = write_run(tmp_path / "runs", "l2_sp", {(0, "unsure"): unsure, (0, "sure"): sure})
    (row,) = read_all([run], data, tmp_path / "out")["selected"].to_dict("records")
    assert (row["setting"], row["valid_value"]) == ("sure", 1)
    first = np.array(sure[:4])
    p = np.stack([first, 1 - first], axis=1)
    assert row["valid_loss"] == pytest.approx(log_loss(LABELS[:4].ravel(), p.ravel()), rel=1e-5)


def test_summary_by_hand(tables):
    summary = tables["summary"].set_index("method")
    full, l2_sp = summary.loc["full_ft"], summary.loc["l2_sp"]
    # test AUC by seed: full FT 0.75, 1; L2-SP 1, 0.75; fingerprint 0.75, 0.75
    assert full[["mean", "min", "max", "seeds", "failed"]].tolist() == [0.875, 0.75, 1, 2, 0]
    assert full["std"] == pytest.approx(0.25 / np.sqrt(2))
    assert (full["vs_full_ft"], full["vs_full_ft_std"]) == (0, 0)
    assert (l2_sp["vs_full_ft"], l2_sp["failed"]) == (0, 1)
    assert l2_sp["vs_full_ft_std"] == pytest.approx(0.5 / np.sqrt(2))
    assert l2_sp["vs_fingerprint"] == 0.125
    assert l2_sp["wall_seconds"] == 4 * 1.5
    ranks = {"full_ft": 1, "l2_sp": 1, "wise_ft": 1, "fingerprint": 4}
    assert summary["rank"].drop("bss").to_dict() == ranks
    assert np.isnan(summary["vs_full_ft"]["fingerprint"])


def test_a_run_that_failed_passes_through_with_its_reason(tables):
    assert of(tables["selected"], "bss")["note"].tolist() == [
        "every setting failed; loss is NaN in epoch 1",
        "every setting failed; killed",
    ]
    summary = of(tables["summary"], "bss").iloc[0]
    assert (summary["seeds"], summary["failed"]) == (0, 2)
    assert np.isnan(summary[["mean", "std", "min", "max", "rank", "vs_full_ft"]].astype(float)).all()
    assert of(tables["timings"], "bss")["reason"].tolist() == ["loss is NaN in epoch 1", "killed"]
    assert of(tables["scores"], "bss").empty


def test_the_path_of_wise_ft_is_whole_and_in_order(tables):
    alphas = of(tables["alphas"], "wise_ft", seed=0)
    assert set(tables["alphas"]["metric"]) == {"roc_auc"}
    assert alphas[["alpha", "partition"]].to_numpy().tolist() == [
        [0.0, "valid"],
        [0.0, "test"],
        [1.0, "valid"],
        [1.0, "test"],
    ]
    assert alphas["value"].tolist() == [0, 1, 1, 0.75]
    assert tables["coefficients"][["part", "alpha"]].to_numpy().tolist() == [["embed", 0.2], ["blocks.0", 0.7]]


CHANGE = {"part": "all", "quantity": "distance", "value": 0.1, "molecules": 0, "fold": 0}
POINT = {"fold": 0, "partition": "test", "molecules": 4, "loss": 0.5}


def write_landscape(root, run):
    """The landscape of a full-FT run's cell: one point of each table."""
    cell = schemas.read("fits", run / "fits.parquet").iloc[0][list(schemas.CELL)[:-1]].to_dict()
    on_path = {"alpha": 0.5, "metric": "roc_auc", "value": 0.6}
    on_plane = {"point": "", "x": 1.0, "y": 2.0}
    for name, point in {"paths": on_path, "planes": on_plane}.items():
        schemas.write(name, pd.DataFrame([{**cell, **POINT, **point, "seed": 0}]), root / f"{name}.parquet")
    return root


def test_changes_are_those_of_the_selected_runs(runs, data, tmp_path):
    fits = schemas.read("fits", runs[1] / "fits.parquet")
    rows = fits.loc[fits["status"] == "ok", list(schemas.RUN)].assign(**CHANGE)
    schemas.write("changes", rows, runs[1] / "changes.parquet")
    found = read_all(runs, data, tmp_path / "tables")["changes"]
    assert found[["method", "seed", "setting"]].to_numpy().tolist() == [
        ["l2_sp", 0, '{"lam":0.1}'],
        ["l2_sp", 1, '{"lam":1.0}'],
    ]


def test_landscapes_are_put_together_in_the_order_of_their_cells_and_left_out_with_them(runs, data, tmp_path):
    other = write_run(tmp_path / "runs", "full_ft", {(0, "{}"): GOOD, (1, "{}"): GOOD}, budget="all")
    folders = [write_landscape(tmp_path / "land" / name, run) for name, run in (("b", other), ("a", runs[0]))]
    tables = read_all([*runs, other], data, tmp_path / "tables", landscapes=folders)
    assert tables["paths"]["budget"].tolist() == tables["planes"]["budget"].tolist() == ["50", "all"]
    left = read_all([*runs, other], data, tmp_path / "left", landscapes=folders, audit=AUDIT, leave_out=("structures",))
    assert left["paths"]["budget"].tolist() == ["all"]
    assert read_all(runs, data, tmp_path / "without")["paths"].empty


def test_predictions_and_curves_are_those_of_the_selected_runs(tables):
    for name in ("predictions", "curves"):
        found = of(tables[name], "l2_sp")[["seed", "setting"]].drop_duplicates().to_numpy().tolist()
        assert found == [[0, '{"lam":0.1}'], [1, '{"lam":1.0}']]
    kept = of(tables["predictions"], "l2_sp", seed=0)
    assert kept["molecule"].tolist() == list(range(8))
    assert kept["partition"].tolist() == ["valid"] * 4 + ["test"] * 4
    np.testing.assert_array_equal([row[0] for row in kept["prediction"]], np.float32(GOOD))
    assert of(tables["curves"], "full_ft", seed=0)["epoch"].tolist() == [1, 2]


def test_the_audit_of_the_data_is_carried_over(tables):
    assert tables["rejects"]["smiles"].tolist() == ["C("]
    assert tables["tasks"]["name"].tolist() == ["active", "toxic"]
    np.testing.assert_array_equal(np.stack(tables["molecules"]["labels"]), LABELS)


def test_the_order_of_directories_does_not_matter_and_budgets_are_numbers(runs, data, tmp_path):
    runs = [*runs, *(write_run(tmp_path / "runs", "full_ft", {(0, "{}"): GOOD}, budget=b) for b in ("all", "100"))]
    one, other = tmp_path / "one", tmp_path / "other"
    aggregate(runs, [data], "validation", one)
    aggregate(runs[::-1], [data], "validation", other)
    assert all((one / f"{name}.parquet").read_bytes() == (other / f"{name}.parquet").read_bytes() for name in TABLES)
    summary = schemas.read("summary", one / "summary.parquet")
    assert of(summary, "full_ft")["budget"].tolist() == ["50", "100", "all"]


#: One test molecule is in the corpus; seed 1 tests on others than it.
MODEL = {"model": "gin", "pretraining": "self-supervised", "content": "0", "same_as": (), "corpora": ("zinc",)}
AUDIT = Audit(
    {"gin": {**MODEL, "learnt": (), "checkable": ("zinc",), "suspected": ()}},
    {("tiny", "zinc"): frozenset({0, 4})},
    {("honest", "tiny", "scaffold", "50"): {0: frozenset(TEST), 1: frozenset({5, 6})}},
)


def test_what_pretraining_has_seen_stands_beside_every_score(runs, data, tmp_path):
    tables = read_all(runs, data, tmp_path / "tables", audit=AUDIT)
    for method in ("full_ft", "l2_sp", "bss"):  # bss failed, and has no predictions
        found = of(tables["selected"], method).set_index("seed")
        assert found["seen"].to_dict() == {0: 0.25, 1: 0}
        assert found["contamination"].to_dict() == {0: "structures", 1: "none"}
    summary = tables["summary"].set_index("method")
    assert summary["contamination"].to_dict() == dict.fromkeys(["full_ft", "l2_sp", "wise_ft", "bss"], "structures") | {
        "fingerprint": "none"
    }
    assert summary["seen"].drop("fingerprint").tolist() == [0.125] * 4
    assert tables["left_out"].empty
    assert tables["models"]["model"].tolist() == ["gin"]
    assert tables["overlaps"][["corpus", "seed", "test_molecules", "seen"]].to_numpy().tolist() == [
        ["zinc", 0, 4, 1],
        ["zinc", 1, 2, 0],
    ]


def test_contaminated_cells_are_left_out_and_the_reference_points_stay(runs, data, tmp_path):
    runs = [*runs, write_run(tmp_path / "runs", "scratch", {(0, "{}"): BAD, (1, "{}"): GOOD})]
    tables = read_all(runs, data, tmp_path / "tables", audit=AUDIT, leave_out=("structures", "unknown"))
    gone = {"full_ft", "l2_sp", "wise_ft", "bss"}
    assert set(tables["left_out"]["method"]) == gone
    assert set(tables["left_out"]["contamination"]) == {"structures"}
    for name in ("scores", "selected", "predictions", "curves", "timings", "summary"):
        assert set(tables[name]["method"]) == {"scratch", "fingerprint"}, name
    assert tables["alphas"].empty
    assert len(tables["overlaps"]) == 2
    assert not read_all(runs, data, tmp_path / "other", audit=AUDIT, leave_out=("labels",))["selected"].empty


def test_of_a_model_that_the_audit_does_not_list_nothing_is_known(tables):
    assert set(of(tables["summary"], "full_ft")["contamination"]) == {"unknown"}
    assert of(tables["selected"], "full_ft")["seen"].isna().all()


def selected(method, values, model="gin", metric="rmse"):
    cell = {"protocol": "honest", "model": model, "dataset": "esol", "split": "scaffold", "budget": "all"}
    return pd.DataFrame(
        [
            {
                **cell,
                "method": method,
                "seed": seed,
                "metric": metric,
                "test_value": value,
                "test_r2": 1 - value,
                "failed": 0,
                "seen": NAN,
                "contamination": "unknown",
            }
            for seed, value in values.items()
        ]
    )


def summary_of(*parts):
    table = pd.concat(parts, ignore_index=True)
    return summarise(table, table.assign(wall_seconds=1.0))


def test_differences_are_paired_by_seed():
    summary = summary_of(
        selected("full_ft", {0: 1.0, 1: 2.0, 2: 9.0}), selected("bss", {1: 1.5, 0: 0.9, 3: 5.0})
    ).set_index("method")
    # seeds 0 and 1 are in both: -0.1 and -0.5
    assert summary["vs_full_ft"]["bss"] == pytest.approx(-0.3)
    assert summary["vs_full_ft_std"]["bss"] == pytest.approx(np.std([-0.1, -0.5], ddof=1))
    assert np.isnan(summary["vs_fingerprint"]["bss"])
    assert summary["rank"].to_dict() == {"full_ft": 2, "bss": 1}


def test_lower_is_better_for_an_error_and_higher_for_auc():
    for metric, ranks in {"rmse": [1, 2], "roc_auc": [2, 1]}.items():
        parts = [selected(name, {0: value}, metric=metric) for name, value in (("full_ft", 0.5), ("bss", 0.7))]
        assert summary_of(*parts)["rank"].tolist() == ranks


def test_the_fingerprint_is_compared_with_every_model_and_ranked_among_each_ones_methods():
    baseline = selected("fingerprint", {0: 0.6}, model="morgan")
    parts = [
        selected("full_ft", {0: 0.5}, model="gin"),
        selected("bss", {0: 0.7}, model="gin"),
        selected("full_ft", {0: 0.8}, model="gcn"),
    ]
    several = summary_of(*parts, baseline).set_index(["model", "method"])
    assert several["rank"]["gin"].to_dict() == {"full_ft": 1, "bss": 3}
    assert several["rank"]["gcn", "full_ft"] == 2
    assert np.isnan(several["rank"]["morgan", "fingerprint"])
    np.testing.assert_allclose(several["vs_fingerprint"], [-0.1, 0.1, 0.2, 0.0], atol=1e-12)
    one = summary_of(*parts[:2], baseline).set_index("method")
    assert one["rank"].to_dict() == {"full_ft": 1, "bss": 3, "fingerprint": 2}


def test_the_constant_predictor_is_a_reference_of_every_model():
    constant = selected("constant", {0: 1.0, 1: 1.2}, model="none")
    summary = summary_of(selected("full_ft", {0: 1.5, 1: 1.0}), constant).set_index("method")
    assert summary["vs_constant"]["full_ft"] == pytest.approx(0.15)
    assert summary["vs_constant_std"]["full_ft"] == pytest.approx(np.std([0.5, -0.2], ddof=1))
    assert summary["rank"].to_dict() == {"full_ft": 2, "constant": 1}


def test_r2_is_by_the_mean_of_the_tests_own_labels(tables):
    """Of each selected run, from its predictions; the summary's mean is over the seeds."""
    summary, chosen = tables["summary"], tables["selected"]
    for table in (of(chosen, "full_ft"), of(summary, "full_ft")):
        assert table["test_r2" if "seed" in table else "r2"].isna().all()  # a classification has none
    labels, predicted = np.array([[1.0], [2.0], [4.0], [np.nan]]), np.array([[1.5], [2.0], [3.0], [9.0]])
    found = metrics.all_scores("regression", labels, predicted, ["y"])
    r2 = found[(found["metric"] == "r2") & (found["task"] == "macro")]["value"].iloc[0]
    assert r2 == pytest.approx(1 - (0.25 + 0 + 1) / ((1 - 7 / 3) ** 2 + (2 - 7 / 3) ** 2 + (4 - 7 / 3) ** 2))
    alone = metrics.all_scores("regression", labels[:1], predicted[:1], ["y"])
    assert alone.set_index(["metric", "task"])["value"]["r2", "macro"] != pytest.approx(0)
    assert np.isnan(alone.set_index(["metric", "task"])["value"]["r2", "macro"])


def test_nothing_is_left_when_an_input_is_damaged(runs, data, tmp_path):
    (runs[1] / "predictions.parquet").write_bytes(b"not parquet")
    with pytest.raises(UserError, match=r"predictions\.parquet"):
        aggregate(runs, [data], "validation", tmp_path / "tables")
    assert not any((tmp_path / "tables").iterdir())


def test_errors_name_the_file_and_the_fault(runs, data, tmp_path):
    out = tmp_path / "tables"
    with pytest.raises(UserError, match="validation, oracle"):
        aggregate(runs, [data], "best", out)
    with pytest.raises(UserError, match=r"missing/fits\.parquet"):
        aggregate([tmp_path / "missing"], [data], "validation", out)
    with pytest.raises(UserError, match="same cell honest/gin/tiny/scaffold/50/full_ft"):
        aggregate([runs[0], runs[0]], [data], "validation", out)
    with pytest.raises(UserError, match="'tiny' is in none"):
        aggregate(runs, [], "validation", out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.assign(molecule=99), "molecule 99.*8 molecules"),
        (lambda frame: frame.assign(partition="train"), "'train'.*none of"),
        (lambda frame: frame.assign(prediction=[[0.5]] * len(frame)), "2 tasks"),
        (lambda frame: pd.concat([frame, frame]), "twice"),
        (lambda frame: frame.assign(method="bss"), "row 0 is of .*/bss"),
        (lambda frame: frame[frame["partition"] == "valid"], "no test predictions"),
    ],
)
def test_predictions_that_do_not_fit_their_run(runs, data, tmp_path, change, message):
    file = runs[0] / "predictions.parquet"
    schemas.write("predictions", change(schemas.read("predictions", file)), file)
    with pytest.raises(UserError, match=message):
        aggregate(runs[:1], [data], "validation", tmp_path / "tables")


def test_no_runs_give_empty_tables(data, tmp_path):
    tables = read_all([], data, tmp_path / "tables")
    assert tables["summary"].empty
    assert tables["predictions"].empty
    assert len(tables["molecules"]) == 8


def test_tables_carry_name_version_and_checksum(runs, data, tmp_path):
    aggregate(runs[:1], [data], "validation", tmp_path / "tables")
    for name in TABLES:
        assert parquet_footer.MARK in (tmp_path / "tables" / f"{name}.parquet").read_bytes()
        marks = pq.read_schema(tmp_path / "tables" / f"{name}.parquet").metadata
        assert (marks[b"roftmol.table"], marks[b"roftmol.version"]) == (
            name.encode(),
            str(schemas.TABLES[name].version).encode(),
        )
