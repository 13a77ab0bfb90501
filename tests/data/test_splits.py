"""Splits: whole groups, budgets, classes and ranges in proportion, seeds, and what cannot be split.

Those of protocol `paper` are in test_published_splits.py, those by the density of labels in test_boom.py.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from mirror import needs_mirror, registered
from molecule_tables import SMILES, molecule_table
from roftmol.core.errors import UserError
from roftmol.data.splits import CROSS_VALIDATIONS, PARTITIONS, SplitSettings, assign, stratified_order
from roftmol.registry.splits import CROSS_VALIDATION, PARTS, SPLITS
from roftmol.tables import schemas
from roftmol.tasks import TASKS
from split_roles import GROUPED, HONEST, PAPER, ROWS, budgeted, digest, members, sizes

#: The digest of all rows that "honest" gives for the two tables of conftest.py, under four budgets and both
#: validations, as of 2026-11-28. A change makes earlier results another experiment.
HONEST_ROWS = {
    "random": "a0b8a2ff0de4c6721a7c583a9123c901c09d353673acd7311733316583c4ee01",
    "scaffold": "eb2a260f60444f9661a3e0ffd694bc57a210c286094d92c6e072314b698ad484",
    "size": "825f4b5c803d100f0017755fcbdb8b771f2a5c2606555032f455c312fe7e324f",
    "size_strict": "8537246d0dae0dcb0349013a6fad63ffef98b5108f0ba2e71e054a57e2eab5d8",
    "cv": "1c38f994ee728ffe0cf9581f74429ac6e49ab617fdd08b1c811082c2b7d33ea5",
    "scaffold_cv": "a3a39ec8437b7cef93a3dd8cb718dc00a4f001eb1187304f9e73d497c7991e4f",
    "boom": "c81f7e4e856516f7496aa349bb169db125fdef492c518cca8c8c4f37de708bdf",
}
#: The same for the scaffold split of BBBP, 50 labels, seeds 0 and 1, as of 2026-11-29: its forms are dealt together.
HONEST_BBBP = "7f2462598c3172c85f5aaed45b57165189ec9d572d886d9b7f154e63a48af354"


@pytest.mark.parametrize("split", CROSS_VALIDATION.values())
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


def test_parts_of_whole_scaffolds_come_out_even() -> None:
    # 36 molecules in large scaffolds, which 30 alone fill up to parts of thirteen and fourteen.
    sizes = [9, 7, 6, 5, 4, 3, 2, *[1] * 30]
    table = molecule_table(["C" * (n + 1) for n in range(sum(sizes))], np.arange(sum(sizes)))
    table["scaffold"] = np.repeat([f"scaffold {n}" for n in range(len(sizes))], sizes)
    settings = replace(HONEST, task="regression", split="scaffold_cv", seeds=tuple(range(2 * PARTS)))
    splits = assign(table, settings)
    held = [len(members(splits, seed)["test"]) for seed in settings.seeds]
    assert set(held) == {13, 14}


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
    splits = [assign(nitrogen, replace(settings, budget=n)) for n in ("10", "50", "100", "all")]
    for seed in HONEST.seeds:
        chosen = [budgeted(of_budget, seed) for of_budget in splits]
        assert all(smaller < larger for smaller, larger in pairwise(chosen))


def test_a_budget_has_the_classes_in_proportion(nitrogen: pd.DataFrame) -> None:
    label = np.concatenate(nitrogen["labels"].to_list())
    whole, few = assign(nitrogen, HONEST), assign(nitrogen, replace(HONEST, budget="50"))
    for seed in HONEST.seeds:
        pool = sorted(budgeted(whole, seed))
        parts = members(few, seed)
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
    drawn_from = [seed for seed in seeds if label[sorted(budgeted(pool, seed))].any()]
    assert drawn_from
    for seed in drawn_from:
        assert label[members(splits, seed)["train"]].any()


def test_a_class_of_two_is_on_both_sides() -> None:
    label = np.zeros(len(SMILES))
    label[[40, 80]] = 1
    table = molecule_table(SMILES, label, ["test" if row % 10 == 3 else "train" for row in range(len(SMILES))])
    splits = assign(table, replace(HONEST, split="column"))
    for seed in HONEST.seeds:
        parts = members(splits, seed)
        assert label[parts["train"]].sum() == label[parts["valid"]].sum() == 1


@pytest.mark.parametrize("validation", ["holdout", "crossfit"])
def test_a_regression_budget_covers_the_range_of_the_labels(lipophilic: pd.DataFrame, validation: str) -> None:
    label = np.concatenate(lipophilic["labels"].to_list())
    settings = replace(HONEST, task="regression", split="size", validation=validation)
    pool = label[sorted(budgeted(assign(lipophilic, settings)))]
    edges = np.quantile(pool, [0.2, 0.4, 0.6, 0.8])
    few = assign(lipophilic, replace(settings, budget="50"))
    for seed in HONEST.seeds:
        parts = members(few, seed)
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


def test_strata_of_several_regressions_do_not_depend_on_a_tasks_unit_and_origin() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=(200, 3))
    labels[rng.random(labels.shape) < 0.2] = np.nan
    labels = labels[np.isfinite(labels).any(axis=1)]
    strata = TASKS["regression"].strata(labels).of
    assert np.array_equal(TASKS["regression"].strata(labels * [1, 1000, 0.01] + [0, -50, 3]).of, strata)
    assert np.bincount(strata).min() >= len(labels) // 10 - 1


def test_equal_values_are_one_stratum() -> None:
    labels = np.zeros((100, 2))
    labels[:3, 0] = 1
    strata = TASKS["classification"].strata(labels).of
    assert np.array_equal(strata != strata[-1], labels[:, 0] == 1)


def test_every_split_is_dealt_by_one_function() -> None:
    alone = {name: split for name, split in SPLITS.items() if not (split.together or split.official)}
    assert PARTITIONS.keys() == {name for name, split in alone.items() if not (split.repeats or split.two_tests)}
    assert CROSS_VALIDATIONS.keys() == {name for name, split in alone.items() if split.repeats}
    named = {name for split in SPLITS.values() for name in (split.reference, split.repeats) if name}
    assert named <= SPLITS.keys()


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


@pytest.mark.parametrize("split", HONEST_ROWS)
def test_honest_splits_stay(nitrogen: pd.DataFrame, lipophilic: pd.DataFrame, split: str) -> None:
    tables = {"regression": lipophilic} if split == "boom" else {"classification": nitrogen, "regression": lipophilic}
    found = []
    for task, table in tables.items():
        for budget in ("10", "50", "100", "all"):
            for validation in ("holdout", "crossfit"):
                settings = replace(HONEST, task=task, split=split, budget=budget, validation=validation)
                found.append(assign(table, settings)[ROWS].to_numpy().tolist())
    assert digest(found) == HONEST_ROWS[split]


@pytest.mark.parametrize("split", ["random", "scaffold"])
def test_cross_fitting_validates_each_molecule_once(nitrogen: pd.DataFrame, split: str) -> None:
    label = np.concatenate(nitrogen["labels"].to_list())
    settings = replace(HONEST, split=split, budget="60")
    whole = assign(nitrogen, settings)
    folds = assign(nitrogen, replace(settings, validation="crossfit", folds=4))
    for seed in HONEST.seeds:
        parts = [members(folds, seed, fold) for fold in range(4)]
        valid = [molecule for part in parts for molecule in part["valid"]]
        assert len(valid) == len(set(valid)) == 60
        assert set(valid) == budgeted(whole, seed)
        assert all({*part["train"], *part["valid"]} == set(valid) for part in parts)
        assert all(part["test"] == parts[0]["test"] for part in parts)
        assert np.ptp([label[part["valid"]].sum() for part in parts]) <= 2  # one, but for identical molecules


def test_honest_keeps_large_scaffolds_in_training(nitrogen: pd.DataFrame) -> None:
    # Two scaffolds of fourteen and more, and fifteen of one, where the test set is a tenth of all.
    large = nitrogen["scaffold"].isin(["c1ccccc1", "c1ccncc1"])
    table = nitrogen[large | ~nitrogen["scaffold"].duplicated()].reset_index(drop=True)
    table["molecule"] = np.arange(len(table), dtype=np.int32)
    seeds = tuple(range(5))
    splits = assign(table, replace(HONEST, split="scaffold", seeds=seeds))
    for seed in seeds:
        assert {"c1ccccc1", "c1ccncc1"} <= set(table.loc[members(splits, seed)["train"], "scaffold"])


def test_honest_never_tests_a_scaffold_that_would_be_most_of_the_test_set() -> None:
    # A test set of ten: six benzenes would be most of it. All others are chains, each a scaffold of its own here.
    smiles = ["c1ccccc1" + "C" * n for n in range(6)] + ["C" * (n + 1) for n in range(94)]
    table = molecule_table(smiles, np.arange(100) % 2)
    table["scaffold"] = ["c1ccccc1"] * 6 + [f"alone {n}" for n in range(94)]
    seeds = tuple(range(30))
    splits = assign(table, replace(HONEST, split="scaffold", seeds=seeds))
    assert not any(set(range(6)) & set(members(splits, seed)["test"]) for seed in seeds)


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
    with pytest.raises(UserError, match=r"own, record 5: .*'holdout'.*write train, valid or test"):
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
        {"max_test": 0},
    ],
)
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(UserError, match=f"{name}: '?{value}"):
        replace(HONEST, **wrong)


@needs_mirror
def test_honest_scaffolds_are_those_of_the_file() -> None:
    """Of eleven molecules of BBBP the canonical SMILES has another scaffold."""
    settings = SplitSettings("honest", "bbbp", "scaffold", "50", (0, 1), "classification")
    splits = assign(registered("bbbp"), settings)
    assert digest(splits[ROWS].to_numpy().tolist()) == HONEST_BBBP
