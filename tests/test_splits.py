from __future__ import annotations

import os
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem.Crippen import MolLogP

from molecule_tables import SMILES, molecule_table
from roftmol import molecules, registry, schemas
from roftmol.errors import UserError
from roftmol.splits import CROSS_VALIDATION, PARTS, SplitSettings, assign, strata_of, stratified_order

HONEST = SplitSettings("honest", "own", "random", "all", (0, 1, 2), "classification")
PAPER = replace(HONEST, protocol="paper")
GROUPED = {"scaffold": "scaffold", "size": "atoms", "size_strict": "atoms", "random": "canonical"}

needs_mirror = pytest.mark.skipif("ROFTMOL_MIRROR" not in os.environ, reason="ROFTMOL_MIRROR names no mirror")


@pytest.fixture(scope="module")
def nitrogen() -> pd.DataFrame:
    """Classification: does the molecule hold nitrogen? Every twentieth molecule is given a second time."""
    smiles = [*SMILES, *SMILES[::20]]
    return molecule_table(smiles, np.array(["n" in text.lower() for text in smiles], float))


@pytest.fixture(scope="module")
def lipophilic() -> pd.DataFrame:
    """Regression: Crippen's logP."""
    return molecule_table(SMILES, np.array([MolLogP(Chem.MolFromSmiles(text)) for text in SMILES]))


def members(splits: pd.DataFrame, seed: int = 0, fold: int = 0) -> dict[str, list[int]]:
    mine = splits[(splits["seed"] == seed) & (splits["fold"] == fold)]
    return {role: sorted(mine.loc[mine["role"] == role, "molecule"]) for role in ("train", "valid", "test")}


def budgeted(splits: pd.DataFrame, seed: int = 0) -> set[int]:
    parts = members(splits, seed)
    return {*parts["train"], *parts["valid"]}


def sizes(splits: pd.DataFrame) -> tuple[int, ...]:
    return tuple(len(part) for part in members(splits).values())


@pytest.mark.parametrize("split", CROSS_VALIDATION)
def test_cross_validation_tests_every_molecule_once_a_repetition(lipophilic: pd.DataFrame, split: str) -> None:
    settings = replace(HONEST, task="regression", split=split, seeds=tuple(range(2 * PARTS)))
    splits = assign(lipophilic, settings)
    tests = [members(splits, seed)["test"] for seed in settings.seeds]
    for repetition in (tests[:PARTS], tests[PARTS:]):
        assert sorted(np.concatenate(repetition)) == lipophilic["molecule"].tolist()
        assert max(map(len, repetition)) <= 1.5 * min(map(len, repetition))
    assert tests[0] != tests[PARTS]
    assert splits.equals(assign(lipophilic, settings))


def test_cross_validation_deals_classes_evenly_and_keeps_twins_together(nitrogen: pd.DataFrame) -> None:
    splits = assign(nitrogen, replace(HONEST, split="cv", seeds=tuple(range(PARTS))))
    tests = splits[splits["role"] == "test"].merge(nitrogen, on="molecule")
    assert (tests.groupby("canonical")["seed"].nunique() == 1).all()
    different = tests.drop_duplicates("canonical")
    positive = different["labels"].map(lambda labels: labels[0]).groupby(different["seed"]).sum()
    assert positive.max() - positive.min() <= 1


def test_cross_validation_keeps_scaffolds_whole(lipophilic: pd.DataFrame) -> None:
    settings = replace(HONEST, task="regression", split="scaffold_cv", seeds=tuple(range(PARTS)))
    splits = assign(lipophilic, settings)
    tests = splits[splits["role"] == "test"].merge(lipophilic, on="molecule")
    assert (tests.groupby("scaffold")["seed"].nunique() == 1).all()


@pytest.mark.parametrize("settings", [PAPER, HONEST, replace(HONEST, validation="crossfit")])
@pytest.mark.parametrize("split", GROUPED)
@pytest.mark.parametrize("budget", ["40", "all"])
def test_no_molecule_has_two_roles_and_no_role_is_empty(
    nitrogen: pd.DataFrame, settings: SplitSettings, split: str, budget: str
) -> None:
    splits = assign(nitrogen, replace(settings, split=split, budget=budget))
    schemas.table("splits", splits)
    assert not splits.duplicated(["seed", "fold", "molecule"]).any()
    for _, fold in splits.groupby(["seed", "fold"]):
        assert set(fold["role"]) == {"train", "valid", "test"}
    assert set(splits["seed"]) == {0, 1, 2}
    assert set(splits["fold"]) == (set(range(5)) if settings.validation == "crossfit" else {0})


