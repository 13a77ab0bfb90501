"""What a fit does to atoms' vectors beside what it loses: by hand, and against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import made_up_tables
from roftmol.evaluation.diagnostics.collapse import collapse, correlation, points
from roftmol.tables import schemas


def changed(**values: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables "changes" and "selected" of methods whose atoms' vectors moved as said, one value a seed."""
    selected = made_up_tables.selected_rows(
        {name: [0.9 - v for v in found] for name, found in values.items()}, dataset="d"
    )
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
