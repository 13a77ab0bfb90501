"""Split `leaderboard`: TDC's division by hand, and on the official files, where these are at hand."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mirror import needs_mirror
from molecule_tables import RINGS, molecule_table
from roftmol.core.errors import UserError
from roftmol.data import molecules
from roftmol.data.download import fetch
from roftmol.data.splits import TDC_FRACTIONS, TEST, TRAIN, VALID, SplitSettings, assign, scaffolds_of_tdc
from roftmol.registry.catalog import Dataset, datasets
from split_roles import members, roles

LEADERBOARD = SplitSettings("honest", "own", "leaderboard", "all", (1, 2, 3, 4, 5), "classification")
OFFICIAL = {name: dataset for name, dataset in datasets().items() if dataset.leaderboard_metric}
#: Python's generator, seeded with 42, puts 0 to 9 into this order.
OF_42 = [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]


def of_parts(parts: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(parts == part).tolist() for part in (TRAIN, VALID, TEST)]


def test_the_division_by_hand() -> None:
    """Ten scaffolds of one: all are more than half of a validation part of one. The seventh of them ends training."""
    assert of_parts(scaffolds_of_tdc(np.arange(10), 42, (0.7, 0.1, 0.2))) == [sorted(OF_42[:7]), [4], [0, 1]]
    # Without a test part 0.875 of 10 is 8, and all that does not fit is for validation.
    assert of_parts(scaffolds_of_tdc(np.arange(10), 42, TDC_FRACTIONS)) == [sorted(OF_42[:8]), [0, 1], []]


def test_large_scaffolds_are_dealt_before_the_others() -> None:
    """A scaffold of 3 among thirteen molecules with one each."""
    groups = np.array([*range(10), 10, 10, 10, 11, 12, 13])
    for seed in range(20):
        # Half of a validation part of 4 is 2; so is half of a test part of 4 beside a validation part of 8.
        train, valid, test = of_parts(scaffolds_of_tdc(groups, seed, (0.5, 0.25, 0.25)))
        assert {10, 11, 12} <= set(train)
        assert [len(train), len(valid), len(test)] == [8, 4, 4]
        assert scaffolds_of_tdc(groups, seed, (0.25, 0.5, 0.25))[10] == TRAIN
    # Half of 6 is 3, and it is dealt among the others.
    assert {int(scaffolds_of_tdc(groups, seed, (0.2, 0.4, 0.4))[10]) for seed in range(20)} == {TRAIN, VALID, TEST}


def test_a_scaffold_that_fits_nowhere_is_tested_or_validated() -> None:
    groups = np.array([0] * 9 + list(range(1, 8)))
    assert set(scaffolds_of_tdc(groups, 1, (0.5, 0.25, 0.25))[:9]) == {TEST}
    assert set(scaffolds_of_tdc(groups, 1, (0.5, 0.5, 0.0))[:9]) == {VALID}


def board(order: Sequence[int]) -> pd.DataFrame:
    """Sixteen ring systems, of which the last six are the test part; the file has them in this order."""
    group = np.array(["train"] * 10 + ["test"] * 6)[list(order)]
    return molecule_table([f"C{RINGS[ring]}" for ring in order], np.array(order) % 2, group.tolist())


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_a_seed_divides_what_is_not_tested_in_the_order_of_the_file(protocol: str) -> None:
    """Where test molecules stand between the others, they count for nothing."""
    apart, mixed = [*range(16)], [10, 0, 1, 11, 2, 3, 4, 12, 13, 5, 6, 7, 14, 8, 9, 15]
    for order in (apart, mixed):
        parts = members(assign(board(order), replace(LEADERBOARD, protocol=protocol, seeds=(42,))), 42)
        rings = {role: sorted(order[molecule] for molecule in held) for role, held in parts.items()}
        assert rings == {"train": sorted(OF_42[:8]), "valid": [0, 1], "test": [*range(10, 16)]}


def test_scaffolds_are_whole_without_their_chirality(lipophilic: pd.DataFrame) -> None:
    trans, cis = "C1CC[C@@H]2CCCC[C@H]2C1", "C1CC[C@H]2CCCC[C@H]2C1"
    smiles = [trans + "C", cis + "C", trans + "O", cis + "O", *(f"C{ring}" for ring in RINGS)]
    table = molecule_table(smiles, np.arange(20) % 2, ["train"] * 16 + ["test"] * 4)
    assert table["scaffold"].nunique() == 18
    splits = assign(table, replace(LEADERBOARD, task="regression", seeds=tuple(range(1, 20))))
    assert splits[splits["molecule"] < 4].groupby("seed")["role"].nunique().eq(1).all()
    # A seed is a division of its own, and all have one test part.
    many = lipophilic.assign(group=["train"] * 200 + ["test"] * (len(lipophilic) - 200))
    divided = assign(many, replace(LEADERBOARD, task="regression"))
    assert len({tuple(members(divided, seed)["valid"]) for seed in LEADERBOARD.seeds}) == 5
    assert all(members(divided, seed)["test"] == list(range(200, len(many))) for seed in LEADERBOARD.seeds)


@pytest.mark.parametrize("protocol", ["honest", "paper"])
def test_a_budget_is_of_the_training_part_of_its_run(lipophilic: pd.DataFrame, protocol: str) -> None:
    table = lipophilic.assign(group=["train"] * 200 + ["test"] * (len(lipophilic) - 200))
    whole, few, more = (
        assign(table, replace(LEADERBOARD, protocol=protocol, task="regression", budget=budget))
        for budget in ("all", "20", "60")
    )
    for seed in LEADERBOARD.seeds:
        official, of_20, of_60 = (roles(splits, seed) for splits in (whole, few, more))
        assert of_20["test"] == of_60["test"] == official["test"]
        if protocol == "honest":
            learnt, wider = (part["train"] | part["valid"] for part in (of_20, of_60))
            assert (len(of_20["train"]), len(of_20["valid"])) == (16, 4)
        else:
            learnt, wider = of_20["train"], of_60["train"]
            assert of_20["valid"] == of_60["valid"] == official["valid"]
        assert len(learnt) == 20
        assert learnt < wider < official["train"]


def test_a_word_that_is_no_part_is_named() -> None:
    table = board(range(16)).assign(group="train_val")
    with pytest.raises(UserError, match=r"record 0: the split column holds 'train_val'; .*write train, valid or test"):
        assign(table, LEADERBOARD)


def brought(dataset: Dataset, tmp_path: Path) -> Path:
    out = tmp_path / dataset.name
    fetch(dataset.sources[:1], out, mirror=Path(os.environ["ROFTMOL_MIRROR"]), name=dataset.name)
    return out


def rows_of(path: Path, delimiter: str = ",") -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream, delimiter=delimiter))[1:]


def published(name: str, part: str) -> list[list[str]]:
    folder = Path(os.environ["ROFTMOL_MIRROR"]) / "datasets/tdc_admet_official"
    return rows_of(folder / name.removeprefix("tdc_") / f"{part}.csv")


@needs_mirror
@pytest.mark.parametrize("dataset", OFFICIAL.values(), ids=OFFICIAL)
def test_the_file_is_the_official_parts_record_by_record(dataset: Dataset, tmp_path: Path) -> None:
    train, test = (published(dataset.name, part) for part in ("train_val", "test"))
    assert rows_of(brought(dataset, tmp_path)) == [[*row, "train"] for row in train] + [[*row, "test"] for row in test]
    assert len(train) + len(test) == dataset.sources[0].rows


@needs_mirror
@pytest.mark.parametrize(
    ("name", "seed", "train", "valid", "positives"),
    [
        ("hia_hou", 1, 403, 58, 51),
        ("dili", 1, 325, 54, 11),
        ("herg", 5, 457, 66, 39),
        ("bbb_martins", 1, 1421, 203, 143),
    ],
)
def test_the_division_of_the_official_runs(name: str, seed: int, train: int, valid: int, positives: int) -> None:
    """Counts of TDC's own tools."""
    rows = published(name, "train_val")
    parts = scaffolds_of_tdc(
        pd.factorize(np.array(molecules.flat_scaffolds([row[1] for row in rows]), object))[0], seed, TDC_FRACTIONS
    )
    labels = np.array([float(row[2]) for row in rows])
    assert ((parts == TRAIN).sum(), (parts == VALID).sum(), labels[parts == VALID].sum()) == (train, valid, positives)