@pytest.mark.parametrize("split", GROUPED)
@pytest.mark.parametrize("budget", ["60", "all"])
def test_a_group_never_straddles_the_test_set(nitrogen: pd.DataFrame, split: str, budget: str) -> None:
    splits = assign(nitrogen, replace(HONEST, split=split, budget=budget))
    for seed in HONEST.seeds:
        test = nitrogen.loc[members(splits, seed)["test"], GROUPED[split]]
        rest = nitrogen.loc[sorted(budgeted(splits, seed)), GROUPED[split]]
        assert not set(test) & set(rest)


@pytest.mark.parametrize("validation", ["holdout", "crossfit"])
def test_identical_molecules_are_validated_together(nitrogen: pd.DataFrame, validation: str) -> None:
    splits = assign(nitrogen, replace(HONEST, budget="150", split="size", validation=validation))
    splits["canonical"] = nitrogen["canonical"].to_numpy()[splits["molecule"]]
    twins = splits.groupby(["seed", "fold", "canonical"])["role"]
    assert (twins.count() > 1).any()
    assert (twins.nunique() == 1).all()


@pytest.mark.parametrize("split", GROUPED)
def test_the_honest_budget_counts_validation_too(nitrogen: pd.DataFrame, split: str) -> None:
    whole = assign(nitrogen, replace(HONEST, split=split))
    for budget in (10, 50, 100):
        splits = assign(nitrogen, replace(HONEST, split=split, budget=str(budget), fraction=0.3))
        for seed in HONEST.seeds:
            parts = members(splits, seed)
            assert len(parts["train"]) + len(parts["valid"]) == budget
            assert len(parts["valid"]) == round(0.3 * budget)
            assert parts["test"] == members(whole, seed)["test"]


@pytest.mark.parametrize("split", GROUPED)
@pytest.mark.parametrize("protocol", ["paper", "honest"])
def test_budgets_are_nested(nitrogen: pd.DataFrame, split: str, protocol: str) -> None:
    settings = replace(HONEST, protocol=protocol, split=split)
    for seed in HONEST.seeds:
        chosen = [budgeted(assign(nitrogen, replace(settings, budget=n)), seed) for n in ("10", "50", "100", "all")]
        assert all(smaller < larger for smaller, larger in pairwise(chosen))


def test_a_budget_has_the_classes_in_proportion(nitrogen: pd.DataFrame) -> None:
    label = np.concatenate(nitrogen["labels"].to_list())
    for seed in HONEST.seeds:
        pool = sorted(budgeted(assign(nitrogen, HONEST), seed))
        parts = members(assign(nitrogen, replace(HONEST, budget="50")), seed)
        share = label[pool].mean()
        assert label[parts["train"] + parts["valid"]].sum() == pytest.approx(50 * share, abs=2)
        assert label[parts["valid"]].sum() == pytest.approx(10 * share, abs=2)


def test_a_rare_class_is_in_the_budget_and_first_of_all_in_training() -> None:
    label = np.array(["Br" in text for text in SMILES], float)
    label[np.flatnonzero(label)[2:]] = 0
    table = molecule_table(SMILES, label)
    seeds = tuple(range(20))
    pool = assign(table, replace(HONEST, seeds=seeds))
    splits = assign(table, replace(HONEST, seeds=seeds, budget="10"))
    for seed in seeds:
        if label[list(budgeted(pool, seed))].any():
            assert label[members(splits, seed)["train"]].any()


def test_a_class_of_two_is_on_both_sides() -> None:
    label = np.zeros(len(SMILES))
    label[[40, 80]] = 1
    table = molecule_table(SMILES, label, ["test" if row % 10 == 3 else "train" for row in range(len(SMILES))])
    for seed in HONEST.seeds:
        parts = members(assign(table, replace(HONEST, split="column")), seed)
        assert label[parts["train"]].sum() == label[parts["valid"]].sum() == 1


