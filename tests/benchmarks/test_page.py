"""The tables of the dated pages say what the aggregated tables hold."""

import pandas as pd

import made_up_tables
import page
from roftmol.tables import schemas

VALUES = {"full_ft": [0.70, 0.72], "dwise_ft": [0.80, 0.82], "scratch": [0.90, 0.90]}
VALUES |= {"fingerprint": [0.60, 0.62], "constant": [0.75, 0.75]}


def test_scores_ranks_and_differences(tmp_path, capsys):
    selected = made_up_tables.selected_rows(VALUES)
    model, dataset = selected.loc[selected["method"] == "full_ft", ["model", "dataset"]].iloc[0]
    summary = made_up_tables.summarise(selected)
    summary["vs_full_ft"], summary["vs_constant"] = summary["mean"] - 0.71, summary["mean"] - 0.75
    curves = [(1, 2.0, 1.0), (2, 1.0, 0.5), (3, 0.5, 2.0)]
    cell = selected[selected["method"] == "full_ft"].iloc[0][list(schemas.CELL)].to_dict()
    points = pd.DataFrame(
        {**cell, "setting": "{}", "seed": seed, "fold": 0, "stage": 0, "epoch": epoch, "valid_metric": 0.7}
        | {"train_loss": train, "valid_loss": valid}
        for seed in (0, 1)
        for epoch, train, valid in curves
    )
    tables = made_up_tables.write_tables(tmp_path / "tables", selected, summary=summary, curves=points)
    page.main(tables)
    told = capsys.readouterr().out
    assert f"### {model}, " in told
    assert f"| method | {dataset} " in told
    assert "| Full FT | 0.710 ± 0.014 |" in told
    assert "| DWiSE-FT | **0.810 ± 0.014** |" in told  # the best of the pretrained network's, which scratch is not
    assert "| From scratch | 0.900 ± 0.000 |" in told
    assert "| Fingerprint | 0.610 ± 0.014 |" in told
    assert "| Constant | 0.750 ± 0.000 |" in told
    titles = ("Mean rank", "Against", "Worse than the constant", "Overfitting")
    ranks, wins, below, overfitted = (told.split(f"### {title}")[1] for title in titles)
    assert "| Full FT | 1 of 1 |" in below
    assert "| DWiSE-FT | 0 of 1 |" in below
    assert "| DWiSE-FT | 1.0 |" in ranks
    assert "| Full FT | 2.0 |" in ranks
    assert "| DWiSE-FT | 1 of 1 |" in wins
    assert f"| {dataset} | 0.50 | 4.00 |" in overfitted  # from the second epoch to the third
