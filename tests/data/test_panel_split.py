"""The split `joint` of a panel, and the exposure of test molecules that other splits leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirror import needs_mirror, registered
from molecule_tables import CHAINS, RINGS, molecule_table
from roftmol.core.errors import UserError
from roftmol.data import panel_split, parents
from roftmol.data.exposure import exposure
from roftmol.data.splits import SplitSettings, assign
from roftmol.experiment.config import experiment
from roftmol.tables import schemas

SEEDS = (0, 1, 2)
#: 400 molecules of 151 scaffolds: a ring, or two, with a substituent.
SMILES = [
    substituent + ring + second for substituent in ("C", "CN", "OCC") for ring in RINGS[:9] for second in ("", *RINGS)
][:390] + list(CHAINS)
PANEL = ("amines", "rings", "sizes")


def settings(dataset: str, budget: str = "all", task: str = "regression", split: str = "joint") -> SplitSettings:
    """Return the settings of a split of one of the panel's datasets."""
    return SplitSettings("honest", dataset, split, budget, SEEDS, task, panel=PANEL if split == "joint" else ())


@pytest.fixture(scope="module")
def panel() -> dict[str, pd.DataFrame]:
    """Three datasets that share most molecules, one of them with classes and with salts of the others' molecules."""
    rng = np.random.default_rng(0)
    amines = [f"{text}.Cl" if "N" in text else text for text in SMILES[60:260]]
    labels = {"amines": rng.integers(0, 2, len(amines)), "rings": rng.normal(size=250), "sizes": rng.normal(size=400)}
    smiles = {"amines": amines, "rings": SMILES[150:], "sizes": SMILES}
    return {name: molecule_table(smiles[name], labels[name], dataset=name) for name in PANEL}


def deal(panel: dict[str, pd.DataFrame], budget: str = "all", split: str = "joint") -> dict[str, pd.DataFrame]:
    """Return the splits of all of the panel's datasets."""
    task = {"amines": "classification"}
    return {
        name: assign(table, settings(name, budget, task.get(name, "regression"), split), panel)
        for name, table in panel.items()
    }


@pytest.mark.parametrize("budget", ["all", "60"])
def test_no_molecule_scaffold_or_form_that_is_held_out_trains_another_dataset(
    panel: dict[str, pd.DataFrame], budget: str
) -> None:
    splits = deal(panel, budget)
    union = pd.concat(panel.values(), ignore_index=True)
    union["substance"] = parents.groups(union)
    roles = pd.concat(splits.values()).merge(union, on=["dataset", "molecule"])
    for _, of_seed in roles.groupby("seed"):
        for what in ("canonical", "substance"):
            per_role = {role: set(rows[what]) for role, rows in of_seed.groupby("role")}
            assert not per_role["train"] & per_role["test"]
            assert not per_role["train"] & per_role["valid"]
            assert not per_role["valid"] & per_role["test"]
        assert of_seed["canonical"].nunique() < len(of_seed)  # the datasets do share molecules
    assert exposure(panel, splits, "three")["exposed"].sum() == 0


def test_every_dataset_tests_nearly_a_tenth_of_its_own(panel: dict[str, pd.DataFrame]) -> None:
    for name, split in deal(panel).items():
        shares = split.groupby(["seed", "role"]).size().unstack() / len(panel[name])
        assert (shares["test"] <= 1 / 8).all()
        assert (shares["test"] >= 0.06).all()
        assert (shares["valid"] <= 1 / 8).all()
        assert (shares["valid"] >= 0.05).all()
        assert split.groupby("seed").size().eq(len(panel[name])).all()


def test_the_order_of_the_datasets_changes_nothing_and_the_seed_does(panel: dict[str, pd.DataFrame]) -> None:
    backwards = dict(reversed(panel.items()))
    for name, split in deal(panel).items():
        pd.testing.assert_frame_equal(split, deal(backwards)[name])
        tests = [set(split[(split["seed"] == seed) & (split["role"] == "test")]["molecule"]) for seed in SEEDS]
        assert tests[0] != tests[1] != tests[2]