@pytest.mark.parametrize("validation", ["holdout", "crossfit"])
def test_a_regression_budget_covers_the_range_of_the_labels(lipophilic: pd.DataFrame, validation: str) -> None:
    label = np.concatenate(lipophilic["labels"].to_list())
    settings = replace(HONEST, task="regression", split="size", validation=validation)
    pool = label[sorted(budgeted(assign(lipophilic, settings)))]
    edges = np.quantile(pool, [0.2, 0.4, 0.6, 0.8])
    for seed in HONEST.seeds:
        parts = members(assign(lipophilic, replace(settings, budget="50")), seed)
        fifths = np.bincount(np.searchsorted(edges, label[parts["train"] + parts["valid"]]), minlength=5)
        assert (abs(fifths - 10) <= 2).all()


def test_several_tasks_are_stratified_by_their_number_of_positives() -> None:
    label = np.array([["n" in text.lower(), "O" in text, np.nan] for text in SMILES], float)
    table = molecule_table(SMILES, label)
    positives = np.nansum(label, axis=1)
    pool = positives[sorted(budgeted(assign(table, HONEST)))]
    chosen = positives[sorted(budgeted(assign(table, replace(HONEST, budget="60"))))]
    for count in (0, 1, 2):
        assert (chosen == count).sum() == pytest.approx(60 * (pool == count).mean(), abs=2)


def test_every_beginning_of_a_stratified_order_is_nearly_proportional() -> None:
    strata = np.repeat([0, 1, 2], [300, 90, 10])
    order = strata[stratified_order(strata, np.random.default_rng(0))]
    for stratum, size in enumerate((300, 90, 10)):
        excess = np.cumsum(order == stratum) - np.arange(1, 401) * size / 400
        assert abs(excess).max() < 3
    first = stratified_order(strata, np.random.default_rng(0), every=True)[:3]
    assert set(strata[first]) == {0, 1, 2}


def test_equal_values_are_one_stratum() -> None:
    labels = np.zeros((100, 2))
    labels[:3, 0] = 1
    assert np.array_equal(
        strata_of(labels, "classification") != strata_of(labels, "classification")[-1], labels[:, 0] == 1
    )


@pytest.mark.parametrize("split", ["random", "scaffold"])
def test_honest_splits_vary_with_the_seed(nitrogen: pd.DataFrame, split: str) -> None:
    splits = assign(nitrogen, replace(HONEST, split=split))
    tests = {tuple(members(splits, seed)["test"]) for seed in HONEST.seeds}
    assert len(tests) == 3


@pytest.mark.parametrize("split", ["size", "size_strict", "column"])
def test_size_and_column_stay_and_their_subsets_vary(nitrogen: pd.DataFrame, split: str) -> None:
    group = ["test" if row % 7 == 0 else "train" for row in range(len(nitrogen))]
    splits = assign(nitrogen.assign(group=group), replace(HONEST, split=split, budget="50"))
    assert len({tuple(members(splits, seed)["test"]) for seed in HONEST.seeds}) == 1
    assert len({tuple(sorted(budgeted(splits, seed))) for seed in HONEST.seeds}) == 3


@pytest.mark.parametrize("split", GROUPED)
def test_a_seed_gives_the_same_whatever_the_other_seeds(nitrogen: pd.DataFrame, split: str) -> None:
    settings = replace(HONEST, split=split, budget="50")
    several = assign(nitrogen, settings)
    alone = assign(nitrogen, replace(settings, seeds=(2,)))
    pd.testing.assert_frame_equal(several[several["seed"] == 2].reset_index(drop=True), alone)


@pytest.mark.parametrize("split", GROUPED)
def test_paper_fixes_split_and_subset_and_cuts_training_only(nitrogen: pd.DataFrame, split: str) -> None:
    whole = assign(nitrogen, replace(PAPER, split=split))
    few = assign(nitrogen, replace(PAPER, split=split, budget="50"))
    for seed in PAPER.seeds:
        assert members(few, seed) == members(few, 0)
        assert len(members(few, seed)["train"]) == 50
        assert set(members(few, seed)["train"]) < set(members(whole, seed)["train"])
        for role in ("valid", "test"):
            assert members(few, seed)[role] == members(whole, seed)[role]


def test_paper_deals_eighty_and_ten_percent_rounded_down(lipophilic: pd.DataFrame) -> None:
    assert sizes(assign(lipophilic, replace(PAPER, task="regression"))) == (187, 23, 24)