@needs_mirror
@pytest.mark.parametrize("name", ["hia_hou", "bioavailability_ma", "herg", "dili", "pgp_broccatelli"])
def test_the_official_test_part_is_that_of_seed_42(name: str) -> None:
    """The whole algorithm, test part and large scaffolds included, from the sets' undivided files."""
    rows = rows_of(Path(os.environ["ROFTMOL_MIRROR"]) / f"datasets/tdc_admet/{name}.tab", "\t")
    smiles = [row[1] for row in rows]
    groups = pd.factorize(np.array(molecules.flat_scaffolds(smiles), object))[0]
    parts = scaffolds_of_tdc(groups, 42, (0.7, 0.1, 0.2))
    assert sorted(smiles[row] for row in np.flatnonzero(parts == TEST)) == sorted(r[1] for r in published(name, "test"))


@needs_mirror
def test_what_is_read_of_a_set_is_its_official_test_part(tmp_path: Path) -> None:
    """From the file to the split; repeated and contradicting records stay."""
    dataset = datasets()["tdc_herg"]
    path = brought(dataset, tmp_path)
    kept, rejects, _ = molecules.read(path, dataset, max_rejected=0.0)
    assert {*rejects["reason"]} == {"duplicate", "contradicting_duplicate"}
    assert {*rejects["action"]} == {"kept"}
    assert {*rejects["group"]} == {"train", "test"}
    splits = assign(kept, replace(LEADERBOARD, dataset=dataset.name))
    labels = np.array([row[0] for row in kept["labels"]])
    test = published("herg", "test")
    for seed in LEADERBOARD.seeds:
        parts = members(splits, seed)
        assert kept["smiles"][parts["test"]].tolist() == [row[1] for row in test]
        assert labels[parts["test"]].tolist() == [float(row[2]) for row in test]
        assert sum(map(len, parts.values())) == 655
    assert (len(members(splits, 5)["valid"]), labels[members(splits, 5)["valid"]].sum()) == (66, 39)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == dataset.sources[0].sha256
