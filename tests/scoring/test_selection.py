import numpy as np
import pandas as pd
import pytest

from roftmol.scoring.selection import RULES, Candidate, select
from roftmol.tables import schemas

NAN = float("nan")
CELL = {
    "protocol": "honest",
    "model": "gin",
    "dataset": "bbbp",
    "split": "scaffold",
    "budget": "50",
    "method": "l2_sp",
}


def chosen(rule, candidates, better=1):
    return RULES[rule](candidates, better)[0].setting


def fits(*rows):
    """Fits of (seed, setting, fold, status, reason, note)."""
    columns = ["seed", "setting", "fold", "status", "reason", "note"]
    return pd.DataFrame(rows, columns=columns).assign(**CELL)


def test_validation_takes_the_best_metric_in_its_direction():
    candidates = [Candidate("a", 0.7, 0.1, 0.9), Candidate("b", 0.8, 0.9, 0.5)]
    assert chosen("validation", candidates, better=1) == "b"
    assert chosen("validation", candidates, better=-1) == "a"


def test_ties_go_to_the_lower_loss_and_then_to_the_order_of_the_grid():
    a, b, c = Candidate("a", 0.8, 0.5, 0), Candidate("b", 0.8, 0.4, 0), Candidate("c", 0.8, 0.4, 1)
    assert chosen("validation", [a, b, c]) == "b"
    assert chosen("validation", [a, c, b]) == "c"
    assert chosen("oracle", [a, b]) == "a"


def test_one_class_in_validation_falls_back_to_the_loss_and_says_so():
    candidates = [Candidate("a", NAN, 0.5, 0.9), Candidate("b", NAN, 0.4, 0.1)]
    best, note = RULES["validation"](candidates, 1)
    assert best.setting == "b"
    assert "selected by loss" in note
    # undefined for one candidate is enough: a metric and a loss do not compare
    assert chosen("validation", [Candidate("a", 0.9, 0.5, 0), candidates[1]]) == "b"
    best, note = RULES["validation"]([Candidate("a", NAN, NAN, 0), Candidate("b", NAN, NAN, 1)], 1)
    assert best.setting == "a"
    assert "first setting of the grid" in note


def test_oracle_looks_at_the_test_set_and_is_labelled():
    candidates = [Candidate("a", 0.9, 0.1, 0.5), Candidate("b", 0.6, 0.9, 0.8), Candidate("c", 0.7, 0.9, NAN)]
    best, note = RULES["oracle"](candidates, 1)
    assert best.setting == "b"
    assert "oracle" in note
    assert chosen("validation", candidates) == "a"
    assert chosen("oracle", candidates, better=-1) == "a"


def test_each_seed_chooses_for_itself():
    scores = {
        (0, "a"): Candidate("a", 0.9, 0.1, 0.3),
        (0, "b"): Candidate("b", 0.1, 0.1, 0.4),
        (1, "a"): Candidate("a", 0.1, 0.1, 0.5),
        (1, "b"): Candidate("b", 0.9, 0.2, 0.6),
    }
    table = select(
        fits(*((seed, setting, 0, "ok", "", "") for seed, setting in scores)), scores, "roc_auc", "validation"
    )
    schemas.table("selected", table.assign(seen=0.0, contamination="none"))  # the audit adds what pretraining has seen
    assert table["setting"].tolist() == ["a", "b"]
    assert table["test_value"].tolist() == [0.3, 0.6]
    assert table["valid_loss"].tolist() == [0.1, 0.2]
    assert table[["candidates", "failed"]].to_numpy().tolist() == [[2, 0], [2, 0]]


def test_a_setting_with_a_failed_fold_is_never_chosen_but_counted():
    table = select(
        fits(
            (0, "a", 0, "ok", "", ""),
            (0, "a", 1, "failed", "loss is NaN in epoch 3", ""),
            (0, "b", 0, "ok", "", "stopped early"),
            (0, "b", 1, "ok", "", "stopped early"),
        ),
        {(0, "b"): Candidate("b", 0.6, 0.5, 0.7)},
        "roc_auc",
        "validation",
    )
    row = table.iloc[0]
    assert (row["setting"], row["candidates"], row["failed"], row["note"]) == ("b", 2, 1, "stopped early")


def test_where_every_setting_failed_the_row_has_the_reasons():
    table = select(
        fits(
            (0, "a", 0, "failed", "loss is NaN in epoch 3", ""),
            (0, "b", 0, "failed", "loss is NaN in epoch 3", ""),
            (0, "c", 0, "failed", "out of memory", ""),
        ),
        {},
        "roc_auc",
        "validation",
    )
    row = table.iloc[0]
    assert row["setting"] == ""
    assert np.isnan(row[["valid_value", "valid_loss", "test_value"]].astype(float)).all()
    assert (row["candidates"], row["failed"]) == (3, 3)
    assert row["note"] == "every setting failed; loss is NaN in epoch 3; out of memory"


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_chooses_among_what_it_is_given(rule):
    only = Candidate("a", NAN, NAN, NAN)
    assert chosen(rule, [only]) == "a"