@pytest.mark.parametrize("split", ["random", "scaffold"])
def test_cross_fitting_validates_each_molecule_once(nitrogen: pd.DataFrame, split: str) -> None:
    label = np.concatenate(nitrogen["labels"].to_list())
    settings = replace(HONEST, split=split, budget="60")
    folds = assign(nitrogen, replace(settings, validation="crossfit", folds=4))
    for seed in HONEST.seeds:
        parts = [members(folds, seed, fold) for fold in range(4)]
        valid = [molecule for part in parts for molecule in part["valid"]]
        assert len(valid) == len(set(valid)) == 60
        assert set(valid) == budgeted(assign(nitrogen, settings), seed)
        assert all({*part["train"], *part["valid"]} == set(valid) for part in parts)
        assert all(part["test"] == parts[0]["test"] for part in parts)
        assert np.ptp([label[part["valid"]].sum() for part in parts]) <= 2  # one, but for identical molecules


def test_size_strict_never_leaks(nitrogen: pd.DataFrame) -> None:
    atoms = nitrogen["atoms"].to_numpy()
    parts = members(assign(nitrogen, replace(PAPER, split="size_strict")))
    train, valid, test = (atoms[parts[role]] for role in ("train", "valid", "test"))
    assert train.max() < valid.min() <= valid.max() < test.min()
    assert len(train) <= 0.8 * len(atoms) < len(train) + (atoms == train.max() + 1).sum()


def test_size_lets_a_later_bucket_into_training_again() -> None:
    # Of 20 molecules, training takes 16, training and validation 18. Fourteen methanes train; three ethanes would make
    # 17: validation; two propanes fill training; butane fits nowhere.
    table = molecule_table([*["C"] * 14, *["CC"] * 3, *["CCC"] * 2, "CCCC"], np.arange(20))
    settings = replace(PAPER, task="regression")
    published, strict = (members(assign(table, replace(settings, split=name))) for name in ("size", "size_strict"))
    assert published == {"train": [*range(14), 17, 18], "valid": [14, 15, 16], "test": [19]}
    assert strict == {"train": [*range(14)], "valid": [14, 15, 16], "test": [17, 18, 19]}


def test_scaffolds_are_ordered_by_size_then_first_index_descending() -> None:
    # Ten molecules: training takes 8, both 9. Benzenes and pyridines are as many; furan comes before thiophene.
    smiles = ["c1ccccc1", "Cc1ccccc1", "Clc1ccccc1", "Fc1ccccc1", "c1ccncc1", "Cc1ccncc1", "Clc1ccncc1", "Fc1ccncc1"]
    table = molecule_table([*smiles, "c1ccoc1", "c1ccsc1"], np.arange(10))
    parts = members(assign(table, replace(PAPER, split="scaffold", task="regression")))
    assert parts == {"train": list(range(8)), "valid": [9], "test": [8]}


def test_honest_keeps_large_scaffolds_in_training(nitrogen: pd.DataFrame) -> None:
    # Two scaffolds of fourteen and more, and fifteen of one, where the test set is a tenth of all.
    large = nitrogen["scaffold"].isin(["c1ccccc1", "c1ccncc1"])
    table = nitrogen[large | ~nitrogen["scaffold"].duplicated()].reset_index(drop=True)
    table["molecule"] = np.arange(len(table), dtype=np.int32)
    seeds = tuple(range(5))
    splits = assign(table, replace(HONEST, split="scaffold", seeds=seeds))
    for seed in seeds:
        assert {"c1ccccc1", "c1ccncc1"} <= set(table.loc[members(splits, seed)["train"], "scaffold"])


def test_a_column_splits_as_it_says(nitrogen: pd.DataFrame) -> None:
    group = np.array(["Train", "valid", " test"])[np.arange(len(nitrogen)) % 3]
    table = nitrogen.assign(group=group)
    for settings in (PAPER, HONEST):
        parts = members(assign(table, replace(settings, split="column")))
        assert parts == {role: list(range(start, len(table), 3)) for start, role in enumerate(parts)}