def test_a_budget_counts_training_and_validation_labels_and_budgets_are_nested(panel: dict[str, pd.DataFrame]) -> None:
    small, large = deal(panel, "50"), deal(panel, "60")
    for name in PANEL:
        for seed in SEEDS:
            of = [split[name][split[name]["seed"] == seed] for split in (small, large)]
            roles = [{str(role): set(rows["molecule"]) for role, rows in part.groupby("role")} for part in of]
            assert [len(part["train"]) + len(part["valid"]) for part in roles] == [50, 60]
            assert roles[0]["train"] <= roles[1]["train"]
            assert roles[0]["valid"] <= roles[1]["valid"]
            assert roles[0]["test"] == roles[1]["test"]
            assert len(roles[0]["valid"]) == 10


def test_where_the_validation_part_is_small_more_of_the_budget_trains(panel: dict[str, pd.DataFrame]) -> None:
    whole, budgeted = (assign(panel["sizes"], settings("sizes", budget), panel) for budget in ("all", "300"))
    for seed in SEEDS:
        there, used = (split[split["seed"] == seed]["role"].value_counts() for split in (whole, budgeted))
        assert there["valid"] < 60
        assert (used["valid"], used["train"]) == (there["valid"], 300 - there["valid"])


def test_molecules_without_a_label_have_no_role_and_fill_no_quota(panel: dict[str, pd.DataFrame]) -> None:
    bare = panel["rings"]["molecule"] % 6 != 0
    labels = panel["rings"]["labels"].where(~bare, panel["rings"]["labels"].map(lambda _: np.array([np.nan])))
    with_gaps = {**panel, "rings": panel["rings"].assign(labels=labels)}
    rings = assign(with_gaps["rings"], replace(settings("rings"), seeds=tuple(range(12))), with_gaps)
    assert not rings["molecule"].isin(panel["rings"]["molecule"][bare]).any()
    assert rings[rings["role"] == "test"].groupby("seed").size().between(3, 42 // 8).all()


def test_tautomers_of_different_scaffolds_are_dealt_together(panel: dict[str, pd.DataFrame]) -> None:
    forms = {"amines": "O=c1cccc[nH]1", "rings": "Oc1ccccn1"}
    one = {
        name: pd.concat([panel[name], molecule_table([text], np.ones(1), dataset=name)]) for name, text in forms.items()
    }
    assert one["amines"]["scaffold"].iloc[-1] != one["rings"]["scaffold"].iloc[-1]
    parts = {name: [panel_split.deal(one, name, np.random.default_rng(seed)) for seed in range(40)] for name in one}
    tested = {name: [bool(test[-1]) for test, _ in dealt] for name, dealt in parts.items()}
    assert tested["amines"] == tested["rings"]
    assert any(tested["amines"])


def test_too_large_a_budget_is_refused_with_what_there_is(panel: dict[str, pd.DataFrame]) -> None:
    with pytest.raises(UserError, match="dataset amines, split joint, budget 249: only"):
        deal(panel, "249")


@pytest.mark.parametrize("zeros", [[0], [0, 1], range(0, 200, 40)])
def test_a_part_of_one_class_is_refused_with_the_seed(panel: dict[str, pd.DataFrame], zeros: Sequence[int]) -> None:
    labels = [np.array([float(number not in zeros)], np.float32) for number in range(len(panel["amines"]))]
    told = (
        r"dataset amines, split joint, budget all, seed \d+: the labels of the \d+ molecules for (train|valid|test) \("
    )
    with pytest.raises(UserError, match=told + r"each is 1\) leave ROC-AUC undefined; leave out the seed"):
        deal({**panel, "amines": panel["amines"].assign(labels=labels)})
    two_columns = [np.append(row, number % 2) for number, row in enumerate(labels)]  # the second one can be scored
    deal({**panel, "amines": panel["amines"].assign(labels=two_columns)})
    values = SplitSettings("honest", "amines", "joint", "all", SEEDS, "regression", panel=PANEL)
    assign(panel["amines"].assign(labels=labels), values, panel)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_part_of_a_leaderboard_of_one_class_is_refused_too(panel: dict[str, pd.DataFrame], part: str) -> None:
    table = panel["sizes"]
    group = np.where(table["molecule"] % 5 == 0, "test", "train")
    labels = [
        np.array([1.0 if own == part else number % 2], np.float32)
        for number, own in zip(table["molecule"] // 5, group, strict=True)
    ]
    for budget in ("all", "60"):
        about = SplitSettings("honest", "sizes", "leaderboard", budget, SEEDS, "classification")
        with pytest.raises(UserError, match=rf"seed 0: the labels of the \d+ molecules for {part} \(each is 1\) leave"):
            assign(table.assign(labels=labels, group=group), about)


def test_splits_of_each_dataset_alone_leave_test_molecules_that_train_another(panel: dict[str, pd.DataFrame]) -> None:
    splits = deal(panel, split="random")
    table = exposure(panel, splits, "three")
    schemas.table("exposure", table)  # it fits its schema
    rings = table[(table["dataset"] == "rings") & (table["seed"] == 1) & (table["partition"] == "test")].iloc[0]
    canonical = panel["rings"].set_index("molecule")["canonical"]
    one = splits["rings"][(splits["rings"]["seed"] == 1) & (splits["rings"]["role"] == "test")]
    sizes = splits["sizes"][(splits["sizes"]["seed"] == 1) & (splits["sizes"]["role"] == "train")]
    learnt = panel["sizes"].set_index("molecule")["canonical"][sizes["molecule"]]
    by_sizes = set(canonical[one["molecule"]]) & set(learnt)
    assert (rings["most_by"], rings["most"]) == ("sizes", len(by_sizes))
    assert rings["molecules"] >= rings["exposed"] >= len(by_sizes) > 5
    assert set(rings["records"]) <= set(one["molecule"])
    assert canonical[rings["records"]].nunique() == rings["exposed"]
    assert by_sizes <= set(canonical[rings["records"]])
    assert list(table["partition"].unique()) == ["valid", "test"]


def test_what_a_dataset_itself_trains_on_is_no_exposure(panel: dict[str, pd.DataFrame]) -> None:
    twice = panel["sizes"].iloc[[0, 0, 1]].assign(molecule=[0, 1, 2])
    context = {"protocol": "honest", "dataset": "sizes", "split": "column", "budget": "all", "seed": 0, "fold": 0}
    split = pd.DataFrame({**context, "molecule": [0, 1, 2], "role": ["train", "test", "valid"]})
    table = exposure({"sizes": twice}, {"sizes": split}, "one")
    assert table["exposed"].tolist() == [0, 0]
    other = {"sizes": twice, "rings": twice.assign(dataset="rings")}
    both = exposure(other, {"sizes": split, "rings": split.assign(dataset="rings")}, "two")
    assert both["exposed"].tolist() == [0, 1, 0, 1]
    assert both["records"].tolist() == [[], [1], [], [1]]  # each record of an exposed molecule
    assert both["most_by"].tolist() == ["", "sizes", "", "rings"]


CONFIG = {"panels": {"two": ["freesolv", "esol"]}, "datasets": ["two", "bbbp"], "splits": ["scaffold"]}


def test_a_panel_among_the_datasets_stands_for_its_own() -> None:
    made = experiment(CONFIG)
    assert list(made.datasets) == ["freesolv", "esol", "bbbp"]
    assert made.panels == {"two": ("esol", "freesolv")}
    assert (made.panel_of("esol"), made.panel_of("bbbp")) == ("two", "")
    assert made.dealt_with("esol", "scaffold") == ()
    assert experiment({**CONFIG, "datasets": ["two"], "splits": ["joint"]}).dealt_with("esol", "joint") == (
        "esol",
        "freesolv",
    )
    assert made.exposures() == [("honest", "two", "scaffold", "50")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": ["joint"]}, "splits: joint is for panels, and these datasets are in none: bbbp; see `panels`"),
        ({"panels": {"esol": ["esol"]}, "datasets": ["esol"]}, "panels: 'esol' is the name of a dataset"),
        ({"panels": {"two": ["esol"], "three": ["esol"]}}, "panels: esol is in two and in three"),
        ({"panels": {"two": ["esol", "bace"]}, "datasets": ["esol"]}, "panels.two: bace is not among the datasets"),
        ({"panels": {"two": ["esol", "esol"]}, "datasets": ["two"]}, r"panels.two: \['esol', 'esol'\] has non-unique"),
        ({"panels": {"two": ["esool"]}, "datasets": ["two"]}, "datasets: 'esool' is not known; did you mean 'esol'"),
        ({"datasets": ["two"], "splits": ["joint"], "protocols": ["paper"]}, "joint is not among the published ones"),
        (
            {"datasets": ["two"], "splits": ["joint"], "validation": {"scheme": "crossfit"}},
            "joint has a validation part of its own; set validation.scheme to holdout",
        ),
    ],
)
def test_what_cannot_be_a_panel_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        experiment({**CONFIG, **change})


def test_one_label_column_of_a_file_is_in_a_panel_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("smiles,a,b\nC,1,0\n")
    (tmp_path / "link.csv").symlink_to(path)

    def panel_of(one: dict[str, object], other: dict[str, object]) -> object:
        plain = {"path": str(path), "smiles": "smiles", "labels": ["a"], "task": "regression"}
        own = {"one": {**plain, **one}, "other": {**plain, **other}}
        return experiment({"panels": {"two": ["one", "other"]}, "datasets": ["two"], "own_datasets": own})

    assert panel_of({}, {"labels": ["b"]})
    message = r"panels.two: one and other are the label column 'a' of the same file, .*mine.csv; leave out one"
    for change in ({}, {"path": str(tmp_path / "link.csv")}, {"labels": ["b", "a"]}, {"task": "classification"}):
        with pytest.raises(UserError, match=message):
            panel_of({}, change)
    with pytest.raises(UserError, match=r"panels.two: one and other are label columns of the same file"):
        panel_of({"labels": ["*"]}, {"labels": ["b"]})


@needs_mirror
def test_a_panel_of_real_datasets_has_no_exposure_under_joint_and_some_under_scaffold() -> None:
    tables = {name: registered(name) for name in ("clintox", "sider")}
    for split in ("joint", "scaffold"):
        about = {name: SplitSettings("honest", name, split, "all", (0,), "classification") for name in tables}
        splits = {name: assign(table, about[name], tables) for name, table in tables.items()}
        seen = exposure(tables, splits, "both")["exposed"].sum()
        assert (seen == 0) == (split == "joint"), seen


#: Of a cross-validation the settings of the panel's datasets: their kinds of labels in the order of the names.
KINDS = {"amines": "classification", "rings": "regression", "sizes": "regression"}


def cross_validated(
    panel: dict[str, pd.DataFrame],
    split: str = "joint_cv",
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    budget: str = "all",
) -> dict[str, pd.DataFrame]:
    """Return the cross-validation of all of the panel's datasets, with four folds in each part."""
    named = {"panel": tuple(panel), "tasks": tuple(KINDS[name] for name in panel)}
    return {
        name: assign(
            table,
            SplitSettings("honest", name, split, budget, seeds, KINDS[name], "crossfit", folds=4, **named),  # type: ignore[arg-type]
            panel,
        )
        for name, table in panel.items()
    }


@pytest.fixture(scope="module")
def sparse(panel: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The same without the label of every third molecule of one dataset, and with few of a class in another one."""
    rows = panel["rings"]["molecule"] % 3 == 0
    gaps = panel["rings"]["labels"].where(~rows, panel["rings"]["labels"].map(lambda _: np.array([np.nan])))
    few = [np.array([float(row % 20 == 0)]) for row in range(len(panel["amines"]))]
    return {
        "amines": panel["amines"].assign(labels=few),
        "rings": panel["rings"].assign(labels=gaps),
        "sizes": panel["sizes"],
    }


@pytest.mark.parametrize("split", ["joint_cv", "joint_scaffold_cv"])
def test_a_substance_has_one_part_and_one_fold_in_all_datasets(sparse: dict[str, pd.DataFrame], split: str) -> None:
    splits = cross_validated(sparse, split)
    union = pd.concat(sparse.values(), ignore_index=True)
    union["substance"] = parents.groups(union)
    union["scaffold"] = union["scaffold"].to_numpy()[parents.first_forms(union)]
    roles = pd.concat(splits.values()).merge(union, on=["dataset", "molecule"])
    of_tests = roles[(roles["role"] == "test") & (roles["fold"] == 0)]
    for whole in ("substance", *(["scaffold"] if split == "joint_scaffold_cv" else [])):
        assert of_tests.groupby(whole)["seed"].nunique().eq(1).all()
    labelled = {name: int(panel_split.has_label(table).sum()) for name, table in sparse.items()}
    assert of_tests.groupby("dataset").size().to_dict() == labelled  # each is tested once
    validated = roles[roles["role"] == "valid"]
    assert validated.groupby(["seed", "substance"])["fold"].nunique().eq(1).all()
    assert roles["canonical"].nunique() < len(of_tests)  # the datasets do share molecules
    for _, one in roles.groupby(["seed", "fold"]):
        per_role = {role: set(rows["substance"]) for role, rows in one.groupby("role")}
        assert not per_role["train"] & per_role["test"]
        assert not per_role["train"] & per_role["valid"]
        assert not per_role["valid"] & per_role["test"]
    seen = exposure(sparse, splits, "three")
    assert seen[seen["partition"] == "test"]["exposed"].sum() == 0


def test_every_class_and_every_third_of_the_values_is_dealt_evenly_in_all_datasets(
    sparse: dict[str, pd.DataFrame],
) -> None:
    for name, split in cross_validated(sparse).items():
        labels = sparse[name]["labels"].map(lambda values: values[0])
        if KINDS[name] == "classification":
            stratum = labels
        else:
            stratum = (labels.rank(method="first") - 1) * 3 // labels.notna().sum()
        for role, parts, fold in (("test", 5, 0), ("valid", 4, None)):
            rows = split[
                (split["role"] == role) & ((split["fold"] == fold) if fold is not None else split["seed"].eq(0))
            ]
            part = rows["seed"] if fold is not None else rows["fold"]
            counts = rows.groupby([part, rows["molecule"].map(stratum)]).size().unstack(fill_value=0)
            assert counts.shape == (parts, stratum.dropna().nunique())
            assert (counts.max() - counts.min()).max() <= 3, (name, role, counts)
            assert counts.min().min() >= 1


def test_the_order_of_the_targets_changes_no_part(sparse: dict[str, pd.DataFrame]) -> None:
    backwards = dict(reversed(sparse.items()))
    one, other = cross_validated(sparse), cross_validated(backwards)
    for name in sparse:
        pd.testing.assert_frame_equal(one[name], other[name])
    again = cross_validated(sparse, seeds=(5,))
    tests = [
        set(of[of["role"] == "test"]["molecule"]) for of in (one["sizes"][one["sizes"]["seed"] == 0], again["sizes"])
    ]
    assert tests[0] != tests[1]  # a second repetition deals anew


def test_a_budget_of_a_joint_cross_validation_is_drawn_of_what_is_not_tested(sparse: dict[str, pd.DataFrame]) -> None:
    for name, split in cross_validated(sparse, budget="60").items():
        learnt = split[split["role"].isin(["train", "valid"])]
        assert learnt.groupby(["seed", "fold"]).size().eq(60).all(), name


def test_a_joint_cross_validation_is_for_panels_and_cross_fitting() -> None:
    given = {**CONFIG, "datasets": ["two"], "splits": ["joint_cv"], "validation": {"scheme": "crossfit"}}
    assert experiment(given).dealt_with("esol", "joint_cv") == ("esol", "freesolv")
    with pytest.raises(UserError, match="joint_cv deals folds of a panel as one; set"):
        experiment({**given, "validation": {"scheme": "holdout"}})
    with pytest.raises(UserError, match="joint_cv is for panels"):
        experiment({**given, "datasets": ["two", "bbbp"]})
