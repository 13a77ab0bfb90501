"""Protocol `paper`: the published splits by hand, and molecule by molecule those of the released code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirror import needs_mirror, registered
from molecule_tables import molecule_table
from roftmol.data.splits import SplitSettings, assign
from roftmol.registry import catalog
from roftmol.registry.splits import CROSS_VALIDATION
from roftmol.training.cell import folds
from split_roles import GROUPED, PAPER, digest, listed, members, sizes

#: The released code's lists for ESOL, by split and budget: count, beginning and the digest of each as JSON.
PUBLISHED = json.loads((Path(__file__).parent / "published_splits.json").read_text(encoding="utf-8"))

# The two forms of decalin.
TRANS, CIS = "C1CC[C@@H]2CCCC[C@H]2C1", "C1CC[C@H]2CCCC[C@H]2C1"
# The second is the first's canonical SMILES. RDKit's scaffold keeps the marks at the double bond of the first alone.
MARKED, BARE = r"C1=CC(=CC(=C1\C(=C\N2C=NC=N2)Cl)Cl)Cl", r"Cl/C(=C\n1cncn1)c1ccc(Cl)cc1Cl"
BY_HAND = {
    "chirality": [CIS + "C", "Cc1ccccc1", TRANS + "C", "Oc1ccccc1", CIS + "O", TRANS + "O", "Cc1ccncc1", "Nc1ccccc1",
                  TRANS + "N", "CC1CCCCC1"],
    "canonical": [MARKED, "Cc1ccccc1", TRANS + "C", "Oc1ccccc1", BARE, TRANS + "O", "Cc1ccncc1", "Nc1ccccc1",
                  TRANS + "N", "CC1CCCCC1"],
}  # fmt: skip


@pytest.mark.parametrize("smiles", BY_HAND.values(), ids=BY_HAND)
def test_the_published_scaffold_split_by_hand(smiles: list[str]) -> None:
    """The largest scaffold is dealt first, of equal ones that which begins later; eight of ten fit into training."""
    table = molecule_table(smiles, np.arange(10))
    settings = replace(PAPER, split="scaffold", task="regression")
    assert listed(assign(table, settings)) == [[2, 5, 8, 1, 3, 7, 0, 4], [9], [6]]
    few = assign(table, replace(settings, budget="3"))
    # Python's generator, seeded with 42, shuffles a list of eight into its places 3, 4, 6, 7, 2, 5, 0, 1.
    assert listed(few) == [[1, 3, 0], [9], [6]]
    assert next(folds(few, 0))[1].train.tolist() == [1, 3, 0]


def test_the_published_size_split_by_hand() -> None:
    table = molecule_table(["C" * size for size in (3, 1, 2, 1, 5, 4, 1, 2, 6, 7)], np.arange(10))
    settings = replace(PAPER, split="size", task="regression")
    assert listed(assign(table, settings)) == [[1, 3, 6, 2, 7, 0, 5, 4], [8], [9]]
    assert listed(assign(table, replace(settings, budget="3"))) == [[2, 7, 5], [8], [9]]


def test_the_published_random_split_by_hand() -> None:
    """Python's generator, seeded with 42, puts 0 to 9 into the order 7, 3, 2, 8, 5, 6, 9, 4, 0, 1."""
    table = molecule_table(["C"] * 10, np.arange(10))
    settings = replace(PAPER, task="regression")
    assert listed(assign(table, settings)) == [[7, 3, 2, 8, 5, 6, 9, 4], [0], [1]]
    assert listed(assign(table, replace(settings, budget="3"))) == [[7, 3, 2], [0], [1]]
    # Of 19, int(0.8 * 19) = 15 train and int(0.1 * 19) = 1 validates.
    parts = listed(assign(molecule_table(["C"] * 19, np.arange(19)), settings))
    assert [len(part) for part in parts] == [15, 1, 3]


@pytest.mark.parametrize("split", [*GROUPED, "column", *CROSS_VALIDATION.values()])
def test_paper_is_the_same_for_all_seeds_and_its_budgets_share_validation_and_test(
    nitrogen: pd.DataFrame, split: str
) -> None:
    table = nitrogen.assign(group=["test" if row % 7 == 0 else "train" for row in range(len(nitrogen))])
    by_budget = [assign(table, replace(PAPER, split=split, budget=budget)) for budget in ("10", "50", "all")]
    for splits in by_budget:
        assert listed(splits)[1:] == listed(by_budget[-1])[1:]
        if split not in CROSS_VALIDATION.values():  # there the seed says which part is tested
            assert all(listed(splits, seed) == listed(splits) for seed in PAPER.seeds)
    few, more, whole = (listed(splits)[0] for splits in by_budget)
    assert few == more[:10]
    assert set(more) < set(whole)
    assert (more == whole[:50]) == (split == "random")


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
    task = catalog.datasets()[name].task
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


@needs_mirror
@pytest.mark.parametrize("cell", PUBLISHED)
def test_the_published_indices_of_esol(cell: str) -> None:
    """The lists of the released code, digest and beginning of each."""
    split, budget = cell.split("-")
    splits = assign(registered("esol"), SplitSettings("paper", "esol", split, budget, (0, 3), "regression"))
    for seed in (0, 3):
        for part, expected in zip(listed(splits, seed), PUBLISHED[cell].values(), strict=True):
            assert part[:10] == expected["first"]
            assert (len(part), digest(part)) == (expected["count"], expected["sha256"])
