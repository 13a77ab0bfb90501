"""Blocks: what is compared together, and which datasets and seeds count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from made_up_effects import METHODS, comparison, selected
from roftmol.statistics import stage
from roftmol.statistics.blocks import families


def test_nothing_is_pooled_that_is_not_alike():
    table = pd.concat(
        [
            selected(dict.fromkeys(METHODS, 0.0), 2),
            selected(dict.fromkeys(METHODS, 0.0), 2, metric="rmse").replace({"set00": "r0", "set01": "r1"}),
            selected({"full_ft": 0.0, "l2_sp": 0.0}, 2, model="other"),
            selected(dict.fromkeys(METHODS, 0.0), 2, split="random"),
        ]
    )
    found = list(families(table))
    keys = [(f.model, f.split, f.metric) for f in found]
    assert len(set(keys)) == len(keys) == 4
    assert sorted(next(f for f in found if f.metric == "rmse").scores) == ["r0", "r1"]
    # the baseline has no encoder: it stands beside those of every model, under the same conditions
    assert next(f for f in found if f.model == "other").methods == ["fingerprint", "full_ft", "l2_sp"]


def test_a_block_is_complete_and_pairs_use_what_both_have():
    table = selected(dict.fromkeys(METHODS, 0.0), 4)
    table.loc[(table["method"] == "bss") & (table["dataset"] == "set01"), "test_value"] = np.nan
    table.loc[(table["method"] == "l2_sp") & table["dataset"].isin(["set00", "set01", "set02"]), "test_value"] = np.nan
    table.loc[(table["method"] == "bss") & (table["dataset"] == "set02") & (table["seed"] == 0), "test_value"] = np.nan
    (family,) = families(table)
    assert list(family.block.columns) == ["bss", "fingerprint", "full_ft"]
    assert list(family.block.index) == ["set00", "set02", "set03"]
    assert "without l2_sp" in family.left_out
    assert "without set01" in family.left_out
    own = table[(table["method"] == "full_ft") & (table["dataset"] == "set02")].set_index("seed")["test_value"]
    assert family.block.loc["set02", "full_ft"] == pytest.approx(own[[1, 2]].mean())  # the seeds that all have
    assert list(family.paired("l2_sp", "full_ft")) == ["set03"]
    tables = stage.made(table, replicates=50)
    assert comparison(tables, "l2_sp")["note"].startswith("without set00, set01, set02")
    assert comparison(tables, "bss")[["datasets", "seeds"]].tolist() == [3, 2]


def test_a_method_that_lacks_half_of_the_data_sets_stays_in_the_block_and_one_that_lacks_more_does_not():
    table = selected(dict.fromkeys(METHODS, 0.0), 4)
    for method, gone in {"bss": ["set00", "set01"], "l2_sp": ["set00", "set01", "set02"]}.items():
        table.loc[(table["method"] == method) & table["dataset"].isin(gone), "test_value"] = np.nan
    (family,) = families(table)
    assert list(family.block.columns) == ["bss", "fingerprint", "full_ft"]
    assert list(family.block.index) == ["set02", "set03"]