def test_a_column_without_validation_gives_some_of_training(nitrogen: pd.DataFrame) -> None:
    table = nitrogen.assign(group=["test"] * 46 + ["train"] * 200)
    assert sizes(assign(table, replace(PAPER, split="column"))) == (176, 24, 46)
    assert sizes(assign(table, replace(HONEST, split="column"))) == (160, 40, 46)


def test_molecules_without_a_label_have_no_role() -> None:
    label = np.arange(len(SMILES), dtype=float)
    label[::3] = np.nan
    table = molecule_table(SMILES, label)
    splits = assign(table, replace(HONEST, task="regression", budget="50"))
    assert not (splits["molecule"] % 3 == 0).any()
    assert len(budgeted(splits)) == 50


def test_a_value_that_is_no_role_names_its_row(nitrogen: pd.DataFrame) -> None:
    group = ["train"] * 5 + ["holdout"] + ["test"] * (len(nitrogen) - 6)
    with pytest.raises(UserError, match=r"own, row 5: .*'holdout'.*write train, valid or test"):
        assign(nitrogen.assign(group=group), replace(HONEST, split="column"))
    with pytest.raises(UserError, match="split_column"):
        assign(nitrogen, replace(HONEST, split="column"))


@pytest.mark.parametrize("protocol", ["paper", "honest"])
def test_a_budget_beyond_the_data_names_what_there_is(nitrogen: pd.DataFrame, protocol: str) -> None:
    settings = replace(HONEST, protocol=protocol, budget="500")
    available = (
        len(members(assign(nitrogen, PAPER))["train"])
        if protocol == "paper"
        else len(budgeted(assign(nitrogen, HONEST)))
    )
    with pytest.raises(UserError, match=rf"own.*budget 500.*at most {available}"):
        assign(nitrogen, settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [(replace(HONEST, budget="1"), "left for"), (replace(HONEST, budget="4", validation="crossfit"), "5 folds")],
)
def test_a_budget_too_small_for_validation(nitrogen: pd.DataFrame, settings: SplitSettings, message: str) -> None:
    with pytest.raises(UserError, match=rf"{message}.*raise the budget"):
        assign(nitrogen, settings)


def test_one_scaffold_cannot_be_split() -> None:
    table = molecule_table(["C" * (2 + row) for row in range(20)], np.arange(20))
    with pytest.raises(UserError, match=r"left for train.*choose another split"):
        assign(table, replace(HONEST, split="scaffold", task="regression"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocol": "published"},
        {"split": "butina"},
        {"task": "ranking"},
        {"validation": "none"},
        {"budget": "-5"},
        {"budget": "many"},
        {"fraction": 1.0},
        {"folds": 1},
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(UserError, match=f"{name}: '?{value}"):
        replace(HONEST, **wrong)


def registered(name: str) -> pd.DataFrame:
    dataset = registry.datasets()[name]
    source = next(source for source in dataset.sources if source.kind == "mirror")
    path = Path(os.environ["ROFTMOL_MIRROR"]) / source.file
    return molecules.read(path, dataset, max_rejected=0.1)[0]


@needs_mirror
@pytest.mark.parametrize(
    ("name", "split", "expected"),
    [
        ("bbbp", "scaffold", (1631, 204, 204)),
        ("bbbp", "size", (1631, 212, 196)),
        ("bace", "scaffold", (1210, 151, 152)),
        ("sider", "scaffold", (1141, 143, 143)),
        ("esol", "scaffold", (902, 113, 113)),
        ("esol", "random", (902, 112, 114)),
        ("lipo", "scaffold", (3360, 420, 420)),
        ("malaria", "scaffold", (7999, 1000, 1000)),
    ],
)
def test_published_sizes(name: str, split: str, expected: tuple[int, ...]) -> None:
    task = registry.datasets()[name].task
    splits = assign(registered(name), SplitSettings("paper", name, split, "all", (0,), task))
    assert sizes(splits) == expected


@needs_mirror
def test_the_published_size_split_leaks_and_the_strict_one_does_not() -> None:
    table = registered("bbbp")
    atoms = table["atoms"].to_numpy()
    settings = SplitSettings("paper", "bbbp", "size", "all", (0,), "classification")
    published, strict = (members(assign(table, replace(settings, split=name))) for name in ("size", "size_strict"))
    assert atoms[published["train"]].max() > atoms[published["test"]].min()
    assert atoms[strict["train"]].max() < atoms[strict["test"]].min()
