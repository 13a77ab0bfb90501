"""Datasets of a panel that do not go together: without a common molecule, or of one property and not of one mind."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, rdBase

from mirror import needs_mirror, registered
from molecule_tables import SMILES, molecule_table
from roftmol.core.errors import UserError
from roftmol.data.panel_labels import SHARED, Member, check
from roftmol.stages import STAGES
from roftmol.tables import schemas

N = 100
CLASSES = np.arange(N) % 3 == 0
VALUES = np.random.default_rng(0).normal(size=N).round(3)


def member(name: str, labels: np.ndarray, task: str = "classification", smiles: list[str] | None = None) -> Member:
    labels = np.asarray(labels, np.float64)
    table = molecule_table(smiles or SMILES[: len(labels)], labels, dataset=name)
    columns = labels.shape[1] if labels.ndim > 1 else 1
    return Member(table, task, tuple(f"y{number}" for number in range(columns)))


def but(labels: np.ndarray, **changes: float) -> np.ndarray:
    """The labels with others at some positions, n3=1.5."""
    changed = np.asarray(labels, np.float64).copy()
    for position, value in changes.items():
        changed[int(position[1:])] = value
    return changed


def refusal(panel: dict[str, Member]) -> str:
    with pytest.raises(UserError) as caught:
        check("liver", panel)
    return str(caught.value)


def canonical(number: int) -> str:
    return molecule_table(SMILES[number : number + 1], np.ones(1), dataset="x")["canonical"].iloc[0]


def test_datasets_without_a_common_molecule_are_refused_and_one_dataset_alone_is_not():
    one, other = member("one", CLASSES[:40]), member("two", CLASSES[:30], smiles=SMILES[50:80])
    assert refusal({"one": one, "two": other}) == (
        "panel liver: its datasets share no molecule, by canonical SMILES (molecules: one 40, two 30); look at their "
        "columns of SMILES, or take them out of `panels`"
    )
    check("liver", {"one": one})
    # A third one that shares a molecule with either will do.
    check("liver", {"one": one, "two": other, "three": member("three", CLASSES[:2], smiles=SMILES[39:41])})


def test_classes_of_one_property_that_contradict_each_other_are_refused():
    told = refusal({"one": member("one", CLASSES), "two": member("two", but(CLASSES, n7=1, n50=1))})
    assert told == (
        "panel liver: one and two are one property, for they agree on 98 of the 100 molecules that have a label in "
        f"both, but 2 contradict each other, as {canonical(7)}: 0 in one, 1 in two; leave one of the two out of the "
        "panel, or give both the same labels"
    )


def test_values_of_one_property_that_contradict_each_other_are_refused():
    told = refusal(
        {"one": member("one", VALUES, "regression"), "two": member("two", but(VALUES, n9=7.5), "regression")}
    )
    assert "agree on 99 of the 100 molecules" in told
    assert f"but 1 contradict each other, as {canonical(9)}: {VALUES[9]:g} in one, 7.5 in two" in told


def test_what_agrees_on_all_is_one_property_without_a_contradiction():
    check("liver", {"one": member("one", CLASSES), "two": member("two", CLASSES)})
    rounded = VALUES + 4e-4
    check("liver", {"one": member("one", VALUES, "regression"), "two": member("two", rounded, "regression")})


def test_what_values_have_for_a_unit_changes_nothing():
    small = {
        "one": member("one", VALUES / 1e6, "regression"),
        "two": member("two", np.roll(VALUES, 1) / 1e6, "regression"),
    }
    check("liver", small)
    told = refusal(small | {"two": member("two", but(VALUES / 1e6, n9=0), "regression")})
    assert "agree on 99 of the 100 molecules" in told


@pytest.mark.parametrize(
    ("one", "other", "task"),
    [
        # 95 of 100 are the same, as many as chance gives.
        (np.arange(N) < 3, (np.arange(N) >= 3) & (np.arange(N) < 5), "classification"),
        (np.zeros(N), np.arange(N) < 1, "classification"),
        (CLASSES, np.roll(CLASSES, 1), "classification"),
        (VALUES, VALUES + 0.02, "regression"),  # another measurement of the same
        (CLASSES[: SHARED - 1], but(CLASSES[: SHARED - 1], n1=1), "classification"),  # too few to say
    ],
)
def test_other_properties_may_differ(one: np.ndarray, other: np.ndarray, task: str):
    check("liver", {"one": member("one", one, task), "two": member("two", other, task)})


def test_classes_are_not_held_against_values():
    check("liver", {"one": member("one", CLASSES), "two": member("two", but(CLASSES, n7=1), "regression")})


def test_of_several_label_columns_the_ones_that_are_a_property_are_named():
    columns = np.stack([np.roll(CLASSES, 1), but(CLASSES, n20=1)], 1)
    told = refusal({"one": member("one", CLASSES), "two": member("two", columns)})
    assert "panel liver: one and two (y1) are one property" in told


def test_what_a_dataset_itself_contradicts_or_lacks_is_no_contradiction_between_two():
    twice = member("two", [*CLASSES, 1], smiles=[*SMILES[:N], SMILES[7]])  # the eighth is 0 and 1
    check("liver", {"one": member("one", but(CLASSES, n7=1)), "two": twice})
    check("liver", {"one": member("one", but(CLASSES, n7=np.nan)), "two": member("two", CLASSES)})


def test_the_stage_refuses_before_it_writes(tmp_path: Path):
    tasks = {"one": "classification", "two": "classification"}
    labels = {"one": CLASSES, "two": but(CLASSES, n7=1)}
    columns = {"task": 0, "name": "y", "kind": "classification", "labelled": N, "lower_limits": 0, "upper_limits": 0}
    for name, task in tasks.items():
        folder = tmp_path / "data" / name
        schemas.write("molecules", member(name, labels[name], task).molecules, folder / "molecules.parquet")
        table = pd.DataFrame([{**columns, "dataset": name, "positives": None, "mean": 0.0, "std": 1.0}])
        schemas.write("tasks", table, folder / "tasks.parquet")
    settings = {"protocol": "honest", "panel": "liver", "tasks": tasks, "split": "random", "budget": "all"}
    settings["checked"] = True
    out = tmp_path / "exposure.parquet"
    with pytest.raises(UserError, match=re.escape("panel liver: one and two are one property")):
        STAGES["exposure"].run(settings, data=tmp_path / "data", splits=tmp_path / "splits", out=out)
    assert not out.exists()
    # A recommendation's targets are columns of one file, and may be of one property. What is read next is not there.
    with pytest.raises(UserError, match=r"random-all\.parquet: cannot be read"):
        STAGES["exposure"].run(
            {**settings, "checked": False}, data=tmp_path / "data", splits=tmp_path / "splits", out=out
        )


def of_tdc(name: str, task: str) -> Member:
    """The records of one of TDC's sets, both parts."""
    folder = Path(os.environ["ROFTMOL_MIRROR"], "datasets/tdc_admet_official", name)
    records = pd.concat([pd.read_csv(folder / f"{part}.csv") for part in ("train_val", "test")], ignore_index=True)
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(text) for text in records["Drug"]]
    kept = [number for number, molecule in enumerate(molecules) if molecule is not None]
    canonical = [Chem.MolToSmiles(molecules[number]) for number in kept]
    labels = [np.array([value], np.float64) for value in records["Y"][kept]]
    return Member(pd.DataFrame({"canonical": canonical, "labels": labels}), task, ("y",))


@needs_mirror
def test_of_real_sets_those_of_one_property_are_told_from_related_ones():
    esol = Member(registered("esol"), "regression", ("y",))
    told = refusal({"esol": esol, "aqsoldb": of_tdc("solubility_aqsoldb", "regression")})
    assert "esol and aqsoldb are one property, for they agree on 781 of the 1,093 molecules" in told
    cyp2d6 = of_tdc("cyp2d6_substrate_carbonmangels", "classification")
    check("amines", {"herg": of_tdc("herg", "classification"), "cyp2d6": cyp2d6})  # 40 of 56 labels are the same
    classes = {
        "bbbp": Member(registered("bbbp"), "classification", ("y",)),
        "bbb": of_tdc("bbb_martins", "classification"),
    }
    check("barrier", classes)  # one property, and of one mind
    (first,) = np.flatnonzero(classes["bbb"].molecules["canonical"] == classes["bbbp"].molecules["canonical"].iloc[0])
    classes["bbb"].molecules["labels"].iloc[first][0] -= 1
    assert "agree on 1,964 of the 1,965 molecules" in refusal(classes)
